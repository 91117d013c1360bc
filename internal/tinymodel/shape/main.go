// Command shape writes a random model in the shape of a real one as a GGUF file, to measure what pruning a model of that
// size takes where no real one is at hand. Its text is noise; its time and memory are the real ones.
//
//	go run ./internal/tinymodel/shape -shape llama-3.2-1b -o /tmp/shape.gguf
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"

	"prunellm/convert/ggmlquant"
	"prunellm/convert/gguf"
	"prunellm/internal/tinymodel"
)

// shapes are published architectures; deep and shallow differ from llama-3.2-1b in depth alone, which shows what grows
// with it.
var shapes = map[string]tinymodel.Options{
	"llama-3.2-1b": {Layers: 16, Hidden: 2048, Heads: 32, KVHeads: 8, FFN: slices.Repeat([]int{8192}, 16), Vocab: 128256, Context: 8192},
	"shallow":      {Layers: 4, Hidden: 2048, Heads: 32, KVHeads: 8, FFN: slices.Repeat([]int{8192}, 4), Vocab: 128256, Context: 8192},
	"llama-2-7b":   {Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 32, FFN: slices.Repeat([]int{11008}, 32), Vocab: 32000, Context: 4096, Untied: true},
	"7b-layers":    {Layers: 2, Hidden: 4096, Heads: 32, KVHeads: 32, FFN: slices.Repeat([]int{11008}, 2), Vocab: 32000, Context: 4096, Untied: true},
}

func main() {
	name := flag.String("shape", "llama-3.2-1b", "llama-3.2-1b, shallow, llama-2-7b or 7b-layers")
	kind := flag.String("type", "q8_0", "type of the matrices")
	output := flag.String("o", "", "GGUF file to write")
	flag.Parse()
	if err := write(*name, *kind, *output); err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}

func write(name, kind, output string) error {
	options, ok := shapes[name]
	if !ok || output == "" {
		return fmt.Errorf("shape %q to %q: name a known shape and a file", name, output)
	}
	var err error
	if options.Type, err = gguf.ParseType(kind); err != nil {
		return err
	}
	options.Name, options.Quantize = name, ggmlquant.Quantize
	return tinymodel.Write(output, options)
}
