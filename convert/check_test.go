package convert_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// checked returns the error of Check for a file.
func checked(t *testing.T, path string) error {
	t.Helper()
	file, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return convert.Check(t.Context(), file, ggmlquant.Dequantize)
}

func TestCheck(t *testing.T) {
	if err := checked(t, tiny(t, tinymodel.Options{})); err != nil {
		t.Errorf("Check of a sound file: %v", err)
	}
	for path, want := range map[string]string{
		mutated(t, poke("blk.0.ffn_down.weight", float32(math.NaN()))):                          "value 10 is NaN or infinite",
		tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: gguf.AlignmentKey, Value: uint32(8)}}}): "must be a multiple of 32",
	} {
		if err := checked(t, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check gives %v, want %q", err, want)
		}
	}
}

// Check finds a scale that is not finite in every block format, and reports the same value index as dequantizing does.
func TestCheckScales(t *testing.T) {
	const name = "blk.1.ffn_gate.weight"
	for kind, halves := range map[gguf.Type]int{gguf.Q4_0: 1, gguf.Q4_1: 2, gguf.Q5_0: 1, gguf.Q5_1: 2, gguf.Q8_0: 1} {
		for half := range halves {
			for _, bits := range []uint16{0x7c00, 0xfc00, 0x7e01, 0x7c01} {
				path := filepath.Join(t.TempDir(), "bad.gguf")
				if err := tinymodel.Write(path, tinymodel.Options{Type: kind, Quantize: ggmlquant.Quantize}); err != nil {
					t.Fatal(err)
				}
				if err := checked(t, path); err != nil {
					t.Fatalf("%s: Check of a sound file: %v", kind, err)
				}
				at := pokeScale(t, path, name, 5, half, bits)
				if err := checked(t, path); err == nil || !strings.Contains(err.Error(), `"`+name+`": value 160 is NaN or infinite`) {
					t.Errorf("%s with %#x at byte %d: Check gives %v", kind, bits, at, err)
				}
			}
		}
	}
}

// pokeScale overwrites one float16 of a block and returns its offset in the block.
func pokeScale(t *testing.T, path, tensor string, block, half int, bits uint16) int64 {
	t.Helper()
	file, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, _ := file.Tensor(tensor)
	at := file.DataOffset + info.Offset + int64(block*info.Type.TypeSize()+2*half)
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteAt(binary.LittleEndian.AppendUint16(nil, bits), at); err != nil {
		t.Fatal(err)
	}
	return at
}
