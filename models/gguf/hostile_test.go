package gguf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// builder writes GGUF by hand, so that it can also write invalid files.
type builder struct{ encoder }

func begin(version uint32, tensors, keys uint64) *builder {
	b := &builder{}
	b.bytes = append(b.bytes, magic...)
	b.uint32(version)
	b.uint64(tensors)
	b.uint64(keys)
	return b
}

func (b *builder) key(name string, kind uint32, value ...byte) *builder {
	b.string(name)
	b.uint32(kind)
	b.bytes = append(b.bytes, value...)
	return b
}

func (b *builder) tensor(name string, kind Type, offset uint64, dims ...uint64) *builder {
	b.string(name)
	b.uint32(uint32(len(dims)))
	for _, d := range dims {
		b.uint64(d)
	}
	b.uint32(uint32(kind))
	b.uint64(offset)
	return b
}

func (b *builder) data(n int) []byte {
	for len(b.bytes)%DefaultAlignment != 0 {
		b.bytes = append(b.bytes, 0)
	}
	return append(b.bytes, make([]byte, n)...)
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func array(kind uint32, n uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, kind), n)
}

func hostile() map[string]struct {
	data []byte
	want string
} {
	type c = struct {
		data []byte
		want string
	}
	return map[string]c{
		"empty":             {nil, "not a GGUF file"},
		"foreign":           {[]byte("PK\x03\x04 and more than 24 bytes of it"), "not a GGUF file"},
		"magic alone":       {[]byte("GGUF"), "truncated"},
		"version 1":         {begin(1, 0, 0).data(0), "version 1"},
		"version 4":         {begin(4, 0, 0).data(0), "version 4"},
		"big endian":        {begin(0x03000000, 0, 0).data(0), "big-endian"},
		"many tensors":      {begin(3, 1<<60, 0).data(0), "limit"},
		"many keys":         {begin(3, 0, math.MaxUint64).data(0), "limit"},
		"unbacked tensors":  {begin(3, MaxTensors, 0).data(0), "truncated"},
		"unbacked keys":     {begin(3, 0, MaxKeys).data(0), "truncated"},
		"long key":          {append(begin(3, 0, 1).bytes, append(u64(1<<40), make([]byte, 64)...)...), "limit"},
		"key past the end":  {append(begin(3, 0, 1).bytes, append(u64(4000), make([]byte, 64)...)...), "truncated"},
		"empty key":         {begin(3, 0, 1).key("", 4, 0, 0, 0, 0).data(64), "empty name"},
		"key not text":      {begin(3, 0, 1).key("a\nb", 4, 0, 0, 0, 0).data(64), "printable"},
		"value type":        {begin(3, 0, 1).key("a", 13, 0, 0, 0, 0).data(64), "value type 13"},
		"boolean":           {begin(3, 0, 1).key("a", 7, 2).data(64), "boolean 2"},
		"string":            {begin(3, 0, 1).key("a", 8, u64(1<<63)...).data(64), "limit"},
		"string past end":   {begin(3, 0, 1).key("a", 8, u64(1<<20)...).data(64), "truncated"},
		"array of arrays":   {begin(3, 0, 1).key("a", 9, array(9, 1)...).data(64), "array of arrays"},
		"array type":        {begin(3, 0, 1).key("a", 9, array(77, 1)...).data(64), "element type 77"},
		"array length":      {begin(3, 0, 1).key("a", 9, array(0, 1<<62)...).data(64), "limit"},
		"array unbacked":    {begin(3, 0, 1).key("a", 9, array(12, 1<<24)...).data(64), "truncated"},
		"strings unbacked":  {begin(3, 0, 1).key("a", 9, array(8, 1<<20)...).data(64), "truncated"},
		"key twice":         {begin(3, 0, 2).key("a", 7, 1).key("a", 7, 1).data(64), `key "a" appears twice`},
		"alignment type":    {begin(3, 0, 1).key(AlignmentKey, 7, 1).data(64), "instead of uint32"},
		"alignment 0":       {begin(3, 0, 1).key(AlignmentKey, 4, 0, 0, 0, 0).data(64), "power of two"},
		"alignment 48":      {begin(3, 0, 1).key(AlignmentKey, 4, 48, 0, 0, 0).data(64), "power of two"},
		"alignment huge":    {begin(3, 0, 1).key(AlignmentKey, 4, 0, 0, 0, 0x80).data(64), "power of two"},
		"no dims":           {begin(3, 1, 0).tensor("a", F32, 0).data(64), "0 dimensions"},
		"many dims":         {begin(3, 1, 0).tensor("a", F32, 0, 1, 1, 1, 1, 1).data(64), "5 dimensions"},
		"dim 0":             {begin(3, 1, 0).tensor("a", F32, 0, 0).data(64), "dimension of 0"},
		"dim huge":          {begin(3, 1, 0).tensor("a", F32, 0, 1<<40).data(64), "dimension of"},
		"product":           {begin(3, 1, 0).tensor("a", F32, 0, 1<<30, 1<<30, 1<<30, 1<<30).data(64), "more values"},
		"product wraps":     {begin(3, 1, 0).tensor("a", F32, 0, 1<<30, 1<<30, 16).data(64), "more values"},
		"type":              {begin(3, 1, 0).tensor("a", 31, 0, 4).data(64), "unknown type 31"},
		"block":             {begin(3, 1, 0).tensor("a", Q4_0, 0, 33).data(64), "multiple of the q4_0 block"},
		"name":              {begin(3, 1, 0).tensor(strings.Repeat("n", 64), F32, 0, 1).data(64), "limit of 63"},
		"offset":            {begin(3, 1, 0).tensor("a", F32, 1<<63, 1).data(64), "beyond any file"},
		"offset past end":   {begin(3, 1, 0).tensor("a", F32, 1<<61, 1).data(64), "truncated or damaged"},
		"size past end":     {begin(3, 1, 0).tensor("a", F32, 32, 16).data(64), "truncated or damaged"},
		"misaligned":        {begin(3, 1, 0).tensor("a", F32, 4, 1).data(64), "multiple of the alignment"},
		"overlap":           {begin(3, 2, 0).tensor("a", F32, 0, 16).tensor("b", F32, 32, 4).data(64), `"b" overlaps tensor "a"`},
		"same place":        {begin(3, 2, 0).tensor("a", F32, 0, 4).tensor("b", F32, 0, 4).data(64), "overlaps"},
		"tensor twice":      {begin(3, 2, 0).tensor("a", F32, 0, 4).tensor("a", F32, 32, 4).data(64), `tensor "a" appears twice`},
		"tensors cut":       {begin(3, 2, 0).tensor("a", F32, 0, 4).data(0), "truncated"},
		"no room for data":  {begin(3, 1, 0).tensor("a", F32, 0, 4).bytes, "truncated"},
		"huge overlap wrap": {begin(3, 2, 0).tensor("a", F32, 0, 1<<30, 1<<28).tensor("b", F32, 1<<61, 1).data(64), "truncated or damaged"},
	}
}

