package models

import (
	"fmt"
	"slices"
)

// preTokenizers lists the pre-tokenizers that llama.cpp knows at the version in go.mod. A pre-tokenizer splits a text
// into words before bytes are merged. For any other name llama.cpp silently uses its default one.
var preTokenizers = [...]string{
	"a.x-4.0", "afmoe", "bailingmoe", "bailingmoe2", "bloom", "chameleon", "chatglm-bpe", "codeshell", "command-r",
	"dbrx", "deepseek-coder", "deepseek-llm", "deepseek-r1-qwen", "deepseek-v3", "default", "exaone", "exaone4",
	"falcon", "falcon-h1", "falcon3", "gigachat", "glm4", "gpt-2", "gpt-4o", "gpt3-finnish", "granite-docling",
	"grok-2", "hunyuan", "hunyuan-dense", "jais", "jina-de", "jina-es", "jina-v1-en", "jina-v2-code", "jina-v2-de",
	"jina-v2-es", "kimi-k2", "kormo", "lfm2", "llada-moe", "llama-bpe", "llama-v3", "llama3", "llama4", "megrez",
	"mellum", "midm-2.0", "minerva-7b", "minimax-m2", "mpt", "olmo", "phi-2", "pixtral", "poro-chat", "qwen2",
	"refact", "roberta-bpe", "seed-coder", "smaug-bpe", "smollm", "stablelm2", "starcoder", "superbpe", "tekken",
	"trillion", "viking",
}

// PreTokenizerFault describes why llama.cpp may split texts into other tokens than those the model was trained on. The reason is
// that the file of a byte-level vocabulary names no pre-tokenizer, or one that llama.cpp does not know. Otherwise it returns "".
func (t Tokenizer) PreTokenizerFault() string {
	switch {
	case t.Model != ByteLevelBPE || slices.Contains(preTokenizers[:], t.Pre):
		return ""
	case t.Pre == "":
		return "the file names no pre-tokenizer (tokenizer.ggml.pre); texts may give other tokens than the model was trained on"
	}
	return fmt.Sprintf("pre-tokenizer %.40q is unknown (tokenizer.ggml.pre); texts may give other tokens than the model was trained on", t.Pre)
}
