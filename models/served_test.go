package models_test

import (
	"errors"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// OpenServable opens a model that prunellm cannot compute and gives the server what it needs. It still rejects a faulty
// file, an architecture that the engine does not run and a vocabulary that the server cannot read.
func TestOpenServable(t *testing.T) {
	key := func(name string, value any) tinymodel.Options {
		return tinymodel.Options{Keys: []gguf.KV{{Key: name, Value: value}}}
	}
	foreign := func(name string, without ...string) tinymodel.Options {
		return tinymodel.Options{Without: without, Keys: []gguf.KV{
			{Key: "general.architecture", Value: name},
			{Key: name + ".embedding_length", Value: uint32(64)}, {Key: name + ".context_length", Value: uint32(256)},
		}}
	}
	for name, test := range map[string]struct {
		options tinymodel.Options
		reason  string // part of why it cannot be pruned; "" if it can be
		refused string // part of the error of both functions; "" if the model opens
	}{
		"prunable":             {tinymodel.Options{}, "", ""},
		"architecture":         {foreign("gemma2"), `architecture "gemma2"`, ""},
		"experts":              {key("llama.expert_count", uint32(4)), "a mixture of 4 experts", ""},
		"scaling":              {key("llama.rope.scaling.type", "yarn"), `rope scaling "yarn"`, ""},
		"hybrid":               {foreign("lfm2"), "", `architecture "lfm2"`},
		"unknown architecture": {foreign("nothing"), "", `architecture "nothing"`},
		"not causal":           {key("llama.attention.causal", false), "", "is not causal"},
		"split":                {key("split.count", uint16(3)), "", "split into several files"},
		"tokenizer":            {key("tokenizer.ggml.model", "t5"), "", `tokenizer "t5"`},
		"faulty":               {tinymodel.Options{Without: []string{"llama.block_count"}}, "", "block_count"},
		"context":              {foreign("gemma2", "gemma2.context_length"), "", "context_length"},
	} {
		t.Run(name, func(t *testing.T) {
			path := tiny(t, test.options)
			_, prunable := models.OpenGGUF(path, nil)
			model, err := models.OpenServable(path, nil)
			if test.refused != "" {
				if err == nil || prunable == nil || !strings.Contains(err.Error(), test.refused) {
					t.Fatalf("OpenGGUF: %v, OpenServable: %v; want %q", prunable, err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			c := model.Config()
			if c.VocabSize == 0 || c.HiddenSize != 64 || c.ContextLength == 0 || c.Name == "" || model.Tokenizer().ChatTemplate == "" || model.Parameters() == 0 {
				t.Errorf("config %+v, tokenizer %+v, %d parameters", c, model.Tokenizer(), model.Parameters())
			}
			reason, inspected := model.Unprunable(), models.UnprunableReason(model.File())
			if test.reason == "" {
				if reason != nil || inspected != nil || prunable != nil {
					t.Errorf("cannot be pruned: %v, %v, %v", reason, inspected, prunable)
				}
				return
			}
			var unprunable *models.UnprunableError
			if !errors.As(reason, &unprunable) || !errors.Is(reason, models.ErrUnsupported) || prunable == nil {
				t.Fatalf("Unprunable is %v, OpenGGUF's error %v", reason, prunable)
			}
			for _, want := range []string{test.reason, "llama, ", "ratio 0"} {
				if !strings.Contains(reason.Error(), want) {
					t.Errorf("reason %q lacks %q", reason, want)
				}
			}
			// The random model has no experts, so the key that declares some is a fault of the file.
			if same := inspected != nil && inspected.Error() == reason.Error(); same == (name == "experts") {
				t.Errorf("UnprunableReason is %v, Unprunable %v", inspected, reason)
			}
		})
	}
}
