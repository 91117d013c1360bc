package ggmlquant

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"prunellm/models/gguf"
)

var convertibles = []gguf.Type{
	gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.MXFP4,
	gguf.Q2_K, gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K,
}

func normal(seed uint64, n int) []float32 {
	random := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	return values
}

// relative returns the L2 norm of got - want divided by the L2 norm of want.
func relative(got, want []float32) float64 {
	var difference, norm float64
	for i := range want {
		d := float64(got[i] - want[i])
		difference += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(difference / norm)
}

// The bounds of the relative error on normally distributed values are about 1.5 times ggml's own error. A wrong block,
// scale or order gives an error near 1 or above.
func TestRoundTripError(t *testing.T) {
	bounds := map[gguf.Type]float64{
		gguf.F32: 0, gguf.F16: 4e-4, gguf.BF16: 3e-3, gguf.Q8_0: 0.01, gguf.Q6_K: 0.03, gguf.Q5_1: 0.06, gguf.Q5_0: 0.06,
		gguf.Q5_K: 0.06, gguf.Q4_1: 0.12, gguf.Q4_0: 0.13, gguf.Q4_K: 0.12, gguf.MXFP4: 0.2, gguf.Q3_K: 0.25, gguf.Q2_K: 0.45,
	}
	const rowLen, rows = 512, 24
	values := normal(3, rowLen*rows)
	for _, kind := range convertibles {
		t.Run(kind.String(), func(t *testing.T) {
			raw, err := Quantize(kind, values, rowLen)
			if err != nil {
				t.Fatal(err)
			}
			if size, _ := kind.Size(rowLen * rows); int64(len(raw)) != size {
				t.Fatalf("%d bytes, want %d", len(raw), size)
			}
			got, err := Dequantize(kind, raw, len(values))
			if err != nil {
				t.Fatal(err)
			}
			if e := relative(got, values); e > bounds[kind] {
				t.Errorf("relative error %g, want at most %g", e, bounds[kind])
			}
		})
	}
}

// Several threads convert a large input. Each row still gives the same bytes as when it is converted alone.
func TestThreadsDoNotShow(t *testing.T) {
	const rowLen = 768
	rows := 5*chunkValues/rowLen + 1
	values := normal(5, rows*rowLen)
	for _, kind := range []gguf.Type{gguf.Q4_1, gguf.Q8_0, gguf.Q6_K, gguf.F16} {
		raw, err := Quantize(kind, values, rowLen)
		if err != nil {
			t.Fatal(err)
		}
		all, err := Dequantize(kind, raw, len(values))
		if err != nil {
			t.Fatal(err)
		}
		size, _ := kind.Size(rowLen)
		for _, row := range []int{0, 1, rows / 2, rows - 1} {
			alone, err := Quantize(kind, values[row*rowLen:(row+1)*rowLen], rowLen)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(alone, raw[int64(row)*size:int64(row+1)*size]) {
				t.Errorf("%s: row %d differs from the same row alone", kind, row)
			}
			decoded, err := Dequantize(kind, alone, rowLen)
			if err != nil {
				t.Fatal(err)
			}
			if relative(all[row*rowLen:(row+1)*rowLen], decoded) != 0 {
				t.Errorf("%s: row %d is decoded differently alone", kind, row)
			}
		}
	}
}

// In all but the K types, quantizing dequantized values gives the same bytes, so requantizing a file to its own type
// loses nothing.
func TestRequantizingIsIdempotent(t *testing.T) {
	values := normal(7, 1<<16)
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.MXFP4} {
		once, err := Quantize(kind, values, 256)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Dequantize(kind, once, len(values))
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Quantize(kind, decoded, 256)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, twice) {
			t.Errorf("%s: a second round trip changes bytes", kind)
		}
	}
}

func TestRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	block := func(v float32) []float32 { values := make([]float32, 256); values[9] = v; return values }
	quantize := map[string]struct {
		kind   gguf.Type
		values []float32
		rowLen int
	}{
		"block":         {gguf.Q4_0, make([]float32, 48), 48},
		"k block":       {gguf.Q4_K, make([]float32, 576), 576},
		"rows":          {gguf.Q4_0, make([]float32, 33), 32},
		"row length":    {gguf.Q4_0, make([]float32, 32), 0},
		"negative":      {gguf.Q4_0, make([]float32, 32), -32},
		"unknown":       {gguf.Type(31), make([]float32, 32), 32},
		"needs imatrix": {gguf.IQ2XXS, make([]float32, 256), 256},
		"integer":       {gguf.I32, make([]float32, 32), 32},
		"nan":           {gguf.Q6_K, block(nan), 256},
		"nan f16":       {gguf.F16, block(nan), 256},
		"inf":           {gguf.Q8_0, block(inf), 256},
		"inf f32":       {gguf.F32, block(inf), 256},
		"too large":     {gguf.Q4_1, block(1e6), 256},
	}
	for name, test := range quantize {
		if raw, err := Quantize(test.kind, test.values, test.rowLen); err == nil {
			t.Errorf("quantize, %s: %d bytes and no error", name, len(raw))
		}
	}
	dequantize := map[string]struct {
		kind gguf.Type
		raw  []byte
		n    int
	}{
		"short":    {gguf.Q4_0, make([]byte, 17), 32},
		"long":     {gguf.Q4_0, make([]byte, 19), 32},
		"block":    {gguf.Q4_0, make([]byte, 18), 31},
		"negative": {gguf.Q4_0, nil, -32},
		"unknown":  {gguf.Type(31), make([]byte, 32), 32},
		"iq":       {gguf.IQ4NL, make([]byte, 18), 32},
		"integer":  {gguf.I32, make([]byte, 128), 32},
		"overflow": {gguf.Q8_0, nil, math.MaxInt},
	}
	for name, test := range dequantize {
		if values, err := Dequantize(test.kind, test.raw, test.n); err == nil {
			t.Errorf("dequantize, %s: %d values and no error", name, len(values))
		}
	}
	for _, kind := range convertibles {
		if values, err := Dequantize(kind, nil, 0); err != nil || len(values) != 0 {
			t.Errorf("%s: decoding no bytes gives %v, %v", kind, values, err)
		}
		if raw, err := Quantize(kind, nil, 256); err != nil || len(raw) != 0 {
			t.Errorf("%s: encoding no values gives %v, %v", kind, raw, err)
		}
	}
}

// The largest accepted values are still finite after a round trip.
func TestExtremes(t *testing.T) {
	for _, kind := range convertibles {
		for _, v := range []float32{65504, -65504, 1e-8, -1e-38, math.SmallestNonzeroFloat32, 0} {
			values := make([]float32, 256)
			values[0], values[40] = v, v/2
			raw, err := Quantize(kind, values, 256)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Dequantize(kind, raw, 256)
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range got {
				if x-x != 0 {
					t.Fatalf("%s: %g gives %g at %d", kind, v, x, i)
				}
			}
		}
	}
}

// Dequantize accepts any bytes: a hostile tensor cannot crash ggml.
func FuzzDequantize(f *testing.F) {
	for _, kind := range convertibles {
		f.Add(uint32(kind), []byte{0xff, 0x7f, 0x80, 1})
	}
	f.Fuzz(func(t *testing.T, kind uint32, seed []byte) {
		k := gguf.Type(kind)
		if !k.Known() {
			return
		}
		raw := make([]byte, 2*k.TypeSize())
		for i := range raw {
			if len(seed) > 0 {
				raw[i] = seed[i%len(seed)]
			}
		}
		values, err := Dequantize(k, raw, 2*k.BlockSize())
		if err == nil && len(values) != 2*k.BlockSize() {
			t.Errorf("%d values", len(values))
		}
	})
}

func BenchmarkQuantize(b *testing.B) {
	values := normal(1, 576*4096)
	for _, kind := range []gguf.Type{gguf.Q4_0, gguf.Q4_1, gguf.Q8_0, gguf.F16} {
		b.Run(kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(4 * len(values)))
			for b.Loop() {
				if _, err := Quantize(kind, values, 576); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDequantize(b *testing.B) {
	values := normal(1, 576*4096)
	for _, kind := range []gguf.Type{gguf.Q4_1, gguf.Q8_0, gguf.F16} {
		raw, err := Quantize(kind, values, 576)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(4 * len(values)))
			for b.Loop() {
				if _, err := Dequantize(kind, raw, len(values)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
