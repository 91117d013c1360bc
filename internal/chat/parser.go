package chat

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"prunellm/openapi"
)

// Part is a piece of an answer: text, thinking, or a piece of a tool call.
type Part struct {
	Thinking  string // if set, Text is empty; thinking comes before the text
	Call      int    // index of the call; -1 for text and thinking
	ID, Name  string // of the call; only in its first part
	Text      string // if Call is -1
	Arguments string // the next piece of the arguments' JSON
}

// Parser separates an answer into text and tool calls while the model generates it. For the zero Parser everything is
// text.
//
// The grammar of the answer guarantees that each call is well formed as far as it goes: a known name comes first, and
// only calls follow the first call. A client's own grammar guarantees nothing, and JSON in a requested format may begin
// like a call. If it turns out not to be a call, it is text. unmarked.go handles calls without a marker.
type Parser struct {
	syntax   syntax
	head     [][]string // the pieces that come before the arguments; for each piece, the words that are allowed
	whole    bool       // the answer is either only calls or only text
	format   bool       // the request asks for a format
	held     string     // not returned yet, because it may begin a marker or a call
	state    parseState
	calls    int
	depth    int  // number of open braces and brackets in the arguments
	quoted   bool // within a JSON string of the arguments
	escape   bool // after a backslash in that string
	unmarked bool // the calls of this answer have no marker
	spoken   bool // whether text other than white space has been returned
	inLine   bool // whether the returned text ends within a line
	stops    []string
	tools    []openapi.Tool // that calls can name
	hidden   bool           // whether to hide thinking from the client
}

type parseState int

const (
	atStart     parseState = iota // of an answer that is either calls or text
	atBeginning                   // of any other answer, which may still be calls without a marker
	inText
	beforeArguments
	inArguments
	afterArguments
	onlyText // until the end
)

// nameWord is the index of the piece of a head that is the tool's name.
const nameWord = 3

// jsonSpace lists the characters that are white space in JSON.
const jsonSpace = " \t\n\r"

// Parser returns a parser for one answer to a turn. stops are the stop strings that can end the answer.
func (t *Template) Parser(turn *openapi.Turn, stops []string) *Parser {
	if turn.ToolChoice.Mode == openapi.ToolsNone {
		return &Parser{hidden: turn.Thinking.Hidden}
	}
	names := make([]string, len(turn.Tools))
	for i, tool := range turn.Tools {
		names[i] = tool.Name
	}
	p := newParser(t.syntax, names, turn.Format.Type != openapi.FormatText, stops)
	p.tools, p.hidden = turn.Tools, turn.Thinking.Hidden
	return p
}

// Think takes the next piece of thinking, which the engine has already separated from the answer.
func (p *Parser) Think(text string) []Part {
	if text == "" || p.hidden {
		return nil
	}
	return []Part{{Call: -1, Thinking: text}}
}

// newParser returns a parser for answers that may call the named tools. An answer is either calls or text if the
// request asks for a format, or if the syntax has no marker.
func newParser(syntax syntax, names []string, format bool, stops []string) *Parser {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = `"` + name + `"`
	}
	p := &Parser{syntax: syntax, whole: format || syntax.marker == "", format: format, state: atBeginning, stops: stops}
	p.head = [][]string{{"{"}, {`"name"`}, {":"}, quoted, {","}, {`"arguments"`, `"parameters"`}, {":"}}
	if p.whole {
		p.state = atStart
	}
	return p
}

// Plain reports whether the answer is certain to be only text.
func (p *Parser) Plain() bool { return p.head == nil }

// Called reports whether the answer has calls and the last one is complete.
func (p *Parser) Called() bool { return p.calls > 0 && p.state != inArguments }

// Feed takes the next piece of the answer.
func (p *Parser) Feed(text string) []Part {
	if p.head == nil {
		if text == "" {
			return nil
		}
		return []Part{{Call: -1, Text: text}}
	}
	p.held += text
	var out []Part
	for p.held != "" {
		progress := false
		switch p.state {
		case atStart:
			progress = p.feedStart()
		case atBeginning:
			progress = p.feedBeginning()
		case inText:
			out, progress = p.feedText(out)
		case beforeArguments:
			out, progress = p.feedHead(out)
		case inArguments:
			out, progress = p.feedArguments(out), true
		case afterArguments:
			progress = p.feedTail()
		case onlyText:
			out, p.held = p.say(out, p.held), ""
		}
		if !progress {
			break
		}
	}
	return out
}

// End returns the text that Feed held back. Call it when the answer has ended. It drops text after a marker or a call.
// It also drops the beginning of a call that was cut off by the token limit (full) or by a stop string that would
// continue the call.
func (p *Parser) End(full bool) []Part {
	noMarker := p.state == beforeArguments && p.syntax.marker == ""
	if p.state > inText && !noMarker {
		return nil
	}
	held := p.held
	p.held = ""
	if cut := p.begunCall(held, full); cut >= 0 {
		held = held[:cut]
		if !p.spoken && strings.Trim(held, jsonSpace) == "" { // only white space before the call
			held = ""
		}
	}
	return p.say(nil, held)
}

