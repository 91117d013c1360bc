package server

import (
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// Facts describe the model behind all variants to clients that ask for more than its name. Zero values are unknown.
type Facts struct {
	File           string // name of the model's file, without its folder
	Architecture   string // as the file names it, such as "llama"
	FileType       string // of the variants' matrices, such as "q4_1"
	Bytes          int64  // of the model's file
	Parameters     int64
	Vocabulary     int // tokens
	SentencePiece  bool
	HiddenSize     int
	Layers         int
	TrainedContext int // tokens
	Context        int // tokens of one request at most, prompt and answer together
	Slots          int // requests that one variant answers side by side
	Infill         chat.Infill
}

// Values of a model's capabilities, in Ollama's words.
const (
	canComplete = "completion"
	canUseTools = "tools" // by the chat template or by a description of them in the prompt, and always by grammar
	canThink    = "thinking"
	canInsert   = "insert" // text before a suffix
)

// capabilities lists what the model can do, for clients that offer no more than that.
func (s *Server) capabilities() []string {
	list := []string{canComplete, canUseTools}
	if s.options.Chat.Thinks() {
		list = append(list, canThink)
	}
	if s.options.Facts.Infill.Can() {
		list = append(list, canInsert)
	}
	return list
}

// describe completes an entry of Models.List by what clients of vLLM and llama-server look for.
func (s *Server) describe(model openapi.Model) openapi.Model {
	facts := s.options.Facts
	model.MaxModelLen, model.Capabilities = facts.Context, s.capabilities()
	model.Architecture = &openapi.Modalities{Input: []string{"text"}, Output: []string{"text"}}
	if facts.Vocabulary == 0 {
		return model
	}
	model.Meta = &openapi.ModelMeta{
		VocabType: vocabularyType(facts), Vocabulary: facts.Vocabulary, TrainedContext: facts.TrainedContext, Context: facts.Context,
		HiddenSize: facts.HiddenSize,
	}
	if model.Card != nil {
		model.Meta.Parameters, model.Meta.Bytes = model.Card.Parameters, model.Card.Bytes
	}
	return model
}

// vocabularyType returns llama.cpp's number of a kind of vocabulary.
func vocabularyType(facts Facts) int {
	if facts.SentencePiece {
		return 1
	}
	return 2
}
