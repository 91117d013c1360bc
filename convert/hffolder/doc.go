// Package hffolder turns a safetensors folder (config.json, *.safetensors, tokenizer files) into a GGUF file, and a GGUF
// file into such a folder, which transformers and vLLM load.
//
// It prunes nothing and runs nothing. The architectures are the Folders of package arch.
//
// # Data flow
//
// ToGGUF reads config.json into a models.Config, checks every tensor of every file against it, builds the vocabulary, and
// streams the tensors. Matrices keep their dtype bit for bit; vectors become F32, as llama.cpp wants them. Where a GGUF
// architecture rotates pairs and safetensors rotate halves, the rows of q and k change places.
//
// FromGGUF is the way back.
//
// # Errors
//
// A folder comes from outside and is hostile: sizes and counts are checked against named limits before anything is
// allocated, and what the folder asks for that we do not compute gives an error that wraps models.ErrUnsupported.
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

	maxConfigBytes    = 1 << 20
	maxIndexBytes     = 16 << 20
	maxTokenizerBytes = 64 << 20
	maxShards         = 1 << 10
)
