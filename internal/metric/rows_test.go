package metric

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/operate/metrics.md")

func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range Rows() {
		switch {
		case names[r.Name]:
			t.Errorf("%s has two rows", r.Name)
		case !strings.HasPrefix(r.Name, "prunellm_"):
			t.Errorf("%s does not begin with prunellm_", r.Name)
		case strings.HasSuffix(r.Name, "_total") != (r.Type == Counter):
			t.Errorf("%s is a %s; counters, and only counters, end with _total", r.Name, r.Type)
		case (len(r.Buckets) > 0) != (r.Type == Histogram) || !slices.IsSorted(r.Buckets):
			t.Errorf("%s is a %s with buckets %v", r.Name, r.Type, r.Buckets)
		case r.Help == "" || strings.HasSuffix(r.Help, ".") || strings.Contains(r.Help, "|"):
			t.Errorf("%s has help %q, want a phrase without period", r.Name, r.Help)
		case r.Group != Requests && r.Group != Variants:
			t.Errorf("%s is in no group", r.Name)
		}
		names[r.Name] = true
		for _, name := range r.VLLM {
			if names[name] || !strings.HasPrefix(name, "vllm:") || strings.HasSuffix(name, "_total") != (r.Type == Counter) {
				t.Errorf("%s is %s in vLLM: it is there twice, or not a name of a %s", r.Name, name, r.Type)
			}
			names[name] = true
		}
	}
}

func markers(group Group) (begin, end []byte) {
	return fmt.Appendf(nil, "<!-- %s: go test ./internal/metric -run MetricsPage -update -->\n", group), fmt.Appendf(nil, "<!-- end of %s -->\n", group)
}

func table(group Group) []byte {
	out := []byte("| metric | type | labels | counts or measures | vLLM's name |\n|---|---|---|---|---|\n")
	if group == Variants {
		out = []byte("| metric | type | labels | counts or measures |\n|---|---|---|---|\n")
	}
	for _, r := range Rows() {
		if r.Group == group {
			labels := ""
			if len(r.Labels) > 0 {
				labels = " `" + strings.Join(r.Labels, "`, `") + "`"
			}
			out = fmt.Appendf(out, "| `%s` | %s |%s | %s |", r.Name, r.Type, labels, r.Help)
			if group == Requests {
				names := ""
				if len(r.VLLM) > 0 {
					names = " `" + strings.Join(r.VLLM, "`, `") + "`"
				}
				out = append(out, names+" |"...)
			}
			out = append(out, '\n')
		}
	}
	return out
}

// TestMetricsPage compares the tables of the page with the rows.
func TestMetricsPage(t *testing.T) {
	const path = "../../docs/operate/metrics.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []Group{Requests, Variants} {
		begin, end := markers(group)
		before, rest, found := bytes.Cut(page, begin)
		written, after, ended := bytes.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no table of %s", path, group)
		}
		want := table(group)
		if !*update && !bytes.Equal(written, want) {
			t.Errorf("the table of %s in %s is stale: run go test ./internal/metric -run MetricsPage -update", group, path)
		}
		page = slices.Concat(before, begin, want, end, after)
	}
	if *update {
		if err := os.WriteFile(path, page, 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
}
