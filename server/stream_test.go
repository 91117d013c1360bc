package server

import (
	"bufio"
	"io"
	"testing"

	"prunellm/infer"
)

func BenchmarkChatStreamChunk(b *testing.B) {
	stream := &chatStream{head: head{id: "chatcmpl-x", model: "tiny@0.2", fingerprint: "fp_x"}, out: eventStream{bufio.NewWriter(io.Discard)}, parsers: make([]callParser, 1)}
	chunk := infer.Chunk{Text: " token"}
	b.ReportAllocs()
	for b.Loop() {
		if err := stream.chunk(0, chunk); err != nil {
			b.Fatal(err)
		}
	}
}
