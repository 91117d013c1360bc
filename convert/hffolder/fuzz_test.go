package hffolder

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/ollama/ollama/convert/sentencepiece"
	"google.golang.org/protobuf/proto"

	"prunellm/models"
)

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"architectures":["LlamaForCausalLM"],"vocab_size":300,"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,` +
		`"num_key_value_heads":2,"intermediate_size":96,"max_position_embeddings":512,"rms_norm_eps":1e-5,"rope_theta":10000,` +
		`"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192},"eos_token_id":[1,2]}`))
	f.Add([]byte(`{"architectures":["Qwen2ForCausalLM"],"sliding_window":4096,"use_sliding_window":false,"rope_parameters":{"rope_theta":1e6}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, raw, err := parseConfig(data, "x")
		if err != nil {
			return
		}
		if err := config.Validate(); err != nil || raw == nil {
			t.Fatalf("parseConfig accepts a config that Validate rejects: %v", err)
		}
	})
}

func FuzzIndexedFiles(f *testing.F) {
	f.Add([]byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../../x.safetensors"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := indexedFiles(data)
		for _, name := range names {
			if err == nil && !shardName.MatchString(name) {
				t.Fatalf("indexedFiles accepts %q", name)
			}
		}
	})
}

// FuzzVocabulary reads hostile tokenizer files. A vocabulary that is accepted must have as many tokens as the embedding
// has rows.
func FuzzVocabulary(f *testing.F) {
	model := []byte(`{"added_tokens":[{"id":3,"content":"<s>","special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},` +
		`"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`)
	config := []byte(`{"bos_token":"<s>","eos_token":{"content":"<s>"},"chat_template":[{"name":"default","template":"x"}],"added_tokens_decoder":{"4":{"content":"t"}}}`)
	f.Add(model, config, []byte(nil), []byte(`{"<x>":5}`), 8)
	f.Add([]byte(nil), config, spm(f, "<unk>", "<s>", "▁a"), []byte(nil), 12)
	f.Fuzz(func(t *testing.T, tokenizer, config, pieces, added []byte, size int) {
		files := tokenizerFiles{tokenizer: some(tokenizer), config: some(config), sentencePiece: some(pieces), added: some(added)}
		v, err := files.vocabulary(&rawConfig{EOS: tokenIDs{1}}, min(size, 1<<12))
		if err != nil {
			return
		}
		if len(v.tokens) != min(size, 1<<12) || len(v.types) != len(v.tokens) || (v.model == "llama" && len(v.scores) != len(v.tokens)) {
			t.Fatalf("%d tokens, %d types, %d scores for %d rows", len(v.tokens), len(v.types), len(v.scores), size)
		}
	})
}

func some(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	return data
}

func spm(t testing.TB, pieces ...string) []byte {
	t.Helper()
	var model sentencepiece.ModelProto
	for i, piece := range pieces {
		kind := sentencepiece.ModelProto_SentencePiece_NORMAL
		switch {
		case i == 0:
			kind = sentencepiece.ModelProto_SentencePiece_UNKNOWN
		case i < 3:
			kind = sentencepiece.ModelProto_SentencePiece_CONTROL
		}
		model.Pieces = append(model.Pieces, &sentencepiece.ModelProto_SentencePiece{Piece: proto.String(piece), Score: proto.Float32(-float32(i)), Type: &kind})
	}
	data, err := proto.Marshal(&model)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSentencePiece(t *testing.T) {
	files := tokenizerFiles{
		sentencePiece: spm(t, "<unk>", "<s>", "</s>", "▁a"),
		tokenizer:     []byte(`{"model":{"type":"BPE","byte_fallback":true,"vocab":{}},"added_tokens":[{"id":5,"content":"<|im_end|>","special":true}]}`),
		config:        []byte(`{"bos_token":"<s>","eos_token":"</s>","add_bos_token":true}`),
		template:      []byte("{{ messages }}"),
	}
	v, err := files.vocabulary(&rawConfig{}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"<unk>", "<s>", "</s>", "▁a", "[PAD4]", "<|im_end|>", "[PAD6]"}; !slices.Equal(v.tokens, want) {
		t.Errorf("tokens are %q, want %q", v.tokens, want)
	}
	if want := []int32{2, 3, 3, 1, 5, 3, 5}; !slices.Equal(v.types, want) {
		t.Errorf("types are %v, want %v", v.types, want)
	}
	if v.model != "llama" || len(v.scores) != 7 || v.template != "{{ messages }}" || len(v.ids) != 2 || v.ids[1].Value != uint32(2) {
		t.Errorf("vocabulary is %+v", v)
	}
	files.sentencePiece = nil
	if _, err := files.vocabulary(&rawConfig{}, 7); err == nil {
		t.Error("a SentencePiece model without tokenizer.model is accepted")
	}
}

// A SentencePiece model states its type, whether to put a space before a text, and which pieces stand for spaces.
func TestSentencePieceSaysHow(t *testing.T) {
	encode := func(change func(m *sentencepiece.ModelProto)) []byte {
		var model sentencepiece.ModelProto
		if err := proto.Unmarshal(spm(t, "<unk>", "<s>", "</s>", "▁▁", "<tool>"), &model); err != nil {
			t.Fatal(err)
		}
		for _, piece := range model.Pieces[3:] {
			piece.Type = sentencepiece.ModelProto_SentencePiece_USER_DEFINED.Enum()
		}
		model.TrainerSpec = &sentencepiece.TrainerSpec{ModelType: sentencepiece.TrainerSpec_BPE.Enum()}
		change(&model)
		data, err := proto.Marshal(&model)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	prefix := func(config string, given *bool) *bool {
		files := tokenizerFiles{config: []byte(config), sentencePiece: encode(func(m *sentencepiece.ModelProto) {
			m.NormalizerSpec = &sentencepiece.NormalizerSpec{AddDummyPrefix: given}
		})}
		v, err := files.vocabulary(&rawConfig{}, 5)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int32{2, 3, 3, 1, 4}; !slices.Equal(v.types, want) {
			t.Errorf("types are %v, want %v", v.types, want)
		}
		return v.addSpace
	}
	if got := prefix(`{}`, nil); got != nil {
		t.Errorf("add_space_prefix is %t although the model does not set it", *got)
	}
	if got := prefix(`{}`, proto.Bool(false)); got == nil || *got {
		t.Error("a model that adds no space before a text is written as one that does")
	}
	if got := prefix(`{"add_prefix_space":true}`, proto.Bool(false)); got == nil || !*got {
		t.Error("tokenizer_config.json does not take precedence over the model")
	}
	unigram := tokenizerFiles{sentencePiece: encode(func(m *sentencepiece.ModelProto) { m.TrainerSpec.ModelType = sentencepiece.TrainerSpec_UNIGRAM.Enum() })}
	if _, err := unigram.vocabulary(&rawConfig{}, 5); !errors.Is(err, models.ErrUnsupported) {
		t.Errorf("a unigram model gives %v, want an error that wraps ErrUnsupported", err)
	}
}

// Whether a text begins with BOS follows from tokenizer.json and tokenizer_config.json, not from llama.cpp's default
// for the pre-tokenizer.
func TestBeginningOfText(t *testing.T) {
	words := `{"type":"ByteLevel","add_prefix_space":false}`
	llama3 := `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":` + strconv.Quote(splitLlama3) + `}},` +
		`{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
	template := `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}`
	plain := `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}]}`
	for name, test := range map[string]struct {
		cut, ignoreMerges, post, config string
		pre                             string
		adds                            bool
	}{
		"template":                     {words, "false", template, `{"bos_token":"<s>"}`, preGPT2, true},
		"template in a sequence":       {words, "false", `{"type":"Sequence","processors":[{"type":"ByteLevel"},` + template + `]}`, `{"bos_token":"<s>"}`, preGPT2, true},
		"template alone names BOS":     {words, "false", template, `{}`, preGPT2, true},
		"of another token":             {words, "false", template, `{"bos_token":"</s>"}`, preGPT2, false},
		"flag before template":         {words, "false", template, `{"bos_token":"<s>","add_bos_token":false}`, preGPT2, false},
		"no template":                  {words, "false", `null`, `{"bos_token":"<s>"}`, preGPT2, false},
		"llama 3":                      {llama3, "true", template, `{"bos_token":"<s>"}`, preLlama3, true},
		"llama 3 without BOS":          {llama3, "true", plain, `{"bos_token":"<s>"}`, preLlama3, false},
		"llama 3, all words by merges": {llama3, "false", template, `{"bos_token":"<s>"}`, preSmaug, true},
	} {
		t.Run(name, func(t *testing.T) {
			files := tokenizerFiles{
				tokenizer: []byte(`{"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":4,"content":"</s>","special":true}],"pre_tokenizer":` + test.cut +
					`,"post_processor":` + test.post + `,"model":{"type":"BPE","ignore_merges":` + test.ignoreMerges + `,"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`),
				config: []byte(test.config),
			}
			v, err := files.vocabulary(&rawConfig{}, 5)
			if err != nil {
				t.Fatal(err)
			}
			if v.pre != test.pre || v.addBOS == nil || *v.addBOS != test.adds {
				t.Errorf("pre-tokenizer %q, adds BOS: %+v, want %q, %t", v.pre, v.addBOS, test.pre, test.adds)
			}
		})
	}
}

