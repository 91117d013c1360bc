package convert

import (
	"context"
	"io"
	"runtime"
	"slices"

	"prunellm/models/gguf"
)

// chunkValues is the number of values in a chunk. It is large enough to keep a core busy and small enough that all
// chunks in flight take only a few MiB.
const chunkValues = 1 << 17

// rowPlan says where the rows of one written tensor come from.
type rowPlan struct {
	file   *gguf.File
	source gguf.TensorInfo
	codec  Codec
	kind   gguf.Type // of the written tensor
	shape  []int     // of the written tensor, slowest axis first
	rows   []int     // source row of each written row; nil: every row, in order
	cols   []int     // source column of each written column; nil: every column, in order
	values []float32 // float32[shape...] to write instead of the source's values, unless nil
}

func (p *rowPlan) rowLen() int { return p.shape[len(p.shape)-1] }

func (p *rowPlan) rowCount() int {
	n := 1
	for _, d := range p.shape[:len(p.shape)-1] {
		n *= d
	}
	return n
}

// write writes all rows in order.
func (p *rowPlan) write(ctx context.Context, w io.Writer) error {
	step := max(1, chunkValues/p.source.RowLength())
	count := p.rowCount()
	return inOrder(ctx, (count+step-1)/step, func(i int) ([]byte, error) {
		return p.chunk(i*step, min((i+1)*step, count))
	}, func(chunk []byte) error {
		_, err := w.Write(chunk)
		return err
	})
}

// chunk returns the bytes of the written rows [from, to).
func (p *rowPlan) chunk(from, to int) ([]byte, error) {
	if p.values != nil {
		return p.codec.encode(p.kind, p.values[from*p.rowLen():to*p.rowLen()], p.rowLen())
	}
	first, last := from, to // the smallest range of source rows that covers the written ones
	if p.rows != nil {
		first, last = slices.Min(p.rows[from:to]), slices.Max(p.rows[from:to])+1
	}
	sourceLen := p.source.RowLength()
	rowBytes := p.source.Size / (p.source.Elements() / int64(sourceLen))
	raw, err := p.file.ReadRange(p.source, int64(first)*rowBytes, int64(last)*rowBytes)
	if err != nil {
		return nil, err
	}
	if p.rows != nil {
		raw = gather(raw, int(rowBytes), p.rows[from:to], first)
	}
	if p.kind == p.source.Type && p.cols == nil {
		return raw, nil
	}
	values, err := p.codec.decode(p.source.Type, raw, (to-from)*sourceLen)
	if err != nil {
		return nil, err
	}
	if p.cols != nil {
		values = gatherColumns(values, sourceLen, p.cols)
	}
	return p.codec.encode(p.kind, values, p.rowLen())
}

// gather returns the given rows of raw, which begins with row first.
func gather(raw []byte, rowBytes int, rows []int, first int) []byte {
	out := make([]byte, 0, len(rows)*rowBytes)
	for _, row := range rows {
		at := (row - first) * rowBytes
		out = append(out, raw[at:at+rowBytes]...)
	}
	return out
}

func gatherColumns(values []float32, rowLen int, cols []int) []float32 {
	out := make([]float32, 0, len(values)/rowLen*len(cols))
	for ; len(values) > 0; values = values[rowLen:] {
		for _, col := range cols {
			out = append(out, values[col])
		}
	}
	return out
}

// inOrder calls produce(0) to produce(n-1) on all cores and passes the results to write in order. At most GOMAXPROCS
// results wait to be written. inOrder returns when all calls have returned.
func inOrder(ctx context.Context, n int, produce func(i int) ([]byte, error), write func([]byte) error) error {
	type result struct {
		data []byte
		err  error
	}
	if n == 1 {
		data, err := produce(0)
		if err != nil {
			return err
		}
		return write(data)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pending := make(chan chan result, runtime.GOMAXPROCS(0)) // bounds the calls in flight
	go func() {
		defer close(pending)
		for i := range n {
			done := make(chan result, 1) // buffered: the only send never blocks
			select {
			case pending <- done:
			case <-ctx.Done():
				return
			}
			go func() {
				data, err := produce(i)
				done <- result{data, err}
			}()
		}
	}()
	var failure error
	for done := range pending {
		r := <-done
		if failure != nil {
			continue // wait for the running calls
		}
		if failure = r.err; failure == nil {
			failure = write(r.data)
		}
		if failure != nil {
			cancel()
		}
	}
	if failure == nil {
		failure = ctx.Err()
	}
	return failure
}
