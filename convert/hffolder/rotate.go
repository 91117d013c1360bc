package hffolder

import "prunellm/models/arch"

// changeLayout reorders the rows of whole heads from one RoPE layout to the other. A row has rowBytes.
func changeLayout(raw []byte, rowBytes int, from arch.RoPELayout, headDim int) []byte {
	places := from.Places(headDim)
	out := make([]byte, 0, len(raw))
	for head := 0; head < len(raw); head += headDim * rowBytes {
		for _, place := range places {
			row := head + place*rowBytes
			out = append(out, raw[row:row+rowBytes]...)
		}
	}
	return out
}
