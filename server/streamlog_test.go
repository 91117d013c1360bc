package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"prunellm/internal/polltest"
)

// A stream is logged after its generation has ended, so that the log has the whole duration.
func TestStreamIsLoggedWhenItEnds(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/responses"} {
		s := serve(t, newFake())
		body := `{"messages":[{"role":"user","content":"Hi"}],"stream":true}`
		if path == "/v1/responses" {
			body = `{"input":"Hi","stream":true}`
		}
		if got := s.post(path, body); got.status != 200 {
			t.Fatalf("%s = %d %s", path, got.status, got.body)
		}
		polltest.Within(t, 30*time.Second, func() error {
			if !strings.Contains(s.log.String(), "msg=request ") {
				return errors.New("the request is not logged")
			}
			return nil
		})
		log := s.log.String()
		if generation, request := strings.Index(log, `msg="generation ended"`), strings.Index(log, "msg=request "); generation < 0 || request < generation {
			t.Errorf("%s: the request is logged before its generation ends:\n%s", path, log)
		}
	}
}
