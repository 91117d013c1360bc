package server

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"prunellm/infer"
	"prunellm/openapi"
)

// leastLogprob replaces log probabilities that JSON cannot hold (minus infinity), as in OpenAI's API.
const leastLogprob = -9999

func finite(logprob float64) float64 {
	if !(logprob >= leastLogprob) { // NaN as well
		return leastLogprob
	}
	return min(logprob, 0)
}

// tokenLogprobs converts tokens to the form that chats use.
func tokenLogprobs(tokens []infer.TokenInfo) []openapi.TokenLogprob {
	out := make([]openapi.TokenLogprob, len(tokens))
	for i, token := range tokens {
		out[i] = openapi.TokenLogprob{Logprob: logprob(token.TokenProb), TopLogprobs: make([]openapi.Logprob, len(token.Top))}
		for k, top := range token.Top {
			out[i].TopLogprobs[k] = logprob(top)
		}
	}
	return out
}

func logprob(t infer.TokenProb) openapi.Logprob {
	bytes := make([]int, len(t.Piece))
	for i, b := range t.Piece {
		bytes[i] = int(b)
	}
	return openapi.Logprob{Token: strings.ToValidUTF8(string(t.Piece), "\uFFFD"), Logprob: finite(t.Logprob), Bytes: bytes}
}

// appendText appends tokens in the older form that completions use. offset is where the first of them begins, in
// characters. It returns where the next one begins.
func appendText(into *openapi.TextLogprobs, tokens []infer.TokenInfo, offset int) int {
	for _, token := range tokens {
		into.Tokens = append(into.Tokens, legacyToken(token.Piece))
		if math.IsNaN(token.Logprob) { // nothing precedes a prompt's first token
			into.TokenLogprobs = append(into.TokenLogprobs, nil)
			into.TopLogprobs = append(into.TopLogprobs, nil)
			into.TextOffset = append(into.TextOffset, offset)
			offset += characters(token.Piece)
			continue
		}
		logprob := finite(token.Logprob)
		into.TokenLogprobs = append(into.TokenLogprobs, &logprob)
		into.TextOffset = append(into.TextOffset, offset)
		top := make(map[string]float64, len(token.Top))
		for _, alternative := range token.Top {
			top[legacyToken(alternative.Piece)] = finite(alternative.Logprob)
		}
		top[legacyToken(token.Piece)] = logprob // always listed, so there may be one more than the client asked for
		into.TopLogprobs = append(into.TopLogprobs, top)
		offset += characters(token.Piece)
	}
	return offset
}

// characters counts the characters that begin in a piece. The other bytes of a character belong to the piece where it
// began.
func characters(piece []byte) int {
	n := 0
	for _, b := range piece {
		if utf8.RuneStart(b) {
			n++
		}
	}
	return n
}

// legacyToken returns a piece as completions show it: as text, or as bytes if it holds incomplete characters.
func legacyToken(piece []byte) string {
	if utf8.Valid(piece) {
		return string(piece)
	}
	var out strings.Builder
	out.WriteString("bytes:")
	for _, b := range piece {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return out.String()
}

func newTextLogprobs() *openapi.TextLogprobs {
	return &openapi.TextLogprobs{Tokens: []string{}, TokenLogprobs: []*float64{}, TopLogprobs: []map[string]float64{}, TextOffset: []int{}}
}