// begunCall returns the index in held at which a call begins that was cut off, or -1.
func (p *Parser) begunCall(held string, full bool) int {
	if p.syntax.marker == "" {
		if p.state != beforeArguments || p.format { // JSON in a requested format may begin like a call
			return -1
		}
		return p.cutAt(0, full, func(stop string) bool {
			_, _, fits := p.readHead(held + stop)
			return fits
		})
	}
	if p.state == atBeginning {
		if at := p.begunUnmarked(held, full); at >= 0 {
			return at
		}
	}
	length := longestBorder(p.syntax.marker, held)
	if length == 0 {
		return -1
	}
	at := len(held) - length
	rest := p.syntax.marker[length:]
	if length == 1 && p.spoken && p.inLine { // a single character begins a call only at the start of a line
		full = false
	}
	return p.cutAt(at, full, func(stop string) bool {
		return strings.HasPrefix(rest, stop) || strings.HasPrefix(stop, rest)
	})
}

// cutAt returns at if the token limit ended the answer, or a stop string that would continue the call. Otherwise it
// returns -1.
func (p *Parser) cutAt(at int, full bool, goesOn func(stop string) bool) int {
	if full || slices.ContainsFunc(p.stops, goesOn) {
		return at
	}
	return -1
}

// feedStart decides from the first byte after white space whether a whole answer is calls or text.
func (p *Parser) feedStart() bool {
	begin := p.syntax.marker
	if begin == "" {
		begin = "{"
	}
	rest := strings.TrimLeft(p.held, jsonSpace)
	after, found := strings.CutPrefix(rest, begin)
	switch {
	case found && p.syntax.marker == "": // keep the brace: it belongs to the head
		p.state = beforeArguments
	case found:
		p.held, p.state = after, beforeArguments
	case strings.HasPrefix(begin, rest):
		return false
	default:
		p.state = onlyText
	}
	return true
}

func (p *Parser) feedText(out []Part) ([]Part, bool) {
	if before, after, found := strings.Cut(p.held, p.syntax.marker); found {
		if p.spoken || strings.Trim(before, jsonSpace) != "" {
			out = p.say(out, before)
		}
		p.held, p.state = after, beforeArguments
		return out, true
	}
	free := len(p.held) - longestBorder(p.syntax.marker, p.held)
	if !p.spoken && strings.Trim(p.held[:free], jsonSpace) == "" { // hold white space, which is dropped if a call follows
		return out, false
	}
	out = p.say(out, p.held[:free])
	p.held = p.held[free:]
	return out, free > 0
}

func (p *Parser) say(out []Part, text string) []Part {
	if text == "" {
		return out
	}
	p.spoken = p.spoken || strings.Trim(text, jsonSpace) != ""
	p.inLine = !strings.HasSuffix(text, "\n")
	return append(out, Part{Call: -1, Text: text})
}

func (p *Parser) feedHead(out []Part) ([]Part, bool) {
	name, rest, fits := p.readHead(p.held)
	switch {
	case fits && rest == "":
		return out, false
	case fits:
		p.held = rest
		p.state, p.depth, p.quoted, p.escape = inArguments, 0, false, false
		p.calls++
		return append(out, Part{Call: p.calls - 1, ID: newCallID(), Name: p.clientName(name)}), true
	case p.calls > 0:
		p.state = afterArguments
		if p.unmarked { // skip the brace
			p.held = p.held[1:]
		}
	case p.whole:
		out, p.state = p.say(out, p.syntax.marker), onlyText
	default:
		out, p.state = p.say(out, p.syntax.marker), inText
	}
	return out, true
}

// readHead returns the name of the called tool and the beginning of its arguments. rest is empty while the head is
// incomplete. fits reports whether held so far begins like a call.
func (p *Parser) readHead(held string) (name, rest string, fits bool) {
	rest = strings.TrimLeft(held, jsonSpace)
	for i, words := range p.head {
		word := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(rest, word) })
		if word < 0 {
			begun := slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, rest) })
			return "", "", begun
		}
		if i == nameWord {
			name = strings.Trim(words[word], `"`)
		}
		rest = strings.TrimLeft(rest[len(words[word]):], jsonSpace)
	}
	return name, rest, true
}

// clientName returns the client's name of a tool.
func (p *Parser) clientName(name string) string {
	for _, tool := range p.tools {
		if tool.Name == name {
			return tool.ClientName
		}
	}
	return name
}

// newCallID returns a random id in the form that OpenAI's clients know.
func newCallID() string { return "call_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:24] }

func (p *Parser) feedArguments(out []Part) []Part {
	end := 0
	for end < len(p.held) && p.state == inArguments {
		c := p.held[end]
		if c == '}' && p.depth == 0 && !p.quoted { // closes the call: the arguments are not an object
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
	out = append(out, Part{Call: p.calls - 1, Arguments: p.held[:end]})
	p.held = p.held[end:]
	return out
}

// feedTail skips the end of a call, up to the beginning of the next one.
func (p *Parser) feedTail() bool {
	if p.syntax.marker == "" {
		p.held = ""
		return false
	}
	if p.unmarked {
		return p.feedUnmarkedTail()
	}
	_, after, found := strings.Cut(p.held, p.syntax.marker)
	if !found {
		p.held = p.held[len(p.held)-longestBorder(p.syntax.marker, p.held):]
		return false
	}
	p.held, p.state = after, beforeArguments
	return true
}
