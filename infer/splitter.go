package infer

import "bytes"

// Thinking describes how a model marks its thinking before the answer. The zero value means that all text is the answer.
type Thinking struct {
	Begin, End string // the markers around the thinking, each at most maxMarkerBytes
	Open       bool   // the prompt ends inside the thinking, so the model does not write Begin
	Budget     int    // maximum tokens of thinking, after which Close is added; negative: no limit
	Close      string // the text that ends thinking at its budget; empty: End
}

// whiteSpace lists the characters that are dropped around the thinking.
const whiteSpace = " \t\n\r"

// maxLeadingSpace bounds the bytes of white space before Begin.
const maxLeadingSpace = 32

// Splitter separates a model's thinking from its answer. Their text may arrive in pieces of any size. Thinking comes first
// or not at all: a marker inside the answer is text. White space around the thinking is dropped.
type Splitter struct {
	begin, end []byte
	state      splitState
	held       []byte // held back: it may be part of a marker, or white space at the end of the thinking
	begun      bool   // a begin marker was found
	spoken     bool   // some thinking was returned
}

type splitState int

const (
	undecided splitState = iota // thinking may follow
	thinking
	between // after the thinking, before the answer
	answering
)

// NewSplitter returns a Splitter at the beginning of an answer.
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

// Add processes the next piece of text. It returns the text that is certainly thinking and the text that is certainly the
// answer. Both are valid until piece changes.
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

// think returns the part of held that is certainly thinking. It keeps the rest, or the text after the end marker.
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

// say returns thinking without the white space at its beginning and, in state between, at its end.
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

// End returns the text that Add held back, after the end of the answer. full reports that the limit of tokens ended the
// answer: then the beginning of a marker was cut off and is dropped. Otherwise it is text.
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

// marking reports whether held back text is the beginning of the begin marker, not only white space.
func (s *Splitter) marking(held []byte) bool { return len(bytes.TrimLeft(held, whiteSpace)) > 0 }

// after returns a copy of the splitter after a piece, and the part of the piece that is the answer.
func (s *Splitter) after(piece []byte) (next Splitter, answer []byte) {
	next = *s
	next.held = bytes.Clone(s.held)
	_, answer = next.Add(piece)
	return next, answer
}

// borderOf returns the length of the longest proper prefix of marker that text ends with.
func borderOf(marker, text []byte) int {
	for n := min(len(marker)-1, len(text)); n > 0; n-- {
		if bytes.HasSuffix(text, marker[:n]) {
			return n
		}
	}
	return 0
}
