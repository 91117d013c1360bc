package calibration

import (
	_ "embed" // openings.txt, requests.txt
	"math/rand/v2"
	"strings"
)

// openingsText is the list of openings. A line that begins with openingMark names the kind of the text that follows.
//
//go:embed openings.txt
var openingsText string

const openingMark = "%% "

// opening is the beginning of a text that the dense model continues. Without one, a chat model writes stories, code and
// chat, and calibrates only for those.
type opening struct{ kind, text string }

// requestsText is the list of requests, one a line.
//
//go:embed requests.txt
var requestsText string

// requests returns the requests for a chat model: two thirds are articles. All were written for this purpose.
func requests() []string { return strings.Split(strings.TrimSpace(requestsText), "\n") }

// openings returns the list in the order of the file: articles first, then other prose, talk and code. All were written
// for this purpose.
func openings() []opening {
	var list []opening
	for _, entry := range strings.Split("\n"+openingsText, "\n"+openingMark)[1:] {
		kind, text, _ := strings.Cut(entry, "\n")
		list = append(list, opening{kind: kind, text: strings.TrimRight(text, "\n")})
	}
	return list
}

// beginningKind is a kind of beginning of a text.
type beginningKind int

// The kinds of beginnings.
const (
	beginOpening beginningKind = iota // one of openings
	beginRequest                      // one of requests, as a user's message
	beginChat                         // a chat whose user message the model writes too
)

// beginnings returns the cycle of beginnings; docs/understand/pruning.md describes the alternatives.
func beginnings() []beginningKind {
	return []beginningKind{beginRequest, beginOpening, beginRequest, beginChat}
}

// beginning returns the kind of a text's beginning in a cycle, and the number of earlier texts with that kind.
func beginning(cycle []beginningKind, text int) (kind beginningKind, nth int) {
	kind = cycle[text%len(cycle)]
	for i, k := range cycle {
		if k != kind {
			continue
		}
		nth += text / len(cycle)
		if i < text%len(cycle) {
			nth++
		}
	}
	return kind, nth
}

// openingOrder returns the order in which a seed uses n openings or requests. It steps through the list by about the
// golden ratio, so that even a few of them come from all of its parts.
func openingOrder(n int, seed uint64) []int {
	const goldenRatio = 0.618
	order := make([]int, n)
	if n == 0 {
		return order
	}
	step := max(int(goldenRatio*float64(n)), 1)
	for gcd(step, n) != 1 {
		step--
	}
	first := rand.New(rand.NewPCG(seed, openingStream)).IntN(n)
	for i := range order {
		order[i] = (first + i*step) % n
	}
	return order
}

// openingStream separates the draw of the first opening from other uses of the seed.
const openingStream = 0x6f70656e

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
