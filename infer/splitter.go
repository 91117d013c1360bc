package infer

import "bytes"

// Thinking says how a model marks what it thinks before its answer. With the zero value all of its text is the answer.
type Thinking struct {
	Begin, End string // the markers around it, at most maxMarkerBytes
	Open       bool   // the prompt ends within it: the model writes no Begin
	Budget     int    // tokens that it may take; Close follows them. Negative: any number
	Close      string // what ends it then; empty: End
}

// whiteSpace is dropped around the thinking.
const whiteSpace = " \t\n\r"

// maxLeadingSpace is how many bytes of white space may stand before Begin.
const maxLeadingSpace = 32

// Splitter separates a model's thinking from its answer, whatever pieces they come in. Thinking comes first or not at
// all: a marker within the answer is text. White space around the thinking belongs to neither.
type Splitter struct {
	begin, end []byte
	state      splitState
	held       []byte // not returned yet: it may be part of a marker, or white space that ends the thinking
	begun      bool   // a begin marker was found
	spoken     bool   // thinking was returned
}

type splitState int

const (
	undecided splitState = iota // there may be thinking
	thinking
	between // the thinking and the answer
	answering
)

// NewSplitter begins an answer.
func NewSplitter(t Thinking) *Splitter {
	s := &Splitter{begin: []byte(t.Begin), end: []byte(t.End)}
	switch {
	case t.End == "":
		s.state = answering
	case t.Open:
		s.state = thinking
	}
	return s
}

// Add takes the next piece of text. It returns what it says for sure; both results are valid until piece changes.
func (s *Splitter) Add(piece []byte) (thought, answer []byte) {
	if s.state == answering {
		return nil, piece
	}
	s.held = append(s.held, piece...)
	if s.state == undecided {
		rest := bytes.TrimLeft(s.held, whiteSpace)
		after, begun := bytes.CutPrefix(rest, s.begin)
		indented := len(s.held)-len(rest) > maxLeadingSpace
		switch {
		case begun && !indented:
			s.state, s.held, s.begun = thinking, after, true
		case bytes.HasPrefix(s.begin, rest) && !indented:
			return nil, nil
		default:
			s.state = answering
			return nil, s.release()
		}
	}
	if s.state == thinking {
		thought = s.think()
	}
	if s.state != between {
		return thought, nil
	}
	if s.held = bytes.TrimLeft(s.held, whiteSpace); len(s.held) == 0 {
		return thought, nil
	}
	s.state = answering
	return thought, s.release()
}

// think returns the part of held that is thinking for sure, and keeps the rest or what follows the end marker.
func (s *Splitter) think() []byte {
	before, after, ended := bytes.Cut(s.held, s.end)
	if ended {
		s.state, s.held = between, after
		return s.say(before)
	}
	free := bytes.TrimRight(s.held[:len(s.held)-borderOf(s.end, s.held)], whiteSpace)
	s.held = s.held[len(free):]
	return s.say(free)
}

// say returns thinking that is followed by more of it, or by the end marker.
func (s *Splitter) say(text []byte) []byte {
	if !s.spoken {
		text = bytes.TrimLeft(text, whiteSpace)
	}
	if s.state == between {
		text = bytes.TrimRight(text, whiteSpace)
	}
	s.spoken = s.spoken || len(text) > 0
	return text
}

func (s *Splitter) release() []byte {
	held := s.held
	s.held = nil
	return held
}

// End returns the text that Add held back, once the answer has ended. The beginning of a marker is dropped where the
// limit of tokens cut it off (full), and text where the model ended the answer.
func (s *Splitter) End(full bool) (thought, answer []byte) {
	switch held := s.release(); {
	case s.state == thinking:
		if full {
			held = held[:len(held)-borderOf(s.end, held)]
		}
		return bytes.TrimRight(s.say(held), whiteSpace), nil
	case s.state == undecided && full && s.marking(held):
		return nil, nil
	default:
		return nil, held
	}
}

// marking reports whether held back text is the beginning of the begin marker, and not white space alone.
func (s *Splitter) marking(held []byte) bool { return len(bytes.TrimLeft(held, whiteSpace)) > 0 }

// after returns a copy of the splitter that has taken a piece, and what of the piece is the answer.
func (s *Splitter) after(piece []byte) (next Splitter, answer []byte) {
	next = *s
	next.held = bytes.Clone(s.held)
	_, answer = next.Add(piece)
	return next, answer
}

// borderOf is the length of the longest proper beginning of marker that text ends with.
func borderOf(marker, text []byte) int {
	for n := min(len(marker)-1, len(text)); n > 0; n-- {
		if bytes.HasSuffix(text, marker[:n]) {
			return n
		}
	}
	return 0
}
