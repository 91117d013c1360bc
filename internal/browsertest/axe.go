package browsertest

import (
	"os"
	"path/filepath"
	"testing"
)

// axeScript returns the accessibility checker axe-core, which `make setup-tests` fetches.
func axeScript(t testing.TB) string {
	t.Helper()
	home := os.Getenv("PRUNELLM_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "prunellm")
	}
	script, err := os.ReadFile(filepath.Join(home, "axe", "axe.min.js"))
	if err != nil {
		missing(t, "axe-core is missing: run make setup-tests")
	}
	return string(script)
}

// CheckAccessibility runs axe-core on the page in its current state, and fails the test for each violated rule.
func (p *Page) CheckAccessibility(what string) {
	p.t.Helper()
	if !Eval[bool](p, axeScript(p.t)+"; typeof axe === 'object'") {
		p.t.Fatal("axe-core did not load")
	}
	for _, violation := range Eval[[]string](p, `axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.map((v) =>
		v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target.join(" ") + " (" + n.failureSummary + ")").join("; ")))`) {
		p.t.Errorf("accessibility, %s: %s", what, violation)
	}
	if passed := Eval[int](p, `axe.run(document).then((found) => found.passes.length)`); passed < 10 {
		p.t.Errorf("axe-core checked only %d rules", passed)
	}
}
