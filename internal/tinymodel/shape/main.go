// Command shape writes a random model with the shape of a real one as a GGUF file. It serves to measure the time and memory of
// pruning a model of that size. The model's text is noise.
//
//	go run ./internal/tinymodel/shape -shape llama-3.2-1b -o /tmp/shape.gguf
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// shapes are published architectures.
var shapes = map[string]tinymodel.Options{
	"smollm2-135m": {Layers: 30, Hidden: 576, Heads: 9, KVHeads: 3, FFN: []int{1536}, Vocab: 49152, Context: 8192},
	"llama-3.2-1b": {Layers: 16, Hidden: 2048, Heads: 32, KVHeads: 8, FFN: []int{8192}, Vocab: 128256, Context: 8192},
	"llama-2-7b":   {Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 32, FFN: []int{11008}, Vocab: 32000, Context: 4096, Untied: true},
}

func main() {
	name := flag.String("shape", "llama-3.2-1b", "smollm2-135m, llama-3.2-1b or llama-2-7b")
	layers := flag.Int("layers", 0, "number of layers, 0 for the real model's")
	kind := flag.String("type", "q8_0", "type of the matrices")
	output := flag.String("o", "", "GGUF file to write")
	flag.Parse()
	if err := write(*name, *kind, *output, *layers); err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}

func write(name, kind, output string, layers int) error {
	options, ok := shapes[name]
	if !ok || output == "" || layers < 0 {
		return fmt.Errorf("cannot write shape %q with %d layers to %q: name a known shape and a file", name, layers, output)
	}
	if layers > 0 {
		options.Layers = layers
	}
	options.FFN = slices.Repeat(options.FFN, options.Layers)
	var err error
	if options.Type, err = gguf.ParseType(kind); err != nil {
		return err
	}
	options.Name, options.Quantize = name, ggmlquant.Quantize
	return tinymodel.Write(output, options)
}