// A pre-tokenizer that has no name in llama.cpp gives an error.
func TestPreTokenizers(t *testing.T) {
	digits := `{"type":"Digits","individual_digits":true}`
	words := `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`
	for text, want := range map[string]string{
		words: preGPT2,
		`{"type":"Sequence","pretokenizers":[` + digits + `,` + words + `]}`:                           preSmol,
		`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"}},` + words + `]}`: "",
		`{"type":"ByteLevel","add_prefix_space":true}`:                                                 "",
		`{"type":"Whitespace"}`: "",
	} {
		var p preTokenizer
		if err := decodeJSON([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if got, err := p.pre(); got != want || (err == nil) != (want != "") {
			t.Errorf("%s gives %q, %v, want %q", text, got, err, want)
		}
	}
}

// The context is no longer than the sliding window of attention.
func TestSlidingWindow(t *testing.T) {
	window, on, off := 4096, true, false
	for _, test := range []struct {
		use  *bool
		want int
	}{{nil, 4096}, {&on, 4096}, {&off, 32768}} {
		raw := rawConfig{ContextLength: 32768, SlidingWindow: &window, UseSlidingWindow: test.use}
		if got := raw.context(); got != test.want {
			t.Errorf("context = %d, want %d", got, test.want)
		}
	}
}
