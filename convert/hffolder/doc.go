// Package hffolder converts a safetensors folder (config.json, *.safetensors, tokenizer files) to a GGUF file, and a GGUF
// file to such a folder, which transformers and vLLM load.
//
// It neither prunes nor runs a model. The architectures are the Folders of package arch.
//
// # Data flow
//
// ToGGUF reads config.json into a models.Config, checks every tensor of every file against it, builds the vocabulary and
// streams the tensors. Matrices keep their dtype bit for bit; vectors become F32, which llama.cpp requires. For a GGUF
// architecture in layout RoPEPairs it reorders the rows of q and k.
//
// FromGGUF is the inverse.
//
// # Errors
//
// A folder may be hostile: the package checks sizes and counts against limits before it allocates. A model that prunellm does
// not compute gives an error that wraps models.ErrUnsupported.
package hffolder

// The files of a folder, and limits of their sizes in bytes.
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