func TestHostile(t *testing.T) {
	for name, test := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(bytes.NewReader(test.data), int64(len(test.data)))
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error is %v, want a FormatError", err)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %q, want one line with %q", err, test.want)
			}
		})
	}
}

func TestFaultsAreCollected(t *testing.T) {
	b := begin(3, 40, 1).key("a", 7, 1)
	for range 40 {
		b.tensor("t", F32, 4, 4)
	}
	data := b.data(16)
	_, err := Parse(bytes.NewReader(data), int64(len(data)))
	var format *FormatError
	if !errors.As(err, &format) || len(format.Faults) != maxFaults || format.More < 39+40 {
		t.Fatalf("error is %v (%+v)", err, format)
	}
}

// Reading a tensor of a file that shrank after it was parsed gives an error, not a short tensor.
func TestTruncatedLater(t *testing.T) {
	data := encode(t, nil, sources())
	f, err := Parse(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	f.reader = bytes.NewReader(data[:f.DataOffset+8])
	if _, err := f.ReadTensor(f.Tensors[0]); err == nil {
		t.Error("no error")
	}
	if _, err := f.ReadRange(f.Tensors[0], 8, 4); err == nil {
		t.Error("a reversed range gives no error")
	}
	if _, err := f.ReadRange(f.Tensors[0], 0, f.Tensors[0].Size+1); err == nil {
		t.Error("a range past the tensor gives no error")
	}
}

func FuzzParse(f *testing.F) {
	var out bytes.Buffer
	if err := Encode(context.Background(), &out, everyKind(), sources()); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	for _, test := range hostile() {
		f.Add(test.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q has several lines", err)
			}
			return
		}
		var tensors []Source
		for _, info := range file.Tensors {
			content, err := file.ReadTensor(info)
			if err != nil {
				t.Fatalf("a tensor within the file cannot be read: %v", err)
			}
			tensors = append(tensors, Source{info.Name, info.Type, info.Shape, raw(content)})
		}
		// The writer accepts every file that parses, and the parser every file that was written.
		written := encode(t, file.KVs, tensors)
		if _, err := Parse(bytes.NewReader(written), int64(len(written))); err != nil {
			t.Fatalf("the written file cannot be parsed: %v", err)
		}
	})
}
