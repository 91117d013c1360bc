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

// opening is how a text begins that the dense model writes: left to itself, a chat model writes stories, code and chat,
// and calibrates for those only.
type opening struct{ kind, text string }

// requestsText is the list of requests, one a line.
//
//go:embed requests.txt
var requestsText string

// requests are what a chat model is asked to write: two thirds are articles. All of them were written for this purpose.
func requests() []string { return strings.Split(strings.TrimSpace(requestsText), "\n") }

// openings is the list, in the order of the file: articles first, then other prose, talk and code. All of it was written
// for this purpose.
func openings() []opening {
	var list []opening
	for _, entry := range strings.Split("\n"+openingsText, "\n"+openingMark)[1:] {
		kind, text, _ := strings.Cut(entry, "\n")
		list = append(list, opening{kind: kind, text: strings.TrimRight(text, "\n")})
	}
	return list
}

// beginningKind is a way for a text to begin.
type beginningKind int

// The kinds of beginnings.
const (
	beginOpening beginningKind = iota // one of openings
	beginRequest                      // one of requests, as a user's message
	beginChat                         // a chat whose user's message the model writes as well
)

// beginnings is the cycle in which texts begin; docs/understand/pruning.md says what was compared.
func beginnings() []beginningKind {
	return []beginningKind{beginRequest, beginOpening, beginRequest, beginChat}
}

// beginning returns how a text begins in a cycle, and how many texts before it began in that way.
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

// openingOrder is the order in which a seed goes through n openings or requests. It steps through the list by about the
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

// openingStream keeps the draw of the first opening apart from other uses of the seed.
const openingStream = 0x6f70656e

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
