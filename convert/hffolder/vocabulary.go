package hffolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"prunellm/internal/regularfile"
	"prunellm/models"
	"prunellm/models/gguf"
)

// Token types, by ggml's numbers.
const (
	tokenNormal      = 1
	tokenControl     = 3
	tokenUserDefined = 4
	tokenUnused      = 5
)

// vocabulary is a tokenizer as GGUF stores it.
type vocabulary struct {
	model    string // models.ByteLevelBPE or models.SentencePiece
	pre      string // name of the pre-tokenizer; byte-level BPE only
	tokens   []string
	types    []int32
	scores   []float32 // SentencePiece only
	merges   []string  // byte-level BPE only
	template string
	begins   string // special token that starts a text according to tokenizer.json; byte-level BPE only; "" if there is none
	addBOS   *bool
	addSpace *bool // SentencePiece: whether to put a space before a text; nil if the files do not say
	ids      []gguf.KV
	sampling []gguf.KV // settings that the folder recommends
}

// tokenizerFiles holds the contents of a folder's tokenizer files. A missing file is nil.
type tokenizerFiles struct {
	tokenizer, sentencePiece, config, special, added, generation, template []byte
}

// readVocabulary builds the vocabulary of a folder whose embedding has size rows.
func readVocabulary(dir string, raw *rawConfig, size int) (*vocabulary, error) {
	var files tokenizerFiles
	for name, target := range map[string]*[]byte{
		tokenizerFile: &files.tokenizer, sentencePieceFile: &files.sentencePiece, tokenizerConfigFile: &files.config,
		specialTokensFile: &files.special, addedTokensFile: &files.added, generationFile: &files.generation, templateFile: &files.template,
	} {
		data, err := regularfile.Read(filepath.Join(dir, name), maxTokenizerBytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		*target = data
	}
	return files.vocabulary(raw, size)
}

// addedToken is a token outside the model's own vocabulary.
type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// tokenizerJSON is the part of tokenizer.json that the package reads.
type tokenizerJSON struct {
	Added         []addedToken  `json:"added_tokens"`
	PreTokenizer  preTokenizer  `json:"pre_tokenizer"`
	PostProcessor postProcessor `json:"post_processor"`
	Model         struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       json.RawMessage `json:"merges"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"` // do not apply merges to a word that is a token
	} `json:"model"`
}

// tokenizerConfig is the part of tokenizer_config.json that the package reads.
type tokenizerConfig struct {
	BOS      tokenText             `json:"bos_token"`
	EOS      tokenText             `json:"eos_token"`
	Unknown  tokenText             `json:"unk_token"`
	Padding  tokenText             `json:"pad_token"`
	AddBOS   *bool                 `json:"add_bos_token"`
	AddSpace *bool                 `json:"add_prefix_space"`
	Template chatTemplate          `json:"chat_template"`
	Added    map[string]addedToken `json:"added_tokens_decoder"` // by id
}

// tokenText is a token's text, which JSON spells as a string or as an object. Any other value gives "".
type tokenText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *tokenText) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*t = tokenText(text)
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	_ = json.Unmarshal(data, &object) // null and other values name no token
	*t = tokenText(object.Content)
	return nil
}

// chatTemplate is a template, which JSON spells as a string or as a list of named ones. From a list it takes "default".
type chatTemplate string

// UnmarshalJSON implements json.Unmarshaler.
func (c *chatTemplate) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = chatTemplate(text)
		return nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(data, &named); err != nil {
		return fmt.Errorf("chat_template: %w", err)
	}
	for _, n := range named {
		if n.Name == "default" {
			*c = chatTemplate(n.Template)
		}
	}
	return nil
}

