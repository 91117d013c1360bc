// Package hffolder converts between GGUF files and the safetensors folders of Hugging Face: config.json, *.safetensors
// and tokenizer files. transformers and vLLM load the folders that it writes.
//
// It neither prunes nor runs a model. It supports the architectures that package arch lists in Folders.
//
// # Data flow
//
// ToGGUF reads config.json into a models.Config, checks every tensor of every file against it, builds the vocabulary
// and streams the tensors. It copies matrices bit for bit and converts vectors to F32, which llama.cpp requires. If the
// GGUF architecture uses the layout RoPEPairs, it reorders the rows of q and k.
//
// FromGGUF is the inverse.
//
// # Errors
//
// A folder may be hostile, so the package checks sizes and counts against limits before it allocates. For a model that
// prunellm cannot compute, ToGGUF returns an error that wraps models.ErrUnsupported.
package hffolder

// The files of a folder, and the limits of their sizes in bytes.
const (
	configFile          = "config.json"
	weightsFile         = "model.safetensors"
	indexFile           = "model.safetensors.index.json"
	tokenizerFile       = "tokenizer.json"
	sentencePieceFile   = "tokenizer.model"
	tokenizerConfigFile = "tokenizer_config.json"
	specialTokensFile   = "special_tokens_map.json"
	addedTokensFile     = "added_tokens.json"
	generationFile      = "generation_config.json"
	templateFile        = "chat_template.jinja"
	modelCardFile       = "README.md"

	maxConfigBytes    = 1 << 20
	maxIndexBytes     = 16 << 20
	maxTokenizerBytes = 64 << 20
	maxShards         = 1 << 10
)
