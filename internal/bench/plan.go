package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Load is the load of a round: Streams concurrent requests (closed loop), or Rate arrivals per second whatever the server
// does (open loop). One of them is 0.
type Load struct {
	Streams int
	Rate    float64 // requests per second, Poisson
}

// String returns "4 streams" or "2.5 requests/s".
func (l Load) String() string {
	switch {
	case l.Rate > 0:
		return fmt.Sprintf("%g requests/s", l.Rate)
	case l.Streams == 1:
		return "1 stream"
	default:
		return fmt.Sprintf("%d streams", l.Streams)
	}
}

// Plan describes the requests of a run. The same plan sends the same requests to every target.
type Plan struct {
	Loads    []Load
	Rounds   int // per target; the targets alternate
	Requests int // per round; at least one for each stream
	Warmup   int // requests to each target that do not count
	Prompt   Lengths
	Answer   Lengths
	Seed     uint64
	Timeout  time.Duration // of one request
	SLO      SLO
}

// request is one prompt with the length of its answer and the time of its arrival.
type request struct {
	prompt string
	tokens int
	at     time.Duration // since the start of the round; open loop only
}

// words are the words of prompts: common words, which are single tokens.
var words = strings.Fields("amber bridge candle desert engine forest garden harbor island journey kitchen lamp market needle ocean paper river signal thunder village window winter copper letter")

// round draws the requests of a round of a load.
func (p Plan) round(load, number int) []request {
	chance := rand.New(rand.NewPCG(p.Seed, uint64(load)<<32|uint64(number))) //nolint:gosec // reproducible on purpose
	requests := make([]request, max(p.Requests, p.Loads[load].Streams))
	at := time.Duration(0)
	for i := range requests {
		requests[i] = request{prompt: Prompt(chance, p.Prompt.Draw(chance)), tokens: p.Answer.Draw(chance), at: at}
		if rate := p.Loads[load].Rate; rate > 0 {
			at += time.Duration(chance.ExpFloat64() / rate * float64(time.Second))
		}
	}
	return requests
}

// Prompt returns a random text of the given number of words.
func Prompt(chance *rand.Rand, length int) string {
	var b strings.Builder
	for i := range length {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[chance.IntN(len(words))])
	}
	return b.String()
}
