package server

import (
	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// This file connects the requests' settings for thinking, the chat template and the engine. Every endpoint with a Turn
// supports thinking by these types, whatever names its API has for them:
//
//   - in: openapi.Turn.Thinking (on or off, effort, budget) and openapi.Message.Reasoning (of the history);
//   - out: chat.Part.Thinking, which partsOf returns before the text of the answer, and Usage's reasoning tokens.

// maxBeginTokens is the number of tokens at a prompt's end in which thinking searches for a begin marker.
const maxBeginTokens = 64

// template returns the chat template with the request's settings for thinking, completed by the server's defaults.
func (s *Server) template(asked openapi.Thinking) (*chat.Template, error) {
	template, err := s.options.Chat.With(s.asked(asked))
	if err != nil {
		return nil, openapi.Invalid("chat_template_kwargs", openapi.CodeInvalidValue, "chat_template_kwargs: %s", err)
	}
	return template, nil
}

// asked completes a request's settings by the server's defaults. A request with an effort or a budget ignores the default of
// Enabled.
func (s *Server) asked(asked openapi.Thinking) openapi.Thinking {
	defaults := s.options.Thinking
	if asked.Enabled == nil && asked.Effort == "" && asked.Budget == nil {
		asked.Enabled = defaults.Enabled
	}
	if asked.Budget == nil {
		asked.Budget = defaults.Budget
	}
	return asked
}

// thinking returns the engine's settings for thinking. If the client wants no thinking, the budget is 0: the engine then ends
// thinking that the template or the model begins at once. An answer that continues a message has no thinking unless the
// message ends inside its thinking.
func (s *Server) thinking(v Vocabulary, turn *openapi.Turn, prompt []infer.Token, constrained bool) infer.Thinking {
	var marks chat.Marks
	if turn.Opening == openapi.ContinueTurn {
		if marks = s.options.Chat.MarksWithin(turn.Messages[len(turn.Messages)-1].Content); !marks.Open {
			return infer.Thinking{}
		}
	} else {
		marks = s.options.Chat.Marks(text(v, prompt[max(0, len(prompt)-maxBeginTokens):]))
	}
	if constrained && !marks.Known && !marks.Open {
		// A grammar allows the model only few first tokens. That makes a marker likely that the model never learned.
		return infer.Thinking{}
	}
	out := infer.Thinking{Begin: marks.Begin, End: marks.End, Close: marks.Close, Open: marks.Open, Budget: -1}
	asked := s.asked(turn.Thinking)
	switch {
	case asked.Enabled != nil && !*asked.Enabled:
		out.Budget = 0
	case asked.Budget != nil && *asked.Budget > 0:
		out.Budget = *asked.Budget
	}
	return out
}
