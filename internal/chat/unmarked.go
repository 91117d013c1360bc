package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"prunellm/openapi"
)

// Models whose calls have a marker sometimes omit it. The answer then begins with the call itself, either bare or in a
// Markdown fence. Once the tool's name is complete, such an answer is a call. Only more calls and the end of the fence
// can follow.

// fences lists the Markdown fences that may precede a call without a marker.
var fences = []string{"```json", "```"}

// unfenced returns the answer without leading white space and a fence. It returns "" while the answer may still be the
// beginning of a fence.
func unfenced(answer string) string {
	rest := strings.TrimLeft(answer, jsonSpace)
	for _, fence := range fences {
		if inside, found := strings.CutPrefix(rest, fence); found {
			return strings.TrimLeft(inside, jsonSpace)
		}
		if strings.HasPrefix(fence, rest) {
			return ""
		}
	}
	return rest
}

// feedBeginning decides whether an answer that may mix text and calls begins with a call without a marker.
func (p *Parser) feedBeginning() bool {
	call := unfenced(p.held)
	switch _, rest, fits := p.readHead(call); {
	case !fits:
		p.state = inText
	case rest == "":
		return false
	default:
		p.held, p.state, p.unmarked = call, beforeArguments, true
	}
	return true
}

// begunUnmarked is begunCall for an answer that may begin with a call without a marker. A fence with nothing in it is
// text.
func (p *Parser) begunUnmarked(held string, full bool) int {
	call := unfenced(held)
	if call == "" {
		return -1
	}
	return p.cutAt(0, full, func(stop string) bool {
		_, _, fits := p.readHead(call + stop)
		return fits
	})
}

// feedUnmarkedTail skips the end of a call without a marker, up to the brace of the next call.
func (p *Parser) feedUnmarkedTail() bool {
	at := strings.IndexByte(p.held, '{')
	if at < 0 {
		p.held = ""
		return false
	}
	p.held, p.state = p.held[at:], beforeArguments
	return true
}

// The grammar of calls without a marker has one rule for each position before a call's arguments. Text that deviates at
// any position continues as ordinary text in the automaton that looks for the marker (see textBefore).

// beginning writes the rules for an answer that may begin with a call without a marker. The first rule is begin. An
// answer that begins otherwise continues with rule text-0.
type beginning struct {
	out    strings.Builder
	marker string
}

// unmarkedCalls returns the rules for an answer that may be such calls. The first rule is begin. Rule arguments-N-root
// is for the arguments of turn.Tools[N]. Once the tool's name is complete, the answer must be a call.
func unmarkedCalls(turn *openapi.Turn, marker string) string {
	b := &beginning{marker: marker}
	b.state("begin", true, map[byte]string{'{': "head-1", '`': "fence-1"})
	fence := fences[0]
	for i := 1; i < len(fence); i++ {
		next := map[byte]string{fence[i]: fmt.Sprintf("fence-%d", i+1)}
		behind := i == len(fences[1])
		if behind {
			next['{'] = "head-1"
		}
		b.state(fmt.Sprintf("fence-%d", i), behind, next)
	}
	b.state(fmt.Sprintf("fence-%d", len(fence)), true, map[byte]string{'{': "head-1"})
	place := b.word(1, `"name"`)
	place = b.word(place, ":")
	b.state(fmt.Sprintf("head-%d", place), true, map[byte]string{'"': "name-0"})
	b.names(turn.Tools)

	more := `""`
	if turn.ParallelToolCalls {
		more = fmt.Sprintf(`([ \t\n\r]{0,8} "{" call-space "\"name\"" call-space ":" call-space "\"" called){0,%d}`, maxParallelCalls-1)
	}
	fmt.Fprintf(&b.out, "unmarked-more ::= %s [ \\t\\n\\r]{0,8} \"```\"? [ \\t\\n\\r]{0,8}\n", more)
	b.out.WriteString(`call-space ::= [ \t\n\r]{0,8}` + "\n")
	var called []string
	for i, tool := range turn.Tools {
		called = append(called, fmt.Sprintf("%s unmarked-%d", literal(tool.Name+`"`), i))
		fmt.Fprintf(&b.out, `unmarked-%d ::= call-space "," call-space ("\"arguments\"" | "\"parameters\"") call-space ":" call-space arguments-%d-root call-space "}"`+"\n", i, i)
	}
	fmt.Fprintf(&b.out, "called ::= %s\n", strings.Join(called, " | "))
	return b.out.String()
}

// word writes the states that read a word, starting with state head-place. It returns the place after the word.
func (b *beginning) word(place int, word string) int {
	for i := range len(word) {
		b.state(fmt.Sprintf("head-%d", place+i), i == 0, map[byte]string{word[i]: fmt.Sprintf("head-%d", place+i+1)})
	}
	return place + len(word)
}

// names writes the states that read a tool's name, as a trie that starts with state name-0.
func (b *beginning) names(tools []openapi.Tool) {
	trie := []map[byte]int{{}} // for each state, the number of the next one
	calls := map[int]int{}     // index of the tool whose name ends in a state
	for i, tool := range tools {
		at := 0
		for _, c := range []byte(tool.Name) {
			next, known := trie[at][c]
			if !known {
				next = len(trie)
				trie[at][c] = next
				trie = append(trie, map[byte]int{})
			}
			at = next
		}
		calls[at] = i
	}
	for i, next := range trie {
		targets := map[byte]string{}
		for c, to := range next {
			targets[c] = fmt.Sprintf("name-%d", to)
		}
		if tool, ends := calls[i]; ends {
			targets['"'] = fmt.Sprintf("unmarked-%d unmarked-more", tool)
		}
		b.state(fmt.Sprintf("name-%d", i), false, targets)
	}
}

// state writes a rule: the text ends, continues with one of the bytes in next, or is not a call. With space, white
// space may come first.
func (b *beginning) state(name string, space bool, next map[byte]string) {
	fmt.Fprintf(&b.out, "%s ::= \"\"", name)
	seen := b.marker[:1]
	for _, c := range slices.Sorted(maps.Keys(next)) {
		fmt.Fprintf(&b.out, " | %s %s", literal(string(c)), next[c])
		seen += string(c)
	}
	if space {
		fmt.Fprintf(&b.out, ` | [ \t\n\r] %s`, name)
		seen += `\t\n\r `
	}
	fmt.Fprintf(&b.out, " | %s text-1 | [^%s\\x00] text-0\n", literal(b.marker[:1]), strings.ReplaceAll(seen, "-", `\-`))
}
