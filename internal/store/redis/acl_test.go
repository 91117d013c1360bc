package redis

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestDocumentedACL runs the suites as a user with exactly the permissions that docs/operate/redis.md lists.
func TestDocumentedACL(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/operate/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	patterns, commands := regexp.MustCompile("`(~prunellm[^`]*)`").FindSubmatch(doc), regexp.MustCompile("`(\\+get [^`]*)`").FindSubmatch(doc)
	selecting := regexp.MustCompile("`(\\+select)` for a database other than 0").FindSubmatch(doc)
	if patterns == nil || commands == nil || selecting == nil {
		t.Fatal("docs/operate/redis.md does not list the permissions of a user")
	}
	server := redistest.Start(t)
	rules := []any{"ACL", "SETUSER", "worker", "on", ">secret"}
	for _, rule := range strings.Fields(string(patterns[1]) + " " + string(commands[1])) {
		rules = append(rules, rule)
	}
	server.Do(rules...)
	client := server.Client()
	url := strings.Replace(server.URL, "//", "//worker:secret@", 1)
	open := func(t *testing.T, hooks store.Hooks) *Store {
		server.Do("FLUSHALL")
		return openTest(t, Options{URL: url, Hooks: hooks, MaxModelBytes: 1 << 30})
	}
	storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
		return storetest.Backend{Store: open(t, hooks), Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
			t.Helper()
			rewrite(t, client, entryKey(key), change)
		}}
	})
	storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
		s := open(t, store.Hooks{})
		replicas := make([]storetest.Replica, n)
		for i := range replicas {
			replicas[i] = storetest.Replica{Store: s, Leaser: s}
		}
		return replicas
	})
	server.Do("ACL", "SETUSER", "worker", string(selecting[1]))
	if err := openTest(t, Options{URL: url + "/1"}).Put(t.Context(), storetest.Key(store.KindPlan, "0.2"), []byte("x")); err != nil {
		t.Errorf("Put in another database = %v", err)
	}
	for _, entry := range server.Do("ACL", "LOG").([]any) { // denials that the suites do not notice, such as that of a touch
		t.Errorf("the ACL denied a command: %v", entry)
	}
}
