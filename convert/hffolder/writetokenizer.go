package hffolder

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"prunellm/models"
	"prunellm/models/gguf"
)

// rebuilt returns the text files of a folder, rebuilt from a GGUF file's metadata.
func rebuilt(model *models.GGUF, kind gguf.Type) (map[string][]byte, error) {
	tokenizer := model.Tokenizer()
	config, err := newConfig(model.Config(), tokenizer, kind)
	if err != nil {
		return nil, err
	}
	tokens, err := model.File().Strings("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	w := &tokenizerWriter{file: model.File(), tokenizer: tokenizer, tokens: tokens}
	w.types, _ = value[[]int32](w.file, "tokenizer.ggml.token_type") // nil: all tokens are normal
	body, err := w.body()
	if err != nil {
		return nil, err
	}
	settings, err := w.settings(model.Config())
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{configFile: config, tokenizerFile: body, tokenizerConfigFile: settings}
	if files[generationFile], err = w.generation(); err != nil {
		return nil, err
	}
	return files, nil
}

// generation returns generation_config.json. It lists every token that ends an answer, of which config.json names only one,
// and the sampling settings that the file recommends.
func (w *tokenizerWriter) generation() ([]byte, error) {
	fields := object{}
	if w.tokenizer.BOS >= 0 {
		fields["bos_token_id"] = w.tokenizer.BOS
	}
	switch ends := w.ends(); len(ends) {
	case 0:
	case 1:
		fields["eos_token_id"] = ends[0]
	default:
		fields["eos_token_id"] = ends
	}
	if recommended := models.SamplingFromGGUF(w.file); len(recommended) > 0 {
		temperature, ok := recommended["temperature"]
		fields["do_sample"] = !ok || temperature > 0 // transformers ignores the settings otherwise
		for name, v := range recommended {
			if v > 0 { // it refuses a temperature of 0
				fields[name] = v
			}
		}
	}
	return json.MarshalIndent(fields, "", "  ")
}

// ends returns the tokens that end an answer according to the file's keys.
func (w *tokenizerWriter) ends() (ids []int) {
	for _, name := range []string{"eos", "eot", "eom"} {
		id, err := w.file.Int("tokenizer.ggml." + name + "_token_id")
		if err == nil && id >= 0 && id < int64(len(w.tokens)) && !slices.Contains(ids, int(id)) {
			ids = append(ids, int(id))
		}
	}
	return ids
}

func value[T any](f *gguf.File, key string) (T, bool) {
	raw, _ := f.Value(key)
	typed, ok := raw.(T)
	return typed, ok
}

// tokenizerWriter writes tokenizer.json and tokenizer_config.json.
type tokenizerWriter struct {
	file      *gguf.File
	tokenizer models.Tokenizer
	tokens    []string
	types     []int32
}

func (w *tokenizerWriter) kind(id int) int32 {
	if w.types == nil {
		return tokenNormal
	}
	return w.types[id]
}

// object is a JSON object.
type object = map[string]any

// body returns tokenizer.json.
func (w *tokenizerWriter) body() ([]byte, error) {
	vocab := make(map[string]int, len(w.tokens))
	var added []object
	for id, token := range w.tokens {
		switch w.kind(id) {
		case tokenControl, tokenUserDefined:
			added = append(added, object{
				"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
				"special": w.kind(id) == tokenControl,
			})
		}
		vocab[token] = id // include added tokens, or tokenizers would number them after all others
	}
	out := object{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil, "post_processor": w.postProcessor()}
	model := object{"type": "BPE", "dropout": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": false, "vocab": vocab}
	var err error
	if w.tokenizer.Model == models.ByteLevelBPE {
		err = w.byteLevel(out, model)
	} else {
		err = w.sentencePiece(out, model)
	}
	if err != nil {
		return nil, err
	}
	out["model"] = model
	return json.MarshalIndent(out, "", " ")
}

// byteLevel fills in the fields of a byte-level BPE tokenizer.
func (w *tokenizerWriter) byteLevel(out, model object) error {
	merges, err := w.file.Strings("tokenizer.ggml.merges")
	if err != nil {
		return err
	}
	bytesOnly := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	words := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	split := func(regex string) object {
		return object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": "Isolated", "invert": false}
	}
	sequence := func(steps ...object) object { return object{"type": "Sequence", "pretokenizers": steps} }
	switch w.tokenizer.Pre {
	case preSmol:
		out["pre_tokenizer"] = sequence(object{"type": "Digits", "individual_digits": true}, words)
	case preGPT2:
		out["pre_tokenizer"] = words
	case preLlama3, preSmaug:
		out["pre_tokenizer"] = sequence(split(splitLlama3), bytesOnly)
		model["ignore_merges"] = w.tokenizer.Pre == preLlama3 // as llama.cpp does for this name
	case preQwen2:
		out["normalizer"] = object{"type": "NFC"}
		out["pre_tokenizer"] = sequence(split(splitQwen2), bytesOnly)
	default:
		return fmt.Errorf("%w: cannot write pre-tokenizer %.40q to %s; name the model's source folder", models.ErrUnsupported, w.tokenizer.Pre, tokenizerFile)
	}
	model["unk_token"], model["byte_fallback"], model["merges"] = nil, false, merges
	out["decoder"] = object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}
	return nil
}

// sentencePiece fills in the fields of a SentencePiece vocabulary. It writes a BPE over characters with byte tokens as
// the fallback; the merges follow from the scores.
func (w *tokenizerWriter) sentencePiece(out, model object) error {
	scores, ok := value[[]float32](w.file, "tokenizer.ggml.scores")
	if !ok {
		return fmt.Errorf("%w: a SentencePiece vocabulary without scores", models.ErrUnsupported)
	}
	model["merges"] = mergesOf(w.tokens, scores, func(id int) bool { return w.kind(id) == tokenNormal })
	model["byte_fallback"], model["fuse_unk"] = true, true
	for id := range w.tokens {
		if w.kind(id) == 2 {
			model["unk_token"] = w.tokens[id]
			break
		}
	}
	steps := []object{{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}}
	decoders := []object{
		{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
	}
	if prefix, ok := value[bool](w.file, "tokenizer.ggml.add_space_prefix"); !ok || prefix {
		steps = append([]object{{"type": "Prepend", "prepend": "▁"}}, steps...)
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	out["normalizer"] = object{"type": "Sequence", "normalizers": steps}
	out["pre_tokenizer"] = nil
	out["decoder"] = object{"type": "Sequence", "decoders": decoders}
	return nil
}

// mergesOf lists the merges that build each piece from two others, the piece with the highest score first.
func mergesOf(tokens []string, scores []float32, normal func(id int) bool) []string {
	ids := make(map[string]int, len(tokens))
	for id, token := range tokens {
		ids[token] = id
	}
	type merge struct{ left, right, whole int }
	var merges []merge
	for id, token := range tokens {
		if !normal(id) {
			continue
		}
		from := len(merges)
		for cut := range token {
			if cut == 0 {
				continue
			}
			left, okLeft := ids[token[:cut]]
			right, okRight := ids[token[cut:]]
			if okLeft && okRight && normal(left) && normal(right) {
				merges = append(merges, merge{left, right, id})
			}
		}
		slices.SortFunc(merges[from:], func(a, b merge) int {
			return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
		})
	}
	slices.SortStableFunc(merges, func(a, b merge) int { return cmp.Compare(scores[b.whole], scores[a.whole]) })
	lines := make([]string, len(merges))
	for i, m := range merges {
		lines[i] = tokens[m.left] + " " + tokens[m.right]
	}
	return lines
}

// addsBOS reports whether a text begins with BOS.
func (w *tokenizerWriter) addsBOS() bool {
	if explicit, ok := value[bool](w.file, "tokenizer.ggml.add_bos_token"); ok {
		return explicit
	}
	return w.tokenizer.AddBOS || w.tokenizer.Pre == preLlama3 // llama.cpp's default if the key is absent
}

func (w *tokenizerWriter) text(id int) string {
	if id < 0 || id >= len(w.tokens) {
		return ""
	}
	return w.tokens[id]
}

// postProcessor returns the step that adds BOS to a text, or nil if the model adds none.
func (w *tokenizerWriter) postProcessor() any {
	bos := w.text(w.tokenizer.BOS)
	if !w.addsBOS() || bos == "" {
		return nil
	}
	special := func(kind int) object { return object{"SpecialToken": object{"id": bos, "type_id": kind}} }
	sequence := func(id string, kind int) object { return object{"Sequence": object{"id": id, "type_id": kind}} }
	return object{
		"type": "TemplateProcessing", "single": []object{special(0), sequence("A", 0)},
		"pair":           []object{special(0), sequence("A", 0), special(1), sequence("B", 1)},
		"special_tokens": object{bos: object{"id": bos, "ids": []int{w.tokenizer.BOS}, "tokens": []string{bos}}},
	}
}

// settings returns tokenizer_config.json.
func (w *tokenizerWriter) settings(c models.Config) ([]byte, error) {
	out := object{
		"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": c.ContextLength, "clean_up_tokenization_spaces": false,
		"add_bos_token": w.addsBOS(),
	}
	ids := map[string]int{"bos_token": w.tokenizer.BOS, "eos_token": w.tokenizer.EOS}
	for key, name := range map[string]string{"unk_token": "unknown", "pad_token": "padding"} {
		if id, err := w.file.Int("tokenizer.ggml." + name + "_token_id"); err == nil && id < int64(len(w.tokens)) {
			ids[key] = int(id)
		}
	}
	for key, id := range ids {
		if text := w.text(id); text != "" && !strings.ContainsRune(text, 0) {
			out[key] = text
		}
	}
	if w.tokenizer.ChatTemplate != "" {
		out["chat_template"] = w.tokenizer.ChatTemplate
	}
	return json.MarshalIndent(out, "", "  ")
}
