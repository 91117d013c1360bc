package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// cannotInfill refuses a request for the middle of a text.
func (s *Server) cannotInfill(field string) error {
	if s.options.Facts.Infill.Can() {
		return nil
	}
	return openapi.Invalid(field, openapi.CodeUnsupported,
		"the model does not support insert: its file names no fill-in-the-middle tokens (as Qwen2.5-Coder's does), so no text can be inserted before a suffix")
}

// betweenPrompt returns the prompt of what comes between two texts, as long as they are.
func (s *Server) betweenPrompt(v Vocabulary, field, prefix, suffix string) ([]infer.Token, error) {
	if err := s.cannotInfill("suffix"); err != nil {
		return nil, err
	}
	return tokenize(v, field, s.options.Facts.Infill.Pieces(prefix, suffix)...)
}

// infill answers POST /infill.
func (s *Server) infill(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeInfill(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	if err := s.cannotInfill("input_suffix"); err != nil {
		return err
	}
	truncated := false
	prepare := func() (<-chan event, error) {
		prompt, cut, err := s.infillPrompt(j.variant, req)
		if err != nil {
			return nil, err
		}
		truncated = cut
		submit, err := request(j.variant, "input_prefix", prompt, &req.Common, false)
		if err != nil {
			return nil, err
		}
		submit.Logprobs, submit.Sampling.Infill = req.Logprobs, req.EndEarly
		if req.Warm {
			submit.MaxTokens, submit.Sampling.Infill = 1, false
		}
		j.tally = newTally(j.started, 1, 1)
		ctx, cancel := context.WithCancel(j.ctx)
		generation, err := j.variant.Submit(ctx, submit)
		if err != nil {
			cancel()
			return nil, promptField(err, "input_prefix")
		}
		lines := &lineLimit{Generation: generation, end: cancel, indent: req.Indent, limit: req.TimeLimit}
		return j.follow([]infer.Generation{lines}), nil
	}
	newWriter := func(out *eventStream) *infillWriter {
		return &infillWriter{outSink: outSink{out}, req: req, started: time.Now(), response: openapi.InfillResponse{Tokens: []int{}, Model: j.variant.Name, Truncated: truncated}}
	}
	return respond(c, j, req.Model, req.Stream, prepare, newWriter, func(w *infillWriter, usage openapi.Usage) any {
		return pick(w.end(usage), req.Fields)
	})
}

// Shares of the context for the texts around the gap, as llama-server has them of its batch.
const (
	suffixShare  = 4 // the suffix gets a quarter, the prefix the rest
	answerShare  = 4 // room for an answer of no given length
	largestShare = 2 // room for an answer of a given length at most
)

// infillPrompt returns the prompt, cut to the context. It keeps the end of the prefix, the beginning of the suffix, and the end of
// the other files. Editors send more than fits and count on it.
func (s *Server) infillPrompt(v Vocabulary, req *openapi.InfillRequest) (prompt []infer.Token, cut bool, err error) {
	fim, context := s.options.Facts.Infill, v.ContextSize()
	most := context * maxBytesPerToken // longer texts lose tokens in any case
	prefix, suffix := lastBytes(req.Prefix, most), firstBytes(req.Suffix, most)
	extra := lastPieces(fim.Extra(req.Extra), most)
	part := func(pieces ...chat.Piece) []infer.Token {
		var tokens []infer.Token
		for _, piece := range pieces {
			more, fault := v.Tokenize(piece.Text, false, piece.Special)
			if fault != nil {
				err = fault
			}
			tokens = append(tokens, more...)
		}
		return tokens
	}
	before, after := part(chat.Piece{Text: prefix}), part(chat.Piece{Text: suffix})
	frame, others := fim.Pieces("", ""), part(extra...)
	opening, fault := v.Tokenize("", true, true) // the beginning of sequence, if the model uses one
	if fault != nil {
		err = fault
	}
	if err != nil {
		return nil, false, err
	}
	answer := context / answerShare
	if req.MaxTokens > 0 {
		answer = min(req.MaxTokens, context/largestShare)
	}
	room := max(0, context-answer-len(opening)-len(part(frame...)))
	cut = len(prefix) < len(req.Prefix) || len(suffix) < len(req.Suffix)
	if len(before)+len(after) > room {
		cut = true
		after = after[:min(len(after), max(room/suffixShare, room-len(before)))]
		before = before[len(before)-min(len(before), room-len(after)):]
	}
	if left := room - len(before) - len(after); len(others) > left {
		cut = true
		others = others[len(others)-left:]
	}
	return slices.Concat(opening, others, part(frame[0]), before, part(frame[2]), after, part(frame[4])), cut, nil
}

// firstBytes and lastBytes return as much of a text as there may be, in whole characters.
func firstBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

func lastBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	at := len(text) - most
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}

// lastPieces returns the last pieces, and as much of the one before them as there may be.
func lastPieces(pieces []chat.Piece, most int) []chat.Piece {
	for at := len(pieces) - 1; at >= 0; at-- {
		if most -= len(pieces[at].Text); most <= 0 {
			pieces = pieces[at:]
			pieces[0].Text = lastBytes(pieces[0].Text, len(pieces[0].Text)+most)
			break
		}
	}
	return pieces
}

// lineLimit ends an answer at a line that is indented less than its beginning, or with the first line after a time. It belongs to
// the goroutine that reads the generation.
type lineLimit struct {
	infer.Generation
	end    context.CancelFunc // of the generation
	indent int                // characters; 0: any
	limit  time.Duration      // 0: none
	begun  time.Time          // when the first token came

	inLine bool   // the line has begun; the first one always has
	first  bool   // the second line has begun
	blank  string // held back: the indentation of a line that has not begun
}

