package fleet

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"prunellm/internal/e2e/program"
	"prunellm/internal/store/redis/redistest"
)

// largest returns the largest string of a model's keys in Redis, and the entry to which it belongs.
func largest(t *testing.T, db *goredis.Client) (name, entry string) {
	t.Helper()
	most := int64(0)
	for _, key := range db.Keys(t.Context(), "prunellm:*").Val() {
		if n := db.StrLen(t.Context(), key).Val(); n > most {
			name, most = key, n
		}
	}
	entry, _, chunked := strings.Cut(name, ":chunk:")
	if !chunked {
		t.Fatalf("the largest value is %s of %d bytes, want a chunk", name, most)
	}
	return name, entry
}

// A replica with an empty disk that finds a damaged value counts it, deletes it and computes it again, while chat continues.
func TestDamagedValuesAreRebuilt(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	db := redis.Client()
	serve := fleetModelOf(t, 1536) // enough neurons that the refitted tensors need a chunk
	first := program.Start(t, serve(redis.URL)...)
	first.WaitReady(program.ColdLimit)
	first.Stop() // so that no other replica publishes the deleted values
	name, _ := largest(t, db)
	right := db.Get(t.Context(), name).Val()
	flip := func(value string, at int) string { return value[:at] + string(value[at]^1) + value[at+1:] }

	for _, damage := range []struct {
		name string
		do   func(chunk, entry, bytes, header string)
	}{
		{"one byte altered", func(chunk, _, bytes, _ string) { db.Set(t.Context(), chunk, flip(bytes, len(bytes)/2), 0) }},
		{"truncated", func(chunk, _, bytes, _ string) { db.Set(t.Context(), chunk, bytes[:len(bytes)/2], 0) }},
		{"chunk gone", func(chunk, _, _, _ string) { db.Del(t.Context(), chunk) }},
		{"chunk of another type", func(chunk, _, _, _ string) { db.Del(t.Context(), chunk); db.LPush(t.Context(), chunk, "x") }},
		{"entry of another type", func(_, entry, _, _ string) { db.Del(t.Context(), entry); db.HSet(t.Context(), entry, "a", "b") }},
		{"an old format", func(_, entry, _, header string) {
			db.Set(t.Context(), entry, strings.Replace(header, `{"version":1`, `{"version":0`, 1), 0)
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			chunk, entry := largest(t, db)
			damage.do(chunk, entry, right, db.Get(t.Context(), entry).Val())
			s := program.Start(t, append(serve(redis.URL), "--while-pruning", "dense")...)
			s.WaitReady(program.ColdLimit)
			stop := talk(t, s.Base, "tiny")
			waitPruned(t, s)
			stop()
			if status, body := chat(t, s.Base, "tiny"); status != http.StatusOK || strings.Contains(body, `"tiny@0"`) {
				t.Errorf("chat afterwards: status %d: %s", status, body)
			}
			if got := s.Metric("prunellm_cache_corrupt_total"); got != 1 {
				t.Errorf("corrupt values counted = %v, want 1", got)
			}
			if got := s.Metric("prunellm_score_passes_total"); got != 0 {
				t.Errorf("score passes = %v, want 0: the scores are whole", got)
			}
			again, _ := largest(t, db)
			if again == chunk || db.Get(t.Context(), again).Val() != right {
				t.Error("the value was not computed again")
			}
			if db.Exists(t.Context(), chunk).Val() != 0 {
				t.Error("the damaged value's chunk was not deleted")
			}
			s.Stop()
		})
	}
}

// documentedKeys returns the table of keys in docs/operate/redis.md: the type of each pattern of names.
func documentedKeys(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile(program.Root(t, "docs/operate/redis.md"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	_, values, _ := strings.Cut(string(doc), "\n### The values\n")
	values, _, _ = strings.Cut(values, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(values, -1) {
		kinds = append(kinds, row[1])
	}
	segment := "[a-z0-9][a-z0-9._-]*"
	entry := "prunellm:v1:\\{[0-9a-f]{64}\\}:(?:" + strings.Join(kinds, "|") + "):" + segment + ":(?:-|" + segment + ")"
	fill := strings.NewReplacer("ENTRY", entry, "{MODEL}", "\\{[0-9a-f]{64}\\}", ":ID", ":[0-9a-f]{32}", ":N", ":(?:0|[1-9][0-9]*)")
	_, keys, _ := strings.Cut(string(doc), "\n## Keys\n")
	keys, _, _ = strings.Cut(keys, "\n### ")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (string|hash|channel) \\|").FindAllStringSubmatch(keys, -1) {
		rows["^"+fill.Replace(row[1])+"$"] = row[2]
	}
	if len(rows) < 7 || len(kinds) < 6 {
		t.Fatalf("docs/operate/redis.md has %d keys and %d kinds of values, want at least 7 and 6", len(rows), len(kinds))
	}
	return rows
}

// A replica writes exactly the keys that docs/operate/redis.md lists, with their types and lifetimes.
func TestRedisKeysAreDocumented(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	db := redis.Client()
	rows := documentedKeys(t)
	seen := map[string]bool{} // by pattern
	note := func(name, kind string) {
		for pattern, want := range rows {
			if regexp.MustCompile(pattern).MatchString(name) {
				if kind != want {
					t.Errorf("%s is a %s, documented as a %s", name, kind, want)
				}
				seen[pattern] = true
				return
			}
		}
		t.Errorf("%s, a %s, is not in docs/operate/redis.md", name, kind)
	}
	look := func() {
		for _, name := range db.Keys(t.Context(), "*").Val() {
			kind := db.Type(t.Context(), name).Val()
			left := db.PTTL(t.Context(), name).Val()
			if kind == "none" {
				continue // expired since then
			}
			note(name, kind)
			if left == -1 {
				t.Errorf("%s never expires", name)
			}
			if limit := 8 * time.Second; left > limit && (strings.HasSuffix(name, ":lease") || strings.HasSuffix(name, ":progress")) {
				t.Errorf("%s lives for %v, documented as at most %v", name, left, limit)
			}
		}
	}
	messages := db.PSubscribe(t.Context(), "*")
	defer messages.Close()
	s := program.Start(t, append(fleetModelOf(t, 1536)(redis.URL), "--calibration-tokens", "4096")...)
	s.WaitFor("it answers", program.ColdLimit, func() bool {
		look()
		status, _ := s.Get("/readyz")
		return status == http.StatusOK
	})
	look()
	note((<-messages.Channel()).Channel, "channel")
	for pattern, kind := range rows {
		if !seen[pattern] {
			t.Errorf("no %s %s was seen", kind, pattern)
		}
	}

	header := regexp.MustCompile(`^\{"version":1,"key":"v1/[0-9a-f]{64}/[a-z]+/[^"]+","id":"[0-9a-f]{32}","size":\d+,"sha256":"[0-9a-f]{64}","chunk_bytes":(?:0|8384512),"chunks":\d+\}\n`)
	index := regexp.MustCompile(`^\d+ \d{13} [0-9a-f]{32} \d+$`)
	for _, name := range db.Keys(t.Context(), "*:index").Val() {
		for field, value := range db.HGetAll(t.Context(), name).Val() {
			if !index.MatchString(value) {
				t.Errorf("index of %s = %q", field, value)
			}
			entry := strings.TrimSuffix(name, "index") + field
			if start := db.Get(t.Context(), entry).Val(); !header.MatchString(start) {
				t.Errorf("%s begins with %.300q", entry, start)
			}
		}
	}
}
