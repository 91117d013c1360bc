package server

import (
	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// This file joins what requests say about thinking, the chat template and the engine. An endpoint with a Turn gets
// thinking from these seams, whatever its wire calls it:
//
//   - in: openapi.Turn.Thinking (switched on or off, effort, budget) and openapi.Message.Reasoning (of the history);
//   - out: chat.Part.Thinking, which partsOf returns before the text of the answer, and Usage's reasoning tokens.

// maxBeginTokens is how many of a prompt's last tokens are read to find that it ends within the thinking.
const maxBeginTokens = 64

// template returns the chat template as a request, and where that says nothing the server, wants it to think.
func (s *Server) template(asked openapi.Thinking) (*chat.Template, error) {
	template, err := s.options.Chat.With(s.asked(asked))
	if err != nil {
		return nil, openapi.Invalid("chat_template_kwargs", openapi.CodeInvalidValue, "chat_template_kwargs: %s", err)
	}
	return template, nil
}

// asked completes what a request says by the server's options. A request that asks for an effort or a budget wants thinking.
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

// thinking tells the engine where the answer to a turn begins. Where the client wants no thinking and the template begins
// it all the same, or the model does, it ends at once. An answer that continues a message is not thinking, unless the
// message ends within it.
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
		// A grammar leaves the model few tokens to begin with. It would take a marker that it never learned for a way out.
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
