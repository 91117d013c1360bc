package server

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// part is a piece of an answer: text, or a piece of a tool call.
type part struct {
	call      int    // index of the call; -1: text
	id, name  string // of the call, in its first part
	text      string // when call is -1
	arguments string // the JSON that is new
}

// callParser tells the text of an answer from the tool calls in it, while it is being written. The zero syntax (no
// arguments) takes everything as text.
//
// The grammar of the answer guarantees that a call is well formed as far as it goes: its name comes first and is known,
// and nothing but calls follows the first one.
type callParser struct {
	syntax callSyntax
	held   string // not told yet: it may begin a marker or a call
	state  parseState
	calls  int
	depth  int  // of the arguments' braces and brackets
	quoted bool // within a string of the arguments
	escape bool // after a backslash there
	spoken bool // text other than white space was told
}

type parseState int

const (
	inText parseState = iota
	beforeArguments
	inArguments
	afterArguments
)

// callHead is what comes before the arguments.
var callHead = regexp.MustCompile(`^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*`)

// feed takes the next piece of the answer.
func (p *callParser) feed(text string) []part {
	if p.syntax.arguments == "" {
		if text == "" {
			return nil
		}
		return []part{{call: -1, text: text}}
	}
	p.held += text
	var out []part
	for p.held != "" {
		progress := false
		switch p.state {
		case inText:
			out, progress = p.feedText(out)
		case beforeArguments:
			out, progress = p.feedHead(out)
		case inArguments:
			out, progress = p.feedArguments(out), true
		case afterArguments:
			progress = p.feedTail()
		}
		if !progress {
			break
		}
	}
	return out
}

// end gives up on what was held back: no more comes.
func (p *callParser) end() []part {
	if p.state != inText || p.held == "" || p.syntax.arguments == "" {
		return nil
	}
	out := p.say(nil, p.held)
	p.held = ""
	return out
}

func (p *callParser) feedText(out []part) ([]part, bool) {
	if p.syntax.marker == "" {
		trimmed := strings.TrimLeftFunc(p.held, unicode.IsSpace)
		switch {
		case trimmed == "":
			return out, false
		case trimmed[0] == '{' && !p.spoken:
			p.state = beforeArguments
			return out, true
		}
		out = p.say(out, p.held)
		p.held = ""
		return out, true
	}
	if before, after, found := strings.Cut(p.held, p.syntax.marker); found {
		if strings.TrimSpace(before) != "" {
			out = p.say(out, before)
		}
		p.held, p.state = after, beforeArguments
		return out, true
	}
	free := len(p.held) - longestBorder(p.syntax.marker, p.held)
	if !p.spoken && strings.TrimSpace(p.held[:free]) == "" { // white space before a call is nobody's text
		return out, false
	}
	out = p.say(out, p.held[:free])
	p.held = p.held[free:]
	return out, free > 0
}

func (p *callParser) say(out []part, text string) []part {
	if text == "" {
		return out
	}
	p.spoken = true
	return append(out, part{call: -1, text: text})
}

func (p *callParser) feedHead(out []part) ([]part, bool) {
	match := callHead.FindStringSubmatch(p.held)
	if match == nil || len(match[0]) == len(p.held) { // white space may follow
		return out, false
	}
	var name string
	if json.Unmarshal([]byte(match[1]), &name) != nil {
		return out, false
	}
	p.held = p.held[len(match[0]):]
	p.state, p.depth, p.quoted, p.escape = inArguments, 0, false, false
	p.calls++
	return append(out, part{call: p.calls - 1, id: newCallID(), name: name}), true
}

// newCallID makes an id as clients know them.
func newCallID() string { return "call_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:24] }

func (p *callParser) feedArguments(out []part) []part {
	end := 0
	for end < len(p.held) && p.state == inArguments {
		c := p.held[end]
		if c == '}' && p.depth == 0 && !p.quoted { // of the call: the arguments were no object
			p.state = afterArguments
			break
		}
		end++
		closes := false
		switch {
		case p.escape:
			p.escape = false
		case p.quoted && c == '\\':
			p.escape = true
		case c == '"':
			p.quoted = !p.quoted
			closes = !p.quoted
		case p.quoted:
		case c == '{' || c == '[':
			p.depth++
		case c == '}' || c == ']':
			p.depth--
			closes = true
		}
		if closes && p.depth == 0 {
			p.state = afterArguments
		}
	}
	out = append(out, part{call: p.calls - 1, arguments: p.held[:end]})
	p.held = p.held[end:]
	return out
}

// feedTail skips what closes a call, up to the beginning of the next one.
func (p *callParser) feedTail() bool {
	if p.syntax.marker == "" {
		p.held = ""
		return false
	}
	_, after, found := strings.Cut(p.held, p.syntax.marker)
	if !found {
		p.held = p.held[len(p.held)-longestBorder(p.syntax.marker, p.held):]
		return false
	}
	p.held, p.state = after, beforeArguments
	return true
}
