package chat

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"prunellm/openapi"
)

// Part is a piece of an answer: text, thinking, or a piece of a tool call.
type Part struct {
	Thinking  string // before the text; Text is then empty
	Call      int    // index of the call; -1: text
	ID, Name  string // of the call, in its first part
	Text      string // when Call is -1
	Arguments string // the JSON that is new
}

// Parser separates the text of an answer from the tool calls in it, as the model generates it. The zero Parser (no head)
// takes everything as text.
//
// The grammar of the answer guarantees that each call is well formed as far as it goes: a known name comes first, and
// only calls follow the first one. A client's own grammar guarantees nothing, and the JSON of a format may begin as a
// call does: if it turns out to be none, it is text. Calls without marker are in unmarked.go.
type Parser struct {
	syntax   syntax
	head     [][]string // what comes before the arguments, piece by piece: for each the words there may be
	whole    bool       // the answer is calls alone or text alone
	format   bool       // text is held to a format
	held     string     // not returned yet: it may begin a marker or a call
	state    parseState
	calls    int
	depth    int  // of the arguments' braces and brackets
	quoted   bool // within a string of the arguments
	escape   bool // after a backslash there
	unmarked bool // calls come without the syntax's marker
	spoken   bool // text other than white space was returned
	inLine   bool // the returned text does not end with a line
	stops    []string
	tools    []openapi.Tool // whose names calls have
	hidden   bool           // the client wants no thinking
}

type parseState int

const (
	atStart     parseState = iota // of an answer that is whole
	atBeginning                   // of an answer that is not, but may be calls without marker
	inText
	beforeArguments
	inArguments
	afterArguments
	onlyText // to the end
)

// nameWord is the piece of a head that is the tool's name.
const nameWord = 3

// jsonSpace is what JSON takes as white space.
const jsonSpace = " \t\n\r"

// Parser returns a parser of one answer to a turn. stops are the texts at which the answer ends.
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

// Think takes the next piece of what the model thinks, which the engine has separated from the answer.
func (p *Parser) Think(text string) []Part {
	if text == "" || p.hidden {
		return nil
	}
	return []Part{{Call: -1, Thinking: text}}
}

// newParser makes a parser of answers that may call the named tools. Answers are whole when they are held to a
// format, and always when calls have no marker.
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

// Plain reports whether the answer is text for sure.
func (p *Parser) Plain() bool { return p.head == nil }

// Called reports whether the answer has calls of which the last one is whole.
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

// End returns the text that Feed held back, once the answer has ended. Text behind a marker or a call is dropped. So is
// the beginning of a call that was cut off, by the limit of tokens (full) or by a stop string that continues the call.
func (p *Parser) End(full bool) []Part {
	noMarker := p.state == beforeArguments && p.syntax.marker == ""
	if p.state > inText && !noMarker {
		return nil
	}
	held := p.held
	p.held = ""
	if cut := p.begunCall(held, full); cut >= 0 {
		held = held[:cut]
		if !p.spoken && strings.Trim(held, jsonSpace) == "" { // white space before a call
			held = ""
		}
	}
	return p.say(nil, held)
}

// begunCall returns the index in held where a call begins that was cut off, or -1.
func (p *Parser) begunCall(held string, full bool) int {
	if p.syntax.marker == "" {
		if p.state != beforeArguments || p.format { // JSON that a format asks for begins as a call does
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
	if length == 1 && p.spoken && p.inLine { // one character alone begins a call only where a line does
		full = false
	}
	return p.cutAt(at, full, func(stop string) bool {
		return strings.HasPrefix(rest, stop) || strings.HasPrefix(stop, rest)
	})
}

// cutAt returns at if the limit, or a stop string that continues the call, ended the answer there, and -1 otherwise.
func (p *Parser) cutAt(at int, full bool, goesOn func(stop string) bool) int {
	if full || slices.ContainsFunc(p.stops, goesOn) {
		return at
	}
	return -1
}

// feedStart decides what a whole answer is by its first byte after white space.
func (p *Parser) feedStart() bool {
	begin := p.syntax.marker
	if begin == "" {
		begin = "{"
	}
	rest := strings.TrimLeft(p.held, jsonSpace)
	after, found := strings.CutPrefix(rest, begin)
	switch {
	case found && p.syntax.marker == "": // the brace belongs to the head
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
	if !p.spoken && strings.Trim(p.held[:free], jsonSpace) == "" { // white space before a call is dropped
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
		if p.unmarked { // past the brace
			p.held = p.held[1:]
		}
	case p.whole:
		out, p.state = p.say(out, p.syntax.marker), onlyText
	default:
		out, p.state = p.say(out, p.syntax.marker), inText
	}
	return out, true
}

// readHead returns the called tool's name and the beginning of its arguments, which is empty while the head is incomplete.
// fits reports whether held begins as a call does.
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

// clientName is what the client calls a tool.
func (p *Parser) clientName(name string) string {
	for _, tool := range p.tools {
		if tool.Name == name {
			return tool.ClientName
		}
	}
	return name
}

// newCallID makes an id as clients know them.
func newCallID() string { return "call_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:24] }

func (p *Parser) feedArguments(out []Part) []Part {
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
	out = append(out, Part{Call: p.calls - 1, Arguments: p.held[:end]})
	p.held = p.held[end:]
	return out
}

// feedTail skips what closes a call, up to the beginning of the next one.
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
