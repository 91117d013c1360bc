package gguf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyKind returns a key of each value type and an array of each element type.
func everyKind() []KV {
	return []KV{
		{"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(60000)}, {"i16", int16(-300)}, {"u32", uint32(4e9)}, {"i32", int32(-4)},
		{"f32", float32(1.5)}, {"bool", true}, {"no", false}, {"string", "text \x00\xff"}, {"empty", ""},
		{"u64", uint64(1 << 63)}, {"i64", int64(-5)}, {"f64", math.Pi},
		{"[]u8", []uint8{1, 2}}, {"[]i8", []int8{-1}}, {"[]u16", []uint16{7}}, {"[]i16", []int16{-7, 8}}, {"[]u32", []uint32{9}},
		{"[]i32", []int32{-9}}, {"[]f32", []float32{0.25, -1}}, {"[]bool", []bool{true, false}}, {"[]string", []string{"a", "", "ccc"}},
		{"[]u64", []uint64{1 << 40}}, {"[]i64", []int64{-1 << 40}}, {"[]f64", []float64{1e300}}, {"[]none", []string{}},
	}
}

func raw(data []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error { _, err := w.Write(data); return err }
}

func sources() []Source {
	q4 := bytes.Repeat([]byte{1, 2, 3}, 2*20/3+1)[:40]
	return []Source{
		{"b.weight", Q4_1, []int{2, 32}, raw(q4)},
		{"a.weight", F32, []int{3}, raw([]byte("abcdefghijkl"))},
		{"c", F16, []int{1, 2, 3, 1}, raw([]byte("ABCDEFGHIJKL"))},
	}
}

func encode(t testing.TB, keys []KV, tensors []Source) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Encode(context.Background(), &out, keys, tensors); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for _, align := range []uint32{0, 8, 32, 4096} {
		keys := everyKind()
		if align > 0 {
			keys = append(keys, KV{AlignmentKey, align})
		}
		data := encode(t, keys, sources())
		f, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(keys, f.KVs); diff != "" {
			t.Errorf("keys: %s", diff)
		}
		for i, want := range sources() {
			info, ok := f.Tensor(want.Name)
			if !ok || info.Type != want.Type || !cmp.Equal(info.Shape, want.Shape) || info.Name != f.Tensors[i].Name {
				t.Errorf("tensor %q = %+v, %t", want.Name, info, ok)
			}
			if at := f.DataOffset + info.Offset; at%int64(f.Alignment) != 0 {
				t.Errorf("tensor %q at byte %d, not aligned to %d", want.Name, at, f.Alignment)
			}
			var content bytes.Buffer
			if err := want.Write(t.Context(), &content); err != nil {
				t.Fatal(err)
			}
			if got, err := f.ReadTensor(info); err != nil || !bytes.Equal(got, content.Bytes()) {
				t.Errorf("tensor %q = %q, %v", want.Name, got, err)
			}
		}
		// Writing the parsed file again must give the same bytes.
		var copies []Source
		for _, info := range f.Tensors {
			copies = append(copies, Source{info.Name, info.Type, info.Shape, func(_ context.Context, w io.Writer) error {
				_, err := io.Copy(w, f.Data(info))
				return err
			}})
		}
		if again := encode(t, f.KVs, copies); !bytes.Equal(again, data) {
			t.Errorf("alignment %d: the copy differs", align)
		}
	}
}

func TestGetters(t *testing.T) {
	data := encode(t, everyKind(), nil)
	f, err := Parse(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"u8", "i8", "u16", "i16", "u32", "i32", "i64"} {
		if _, err := f.Int(key); err != nil {
			t.Errorf("Int(%s): %v", key, err)
		}
	}
	for _, key := range []string{"[]u8", "[]i8", "[]u16", "[]i16", "[]u32", "[]i32", "[]u64", "[]i64", "u8"} {
		if got, err := f.Ints(key); err != nil || len(got) == 0 {
			t.Errorf("Ints(%s) = %v, %v", key, got, err)
		}
	}
	if got, err := f.Int("i8"); got != -3 || err != nil {
		t.Errorf("Int(i8) = %d, %v", got, err)
	}
	if got, err := f.Float("f64"); got != math.Pi || err != nil {
		t.Errorf("Float(f64) = %g, %v", got, err)
	}
	if got, err := f.Strings("[]string"); err != nil || !cmp.Equal(got, []string{"a", "", "ccc"}) {
		t.Errorf("Strings = %q, %v", got, err)
	}
	wrong := map[string]func(string) error{
		"u64":  func(k string) error { _, err := f.Int(k); return err },
		"f32":  func(k string) error { _, err := f.Int(k); return err },
		"i32":  func(k string) error { _, err := f.Float(k); return err },
		"u8":   func(k string) error { _, err := f.String(k); return err },
		"i8":   func(k string) error { _, err := f.Bool(k); return err },
		"bool": func(k string) error { _, err := f.Ints(k); return err },
		"[]u8": func(k string) error { _, err := f.Strings(k); return err },
	}
	for key, get := range wrong {
		if err := get(key); err == nil || errors.Is(err, ErrNoKey) {
			t.Errorf("key %s read as another type gives %v", key, err)
		}
		if err := get("absent"); !errors.Is(err, ErrNoKey) {
			t.Errorf("an absent key gives %v", err)
		}
	}
}