// vocabulary builds the vocabulary for an embedding with size rows.
func (f *tokenizerFiles) vocabulary(raw *rawConfig, size int) (*vocabulary, error) {
	if size < 1 || size > models.MaxVocab {
		return nil, fmt.Errorf("the vocabulary has %d tokens but must have 1 to %d", size, models.MaxVocab)
	}
	var tokenizer tokenizerJSON
	var config tokenizerConfig
	if f.tokenizer != nil {
		if err := decodeJSON(f.tokenizer, &tokenizer); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
		}
	}
	if f.config != nil {
		if err := decodeJSON(f.config, &config); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenizerConfigFile, err)
		}
	}
	added, err := f.addedTokens(&tokenizer, &config)
	if err != nil {
		return nil, err
	}
	var v *vocabulary
	switch {
	case f.tokenizer != nil && tokenizer.byteLevel():
		v, err = tokenizer.vocabulary(size)
	case f.sentencePiece != nil:
		v, err = sentencePieceVocabulary(f.sentencePiece, size)
	case f.tokenizer != nil:
		err = fmt.Errorf("%w: the model in %s is of type %.40q and not byte-level; add %s", models.ErrUnsupported, tokenizerFile,
			tokenizer.Model.Type, sentencePieceFile)
	default:
		err = fmt.Errorf("there is neither %s nor %s", tokenizerFile, sentencePieceFile)
	}
	if err != nil {
		return nil, err
	}
	if err := v.add(added, size); err != nil {
		return nil, err
	}
	if v.template = string(config.Template); f.template != nil {
		v.template = string(f.template)
	}
	v.addBOS = config.AddBOS
	if config.AddSpace != nil {
		v.addSpace = config.AddSpace
	}
	return v, v.special(f, raw, &config)
}

// addedTokens collects the added tokens of three files by id. If they disagree, tokenizer.json wins.
func (f *tokenizerFiles) addedTokens(tokenizer *tokenizerJSON, config *tokenizerConfig) (map[int]addedToken, error) {
	added := map[int]addedToken{}
	if f.added != nil {
		var ids map[string]int
		if err := decodeJSON(f.added, &ids); err != nil {
			return nil, fmt.Errorf("%s: %w", addedTokensFile, err)
		}
		for content, id := range ids {
			added[id] = addedToken{ID: id, Content: content}
		}
	}
	for key, token := range config.Added {
		var id int
		if err := json.Unmarshal([]byte(key), &id); err != nil {
			return nil, fmt.Errorf("%s: added_tokens_decoder has the id %.40q", tokenizerConfigFile, key)
		}
		added[id] = addedToken{ID: id, Content: token.Content, Special: token.Special}
	}
	for _, token := range tokenizer.Added {
		added[token.ID] = token
	}
	return added, nil
}

// add puts the added tokens at their ids and fills the vocabulary up to the size of the embedding.
func (v *vocabulary) add(added map[int]addedToken, size int) error {
	ids := make([]int, 0, len(added))
	for id := range added {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		token := added[id]
		kind := int32(tokenUserDefined)
		if token.Special {
			kind = tokenControl
		}
		switch {
		case id < 0 || id >= size:
			return fmt.Errorf("added token %.40q has id %d, but the embedding has %d rows", token.Content, id, size)
		case id < len(v.tokens) && v.tokens[id] != token.Content:
			return fmt.Errorf("token %d is both %.40q and %.40q", id, v.tokens[id], token.Content)
		case id < len(v.tokens):
			if v.model == models.ByteLevelBPE || kind == tokenControl {
				v.types[id] = kind
			}
		default:
			v.fill(id)
			v.push(token.Content, kind)
		}
	}
	v.fill(size)
	return nil
}

// push appends a token.
func (v *vocabulary) push(token string, kind int32) {
	v.tokens, v.types = append(v.tokens, token), append(v.types, kind)
	if v.model == models.SentencePiece {
		v.scores = append(v.scores, -1000)
	}
}

// fill appends unused tokens until there are n.
func (v *vocabulary) fill(n int) {
	for i := len(v.tokens); i < n; i++ {
		v.push(fmt.Sprintf("[PAD%d]", i), tokenUnused)
	}
}

