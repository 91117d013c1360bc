package calibration

import (
	_ "embed" // openings.txt, requests.txt
	"math/rand/v2"
	"strings"
)

// openingsText is the list of openings. A line that begins with openingMark names the kind of the opening after it.
//
//go:embed openings.txt
var openingsText string

const openingMark = "%% "

// opening is the beginning of a text that the dense model continues. Without openings, a chat model writes only
// stories, code and chat, and calibration would fit only those.
type opening struct{ kind, text string }

// requestsText is the list of requests, one per line.
//
//go:embed requests.txt
var requestsText string

// requests returns the requests for a chat model. Two thirds of them ask for articles. All were written for this
// purpose.
func requests() []string { return strings.Split(strings.TrimSpace(requestsText), "\n") }

// openings returns the openings in the order of the file: articles first, then other prose, talk and code. All were
// written for this purpose.
func openings() []opening {
	var list []opening
	for _, entry := range strings.Split("\n"+openingsText, "\n"+openingMark)[1:] {
		kind, text, _ := strings.Cut(entry, "\n")
		list = append(list, opening{kind: kind, text: strings.TrimRight(text, "\n")})
	}
	return list
}

// beginningKind says how a text begins.
type beginningKind int

// The kinds of beginnings.
const (
	beginOpening beginningKind = iota // one of openings
	beginRequest                      // one of requests, as the message of a user
	beginChat                         // a chat in which the model also writes the message of the user
)

// beginnings returns the cycle of beginnings. docs/understand/pruning.md describes the alternatives.
func beginnings() []beginningKind {
	return []beginningKind{beginRequest, beginOpening, beginRequest, beginChat}
}

// beginning returns how a text begins in a cycle, and how many earlier texts begin in the same way.
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

// openingOrder returns the order in which to use n openings or requests for a seed. It steps through the list by about
// the golden ratio, so that even a few of them come from all parts of the list.
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

// openingStream separates the random choice of the first opening from other uses of the seed.
const openingStream = 0x6f70656e

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