// Next implements infer.Generation.
func (l *lineLimit) Next(ctx context.Context) (infer.Chunk, error) {
	chunk, err := l.Generation.Next(ctx)
	if err != nil {
		l.end()
		return chunk, err
	}
	if l.begun.IsZero() {
		l.begun = time.Now()
	}
	late := l.limit > 0 && strings.Contains(chunk.Text, "\n") && time.Since(l.begun) > l.limit
	ended := false
	if l.indent > 0 {
		chunk.Text, ended = l.lines(chunk.Text)
		if chunk.Finish != "" && !ended {
			chunk.Text += l.blank
		}
	}
	if chunk.Finish == "" && (late || ended) {
		chunk.Finish = infer.FinishLength
	}
	if chunk.Finish != "" {
		l.end()
	}
	return chunk, nil
}

// lines returns the text up to a line with too little indentation, whose indentation is the end of the answer.
func (l *lineLimit) lines(text string) (out string, ended bool) {
	for i, c := range text {
		switch {
		case l.first && !l.inLine && (c == ' ' || c == '\t'):
			l.blank += string(c)
			continue
		case l.first && !l.inLine && len(l.blank) < l.indent:
			return out + l.blank, true
		}
		out += l.blank
		l.blank = ""
		_, size := utf8.DecodeRuneInString(text[i:])
		out += text[i : i+size]
		l.inLine = c != '\n'
		l.first = l.first || c == '\n'
	}
	return out, false
}

// infillWriter builds an answer and, in a stream, sends what is new of it.
type infillWriter struct {
	outSink
	req      *openapi.InfillRequest
	started  time.Time // when the request was submitted
	first    time.Time // when the first token came
	response openapi.InfillResponse
	last     infer.Chunk
}

func (w *infillWriter) chunk(_ int, chunk infer.Chunk) error {
	if w.first.IsZero() {
		w.first = time.Now()
	}
	w.last = chunk
	if w.req.Warm {
		return nil
	}
	var tokens []openapi.InfillToken
	for _, token := range chunk.Tokens {
		tokens = append(tokens, infillToken(token.TokenProb, token.Top))
	}
	w.response.Content += chunk.Text
	w.response.HasNewLine = w.response.HasNewLine || strings.Contains(chunk.Text, "\n")
	if w.out == nil {
		w.response.Probabilities = append(w.response.Probabilities, tokens...)
		return nil
	}
	if chunk.Text == "" && len(tokens) == 0 {
		return nil
	}
	return w.out.data(openapi.InfillEvent{Content: chunk.Text, Tokens: []int{}, Probabilities: tokens})
}

func infillToken(token infer.TokenProb, top []infer.TokenProb) openapi.InfillToken {
	out := openapi.InfillToken{ID: int(token.Token), Logprob: logprob(token)}
	for _, alternative := range top {
		out.Top = append(out.Top, infillToken(alternative, nil))
	}
	return out
}

// end completes the answer.
func (w *infillWriter) end(usage openapi.Usage) openapi.InfillResponse {
	out, cached := w.response, usage.PromptTokensDetails.CachedTokens
	out.Stop, out.TokensEvaluated, out.TokensCached, out.TokensPredicted = true, usage.PromptTokens, cached, usage.CompletionTokens
	switch {
	case w.req.Warm:
		out.StopType, out.TokensPredicted = "none", 0
	case w.last.Finish == infer.FinishLength:
		out.StopType = "limit"
	case w.last.Stop != "":
		out.StopType, out.StoppingWord = "word", w.last.Stop
	default:
		out.StopType = "eos"
	}
	t := &out.Timings
	t.CacheN, t.PromptN, t.PredictedN = cached, usage.PromptTokens-cached, out.TokensPredicted
	t.PromptMillis, t.PromptPerToken, t.PromptPerSecond = rates(t.PromptN, w.first.Sub(w.started))
	t.PredictedMillis, t.PredictedPerToken, t.PredictedPerSecond = rates(t.PredictedN, time.Since(w.first))
	return out
}

// rates returns a time in milliseconds, that of each of n tokens, and how many of them a second has.
func rates(n int, took time.Duration) (millis, each, perSecond float64) {
	millis = 1000 * took.Seconds()
	if n > 0 && took > 0 {
		each, perSecond = millis/float64(n), float64(n)/took.Seconds()
	}
	return millis, each, perSecond
}

func (w *infillWriter) finish(usage openapi.Usage) error {
	out := w.end(usage)
	out.Content = ""
	return w.out.data(pick(out, w.req.Fields))
}

// pick returns the named fields of a response, all without names. A name with slashes leads into objects, and the field keeps that
// name, as in llama-server.
func pick(response openapi.InfillResponse, names []string) any {
	if len(names) == 0 {
		return response
	}
	raw, err := json.Marshal(response)
	if err != nil {
		return response
	}
	out := map[string]json.RawMessage{}
	for _, name := range names {
		value, found := json.RawMessage(raw), true
		for step := range strings.SplitSeq(name, "/") {
			var members map[string]json.RawMessage
			if json.Unmarshal(value, &members) != nil {
				found = false
				break
			}
			if value, found = members[step]; !found {
				break
			}
		}
		if found {
			out[name] = value
		}
	}
	return out
}
