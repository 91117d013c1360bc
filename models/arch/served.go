package arch

import "slices"

// served lists the architectures that the bundled llama.cpp runs as decoders whose KV cache can be truncated at any
// position. It is llama.cpp's own list, sorted, without encoders, diffusion models and models with a recurrent state.
var served = [...]string{
	"afmoe", "apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chameleon",
	"chatglm", "codeshell", "cogvlm", "cohere2", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "dots1",
	"ernie4_5", "ernie4_5-moe", "exaone", "exaone4", "falcon", "gemma", "gemma2", "gemma3", "gemma3n", "glm4",
	"glm4moe", "gpt-oss", "gpt2", "gptj", "gptneox", "granite", "granitemoe", "grok", "grovemoe", "hunyuan-dense",
	"hunyuan-moe", "internlm2", "jais", "llama", "llama4", "minicpm", "minicpm3", "minimax-m2", "mistral3", "mpt",
	"nemotron", "olmo", "olmo2", "olmoe", "openelm", "orion", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo",
	"plm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss",
	"smallthinker", "smollm3", "solar", "stablelm", "starcoder", "starcoder2", "xverse",
}

// Served reports whether the engine can run a model of that architecture unpruned.
func Served(name string) bool {
	_, ok := slices.BinarySearch(served[:], name)
	return ok
}
