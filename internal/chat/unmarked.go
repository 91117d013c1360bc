package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"prunellm/openapi"
)

// Models whose calls have a marker leave it out at times: the answer then begins with the call itself, bare or in a fence
// of Markdown. Such an answer is a call from the tool's name on. Nothing but calls and the end of the fence follows it.

// fences may come before a call without marker.
var fences = []string{"```json", "```"}

// unfenced returns the answer behind leading white space and a fence. It returns nothing while a fence may continue.
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

// feedBeginning decides whether an answer that need not be whole begins with a call without marker.
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

// begunUnmarked is begunCall for an answer that may begin with a call without marker. A fence alone is text.
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

// feedUnmarkedTail skips what closes a call without marker, up to the brace of the next one.
func (p *Parser) feedUnmarkedTail() bool {
	at := strings.IndexByte(p.held, '{')
	if at < 0 {
		p.held = ""
		return false
	}
	p.held, p.state = p.held[at:], beforeArguments
	return true
}

// Grammar of calls without marker. Each place in what comes before a call's arguments is a rule, so that text which
// deviates from it is text as ever, with the marker's machine behind it (see textBefore).

// beginning writes the rules of an answer that begins with a call without marker, from rule begin on; answers that do
// not are the text of rule text-0.
type beginning struct {
	out    strings.Builder
	marker string
}

// unmarkedCalls returns the rules of an answer that may be such calls of the tools; the answer begins with rule begin.
// Rule arguments-N-root is for the arguments of turn.Tools[N]. A call is one for sure once its tool's name is whole.
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

// word writes the states of a word that follows state head-place, and returns the place behind it.
func (b *beginning) word(place int, word string) int {
	for i := range len(word) {
		b.state(fmt.Sprintf("head-%d", place+i), i == 0, map[byte]string{word[i]: fmt.Sprintf("head-%d", place+i+1)})
	}
	return place + len(word)
}

// names writes the states of the tools' names as a trie, from state name-0 on.
func (b *beginning) names(tools []openapi.Tool) {
	trie := []map[byte]int{{}} // of each state: the next one's number
	calls := map[int]int{}     // tool whose name ends in a state
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

// state writes a rule: the text ends, goes on with one of the next bytes, or is no call. With space, white space may come
// first.
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