func TestWriteIsAtomic(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	failing := errors.New("source broken")
	tests := map[string]struct {
		ctx     context.Context
		keys    []KV
		tensors []Source
		is      error
	}{
		"failing":    {t.Context(), nil, []Source{{"a", F32, []int{1}, func(context.Context, io.Writer) error { return failing }}}, failing},
		"short":      {t.Context(), nil, []Source{{"a", F32, []int{2}, raw(make([]byte, 7))}}, nil},
		"long":       {t.Context(), nil, []Source{{"a", F32, []int{2}, raw(make([]byte, 9))}}, nil},
		"cancelled":  {cancelled, nil, sources(), context.Canceled},
		"key twice":  {t.Context(), []KV{{"a", true}, {"a", true}}, nil, nil},
		"value":      {t.Context(), []KV{{"a", 1}}, nil, nil},
		"name twice": {t.Context(), nil, append(sources(), sources()...), nil},
		"long name":  {t.Context(), nil, []Source{{string(bytes.Repeat([]byte("n"), 64)), F32, []int{2}, raw(make([]byte, 8))}}, nil},
		"block":      {t.Context(), nil, []Source{{"a", Q4_0, []int{2, 48}, raw(make([]byte, 54))}}, nil},
		"dims":       {t.Context(), nil, []Source{{"a", F32, []int{1, 1, 1, 1, 1}, raw(make([]byte, 4))}}, nil},
		"zero":       {t.Context(), nil, []Source{{"a", F32, []int{0}, raw(nil)}}, nil},
		"alignment":  {t.Context(), []KV{{AlignmentKey, uint32(48)}}, nil, nil},
		"disk":       {t.Context(), nil, []Source{{"a", F32, []int{1 << 30, 1 << 20}, raw(nil)}}, nil},
		"kind":       {t.Context(), nil, []Source{{"a", Type(99), []int{1}, raw(nil)}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.gguf")
			if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Write(test.ctx, path, test.keys, test.tensors)
			if err == nil || (test.is != nil && !errors.Is(err, test.is)) {
				t.Errorf("error is %v", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("files remain: %v, %v", entries, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "before" {
				t.Errorf("the old file now holds %q, %v", got, err)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	var also bytes.Buffer
	if err := Write(t.Context(), path, everyKind(), sources(), &also); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, encode(t, everyKind(), sources())) || !bytes.Equal(got, also.Bytes()) {
		t.Errorf("Write and Encode differ: %v", err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := f.ReadTensor(f.Tensors[0]); err == nil {
		t.Error("reading a closed file gives no error")
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("opening a folder gives no error")
	}
}

func TestTypes(t *testing.T) {
	for kind, l := range layouts {
		if got, err := ParseType(kind.String()); err != nil || got != kind {
			t.Errorf("ParseType(%s) = %v, %v", kind, got, err)
		}
		if size, err := kind.Size(int64(2 * l.block)); err != nil || size != int64(2*l.size) {
			t.Errorf("%s: 2 blocks take %d bytes, %v", kind, size, err)
		}
	}
	for _, n := range []int64{-32, 33, math.MaxInt64 &^ 31} {
		if size, err := Q4_0.Size(n); err == nil {
			t.Errorf("Size(%d) = %d, want an error", n, size)
		}
	}
	if _, err := ParseType("q9"); err == nil {
		t.Error("an unknown name gives no error")
	}
}

func TestFloats(t *testing.T) {
	values := []float32{0, 1, -2.5, 65504, 1.0 / 1024}
	for _, kind := range []Type{F32, F16, BF16} {
		data, err := EncodeFloats(kind, values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeFloats(kind, data, len(values))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			// float16 represents these values exactly; bfloat16 keeps 8 bits of mantissa.
			if math.Abs(float64(got[i]-v)) > math.Abs(float64(v))/256 || (kind != BF16 && got[i] != v) {
				t.Errorf("%s: %g becomes %g", kind, v, got[i])
			}
		}
		if _, err := DecodeFloats(kind, data, len(values)+1); err == nil {
			t.Errorf("%s: a wrong length gives no error", kind)
		}
	}
	if _, err := DecodeFloats(Q4_0, make([]byte, 18), 32); err == nil {
		t.Error("decoding blocks gives no error")
	}
	if _, err := EncodeFloats(Q4_0, make([]float32, 32)); err == nil {
		t.Error("encoding blocks gives no error")
	}
}
