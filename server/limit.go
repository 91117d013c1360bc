package server

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/time/rate"

	"prunellm/openapi"
)

// maxLimited bounds how many clients a limiter remembers. At the bound it forgets clients whose allowance is full.
const maxLimited = 4096

// limiter gives each client an allowance of requests per minute that refills evenly. A client is an API key, or an
// address if the server needs no keys.
type limiter struct {
	perMinute int
	clock     func() time.Time

	mu      sync.Mutex
	clients map[[sha256.Size]byte]*rate.Limiter
}

func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: perMinute, clock: time.Now, clients: map[[sha256.Size]byte]*rate.Limiter{}}
}

// allow takes one request off a client's allowance. It returns how many are left or, if there was none, when to retry.
func (l *limiter) allow(client string) (ok bool, left int, again time.Duration) {
	key := sha256.Sum256([]byte(client)) // the limiter does not hold the keys themselves
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, known := l.clients[key]
	if !known {
		l.forget(now)
		bucket = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.clients[key] = bucket
	}
	ok = bucket.AllowN(now, 1)
	tokens := bucket.TokensAt(now)
	if !ok {
		again = time.Duration(math.Ceil((1 - tokens) / float64(bucket.Limit()) * float64(time.Second)))
	}
	return ok, int(max(tokens, 0)), again
}

// forget makes room for one more client. The caller holds mu.
func (l *limiter) forget(now time.Time) {
	if len(l.clients) < maxLimited {
		return
	}
	for key, bucket := range l.clients {
		if bucket.TokensAt(now) >= float64(l.perMinute) {
			delete(l.clients, key)
		}
	}
	for key := range l.clients { // no allowance is full: dropping any one bounds memory, and that client starts with a full allowance
		if len(l.clients) < maxLimited {
			return
		}
		delete(l.clients, key)
	}
}

// limitRate refuses requests of a client that has used up its allowance.
func (s *Server) limitRate(c *fiber.Ctx) error {
	if s.limiter == nil {
		return c.Next()
	}
	client := "key " + givenKey(&c.Request().Header)
	if s.options.APIKeys == nil {
		client = "address " + c.Context().RemoteIP().String()
	}
	ok, left, again := s.limiter.allow(client)
	c.Set(headerLimit, strconv.Itoa(s.limiter.perMinute))
	c.Set(headerRemaining, strconv.Itoa(left))
	if ok {
		return c.Next()
	}
	return &refusal{failure{
		body: openapi.NewError(openapi.TypeRateLimit, "", openapi.CodeRateLimit,
			fmt.Sprintf("more than %d requests per minute; try again in %s", s.limiter.perMinute, again.Round(time.Second))),
		retryAfter: max(again, time.Second),
	}}
}
