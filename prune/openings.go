package prune

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

// Opening is how a text begins that the dense model is to write: left to itself, a chat model writes stories, code and
// chat, and calibrates for those only.
type Opening struct{ Kind, Text string }

// requestsText is the list of requests, one a line.
//
//go:embed requests.txt
var requestsText string

// Requests are what a chat model is asked to write: articles for two thirds, and other texts. All of them were written
// for this purpose.
func Requests() []string { return strings.Split(strings.TrimSpace(requestsText), "\n") }

// Openings is the list, in the order of the file: articles first, then other prose, talk and code. All of it was written
// for this purpose.
func Openings() []Opening {
	var list []Opening
	for _, entry := range strings.Split("\n"+openingsText, "\n"+openingMark)[1:] {
		kind, text, _ := strings.Cut(entry, "\n")
		list = append(list, Opening{Kind: kind, Text: strings.TrimRight(text, "\n")})
	}
	return list
}

// BeginningKind is a way for a text to begin that the dense model is to write.
type BeginningKind int

// The kinds of beginnings.
const (
	BeginOpening BeginningKind = iota // one of Openings
	BeginRequest                      // one of Requests, put to the model as a user's message
	BeginChat                         // a chat whose user's message the model writes as well
)

// Beginnings is the cycle in which texts begin; docs/understand/pruning.md says what was compared.
func Beginnings() []BeginningKind {
	return []BeginningKind{BeginRequest, BeginOpening, BeginRequest, BeginChat}
}

// Beginning is how a text begins in a cycle, and how many texts before it began in that way.
func Beginning(cycle []BeginningKind, text int) (kind BeginningKind, nth int) {
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

// OpeningOrder is the order in which a seed goes through n openings or requests. It steps through the list by about the golden ratio,
// so that however few of them are used, they come from all of its parts.
func OpeningOrder(n int, seed uint64) []int {
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
