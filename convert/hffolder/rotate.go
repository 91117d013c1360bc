package hffolder

// pairRow returns the row of a GGUF matrix in layout RoPEPairs for a row of a safetensors matrix, which is in RoPEHalves.
func pairRow(row, headDim int) int {
	head, r := row/headDim*headDim, row%headDim
	if half := headDim / 2; r < half {
		return head + 2*r
	} else {
		return head + 2*(r-half) + 1
	}
}

// toPairs reorders rows of rowBytes from RoPEHalves to RoPEPairs; toHalves is the inverse.
func toPairs(raw []byte, rowBytes, headDim int) []byte {
	out := make([]byte, len(raw))
	for row := range len(raw) / rowBytes {
		to := pairRow(row, headDim)
		copy(out[to*rowBytes:(to+1)*rowBytes], raw[row*rowBytes:])
	}
	return out
}

func toHalves(raw []byte, rowBytes, headDim int) []byte {
	out := make([]byte, len(raw))
	for row := range len(raw) / rowBytes {
		from := pairRow(row, headDim)
		copy(out[row*rowBytes:(row+1)*rowBytes], raw[from*rowBytes:(from+1)*rowBytes])
	}
	return out
}
