package safetensors

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() []Tensor {
	return []Tensor{
		{Name: "stage2", DType: F32, Shape: []int{2, 3}, Values: []float32{1, -2, 3, 0.5, 1e-30, 6}},
		{Name: "half", DType: F16, Shape: []int{4}, Values: []float32{1, -0.5, 65504, 0}},
		{Name: "brain", DType: BF16, Shape: []int{2, 1}, Values: []float32{1.5, -256}},
		{Name: "stage1", DType: F32, Shape: []int{}, Values: []float32{7}},
		{Name: "none", DType: F32, Shape: []int{0, 5}, Values: []float32{}},
	}
}

func TestRoundTrip(t *testing.T) {
	metadata := map[string]string{"recipe": "sdm \"quoted\" <é>", "a": ""}
	data, err := Encode(sample(), metadata)
	if err != nil {
		t.Fatal(err)
	}
	tensors, got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metadata, got); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	want := sample()
	byName := map[string]Tensor{}
	for _, tensor := range tensors {
		byName[tensor.Name] = tensor
	}
	for _, tensor := range want {
		if diff := cmp.Diff(tensor, byName[tensor.Name]); diff != "" {
			t.Errorf("tensor %s: %s", tensor.Name, diff)
		}
	}
	want[0], want[3] = want[3], want[0]
	again, err := Encode(want, metadata)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("the same tensors in another order give different bytes (%v)", err)
	}
	if length := binary.LittleEndian.Uint64(data); length%8 != 0 {
		t.Errorf("header of %d bytes does not align the data", length)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scores.safetensors")
	if err := WriteFile(t.Context(), path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	onDisk, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inMemory, err := Encode(sample(), nil)
	if err != nil || !bytes.Equal(onDisk, inMemory) {
		t.Errorf("WriteFile and Encode differ (%v)", err)
	}
	tensors, metadata, err := ReadFile(path)
	if err != nil || len(tensors) != 5 || metadata == nil {
		t.Errorf("ReadFile = %d tensors, %v, %v", len(tensors), metadata, err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := f.Float32s("absent"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("an absent tensor gives %v", err)
	}
}

func TestRounding(t *testing.T) {
	tests := []struct {
		dtype    DType
		in, want float32
	}{
		{BF16, 1.00390625, 1}, {BF16, 1.01171875, 1.015625}, {BF16, float32(math.Inf(1)), float32(math.Inf(1))},
		{F16, 2049, 2048}, {F16, 2051, 2052}, {F16, 1e6, float32(math.Inf(1))},
	}
	for _, test := range tests {
		got, err := decodeFloats(test.dtype, appendFloats(nil, test.dtype, []float32{test.in}))
		if err != nil || got[0] != test.want {
			t.Errorf("%g through %s = %v, %v, want %g", test.in, test.dtype, got, err, test.want)
		}
	}
	for _, dtype := range []DType{F32, F16, BF16} {
		got, _ := decodeFloats(dtype, appendFloats(nil, dtype, []float32{math.Float32frombits(0x7f800001)}))
		if got[0] == got[0] {
			t.Errorf("NaN through %s = %g", dtype, got[0])
		}
	}
}

// file returns a safetensors file with that header and data zero bytes of tensors.
func file(header string, data int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, data)...)
}

func TestHostile(t *testing.T) {
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "not a safetensors file"},
		"huge header":   {binary.LittleEndian.AppendUint64(nil, 1<<62), "header of"},
		"truncated":     {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 7), "truncated"},
		"not json":      {file(`GGUF`, 0), "not a JSON object"},
		"array":         {file(`[]`, 0), "not a JSON object"},
		"two values":    {file(`{} {}`, 0), "more than one"},
		"cut":           {file(`{"a":`, 0), "EOF"},
		"twice":         {file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0), "twice"},
		"metadata type": {file(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		"dtype":         {file(`{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, 1), "unknown dtype"},
		"negative dim":  {file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "out of range"},
		"product":       {file(`{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,4]}}`, 4), "out of range"},
		"dims":          {file(`{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, 1), "dimensions"},
		"offsets":       {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "data_offsets"},
		"no offsets":    {file(`{"a":{"dtype":"F32","shape":[1]}}`, 4), "data_offsets"},
		"size":          {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, 8), "8 bytes for"},
		"gap":           {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "gap"},
		"overlap":       {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "overlap"},
		"rest":          {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 9), "belong to no tensor"},
		"empty name":    {file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), "name has 0 bytes"},
		"control":       {file(`{"a\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), "not printable"},
		"utf-8":         {file("{\"\xff\":1}", 0), "UTF-8"},
		"wrong type":    {file(`{"a":[]}`, 0), "tensor"},
		"nesting":       {file(`{"a":`+strings.Repeat("[", 1<<20), 0), "tensor"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := Decode(test.data)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestWriteRefusesAndLeavesNothing(t *testing.T) {
	write := func(n int) func(context.Context, io.Writer) error {
		return func(_ context.Context, w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx     context.Context
		sources []Source
	}{
		"short":     {t.Context(), []Source{{"a", U8, []int{4}, write(3)}}},
		"long":      {t.Context(), []Source{{"a", U8, []int{4}, write(5)}}},
		"twice":     {t.Context(), []Source{{"a", U8, []int{4}, write(4)}, {"a", U8, []int{4}, write(4)}}},
		"dtype":     {t.Context(), []Source{{"a", "X", []int{4}, write(4)}}},
		"cancelled": {cancelled, []Source{{"a", U8, []int{4}, write(4)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := Write(test.ctx, filepath.Join(dir, "x.safetensors"), test.sources, nil); err == nil {
				t.Error("no error")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files remain: %v, %v", left, err)
			}
		})
	}
	if _, err := Encode([]Tensor{{Name: "a", Shape: []int{2}, Values: []float32{1}}}, nil); err == nil {
		t.Error("a shape that does not fit the values gives no error")
	}
}

func FuzzDecode(f *testing.F) {
	valid, err := Encode(sample(), map[string]string{"k": "v"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1))
	f.Add(file(`{"__metadata__":null}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, metadata, err := Decode(data)
		if err != nil {
			return
		}
		encoded, err := Encode(tensors, metadata)
		if err != nil {
			t.Fatalf("the decoded tensors cannot be encoded: %v", err)
		}
		again, _, err := Decode(encoded)
		if err != nil || len(again) != len(tensors) {
			t.Fatalf("the encoded file cannot be decoded: %v", err)
		}
	})
}

func ExampleEncode() {
	data, err := Encode([]Tensor{{Name: "stage1", Shape: []int{1, 2}, Values: []float32{0.25, 4}}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	tensors, _, err := Decode(data)
	fmt.Println(tensors[0].Name, tensors[0].Shape, tensors[0].Values, err)
	// Output: stage1 [1 2] [0.25 4] <nil>
}
