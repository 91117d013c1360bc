package hub

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// refuses responds 429 with a Retry-After header the given number of times.
func refuses(times int, pause string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		times--
		if times < 0 {
			return false
		}
		w.Header().Set("Retry-After", pause)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
}

// A hub with too many requests says when to retry. The client waits that long, up to a limit, and continues.
func TestTooManyRequests(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		list, file func(http.ResponseWriter) bool
		waited     []time.Duration
		fault      string
	}{
		"list":           {list: refuses(2, "7"), waited: []time.Duration{7 * s, 7 * s}},
		"file":           {file: refuses(2, "300"), waited: []time.Duration{300 * s, 300 * s}},
		"no pause":       {list: refuses(1, ""), file: refuses(1, "soon"), waited: []time.Duration{1, 1}},
		"list, too long": {list: refuses(1, "301"), fault: "429 Too Many Requests: too many requests; a token (HF_TOKEN) has a higher limit; retry in 5m1s"},
		"file, too long": {file: refuses(1, "86400"), fault: "retry in 24h0m0s"},
		"list, for ever": {list: refuses(99, "1"), waited: []time.Duration{s, s, s, s, s}, fault: "429"},
		"file, for ever": {file: refuses(99, "1"), waited: []time.Duration{s, s, s, s, s}, fault: "429"},
	} {
		t.Run(name, func(t *testing.T) {
			data := content(100)
			hub := newFakeHub(t, map[string][]byte{"m.gguf": data})
			hub.list = c.list
			if c.file != nil {
				hub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) bool { return c.file(w) }
			}
			client := hub.client(t, nil)
			var waited []time.Duration
			client.sleep = func(_ context.Context, pause time.Duration) error {
				waited = append(waited, pause)
				return nil
			}
			if c.fault == "" {
				fetch(t, client, "hf:owner/name", data)
			} else if _, _, err := client.Fetch(t.Context(), ref(t, "hf:owner/name")); err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("Fetch error = %v, want %q", err, c.fault)
			}
			if diff := cmp.Diff(c.waited, waited); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "12": 12 * time.Second, "-1": 0, "1.5": 0, "99999999999999999999": 0, "soon": 0,
		"Tue, 01 Dec 2026 08:00:30 GMT": 30 * time.Second, "Tue, 01 Dec 2026 07:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", header, got, want)
		}
	}
}