// special finds the ids of the special tokens. It looks for their texts in tokenizer_config.json,
// special_tokens_map.json and the post-processor of tokenizer.json, then for their ids in config.json and
// generation_config.json. Without a flag the post-processor decides whether a text begins with BOS, because llama.cpp's
// default depends only on the pre-tokenizer's name.
func (v *vocabulary) special(f *tokenizerFiles, raw *rawConfig, config *tokenizerConfig) error {
	var named struct {
		BOS tokenText `json:"bos_token"`
		EOS tokenText `json:"eos_token"`
	}
	if f.special != nil {
		if err := decodeJSON(f.special, &named); err != nil {
			return fmt.Errorf("%s: %w", specialTokensFile, err)
		}
	}
	var generation struct {
		BOS tokenIDs `json:"bos_token_id"`
		EOS tokenIDs `json:"eos_token_id"`
	}
	if f.generation != nil {
		if err := decodeJSON(f.generation, &generation); err != nil {
			return fmt.Errorf("%s: %w", generationFile, err)
		}
		v.sampling = readSampling(f.generation)
	}
	index := make(map[string]int, len(v.tokens))
	for i, token := range v.tokens {
		index[token] = i
	}
	for _, role := range []struct {
		key   string
		texts []tokenText
		ids   []tokenIDs
	}{
		{"bos_token_id", []tokenText{config.BOS, named.BOS, tokenText(v.begins)}, []tokenIDs{raw.BOS, generation.BOS}},
		{"eos_token_id", []tokenText{config.EOS, named.EOS}, []tokenIDs{raw.EOS, generation.EOS}},
		{"unknown_token_id", []tokenText{config.Unknown}, nil},
		{"padding_token_id", []tokenText{config.Padding}, nil},
	} {
		id := pick(index, len(v.tokens), role.texts, role.ids)
		if id >= 0 {
			v.ids = append(v.ids, gguf.KV{Key: "tokenizer.ggml." + role.key, Value: uint32(id)})
		}
		if role.key == "eos_token_id" {
			v.furtherEnds(id, generation.EOS, raw.EOS)
		}
		if role.key == "bos_token_id" && v.model == models.ByteLevelBPE && v.addBOS == nil {
			begins := id >= 0 && v.tokens[id] == v.begins
			v.addBOS = &begins
		}
	}
	return nil
}

// readSampling returns metadata for the sampling settings that generation_config.json recommends. It omits settings that no
// request may have.
func readSampling(generation []byte) (kvs []gguf.KV) {
	fields := map[string]any{}
	_ = decodeJSON(generation, &fields) // the caller has already decoded the same bytes
	for _, setting := range models.SamplingSettings {
		if v, ok := fields[setting.Name].(float64); ok && setting.Holds(v) {
			kvs = append(kvs, setting.KV(v))
		}
	}
	return kvs
}

// furtherEnds adds keys for up to two tokens besides EOS that end an answer. llama.cpp recognizes many such tokens by
// their texts and the others only by these keys.
func (v *vocabulary) furtherEnds(eos int, lists ...tokenIDs) {
	keys, noted := []string{"eot_token_id", "eom_token_id"}, []int{eos}
	for _, id := range slices.Concat(lists...) {
		if len(keys) == 0 {
			return
		}
		if id < 0 || id >= len(v.tokens) || slices.Contains(noted, id) {
			continue
		}
		v.ids = append(v.ids, gguf.KV{Key: "tokenizer.ggml." + keys[0], Value: uint32(id)})
		keys, noted = keys[1:], append(noted, id)
	}
}

// pick returns the id of the first token that exists, or -1 if none does.
func pick(index map[string]int, size int, texts []tokenText, ids []tokenIDs) int {
	for _, text := range texts {
		if id, ok := index[string(text)]; ok && text != "" {
			return id
		}
	}
	for _, list := range ids {
		if id := list.first(); id >= 0 && id < size {
			return id
		}
	}
	return -1
}

// keys returns the keys of GGUF metadata that describe the vocabulary.
func (v *vocabulary) keys() []gguf.KV {
	const p = "tokenizer.ggml."
	keys := []gguf.KV{{Key: p + "model", Value: v.model}}
	if v.model == models.ByteLevelBPE {
		keys = append(keys, gguf.KV{Key: p + "pre", Value: v.pre})
	}
	keys = append(keys, gguf.KV{Key: p + "tokens", Value: v.tokens}, gguf.KV{Key: p + "token_type", Value: v.types})
	if v.model == models.ByteLevelBPE {
		keys = append(keys, gguf.KV{Key: p + "merges", Value: v.merges})
	} else {
		keys = append(keys, gguf.KV{Key: p + "scores", Value: v.scores})
	}
	keys = append(keys, v.ids...)
	keys = append(keys, v.sampling...)
	if v.addBOS != nil {
		keys = append(keys, gguf.KV{Key: p + "add_bos_token", Value: *v.addBOS})
	}
	if v.addSpace != nil && v.model == models.SentencePiece {
		keys = append(keys, gguf.KV{Key: p + "add_space_prefix", Value: *v.addSpace})
	}
	if v.template != "" {
		keys = append(keys, gguf.KV{Key: "tokenizer.chat_template", Value: v.template})
	}
	return keys
}
