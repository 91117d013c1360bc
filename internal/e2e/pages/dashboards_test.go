package pages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// exported returns the series of a /metrics response: the labels of each name.
func exported(body string) map[string]map[string]bool {
	line := regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="`)
	series := map[string]map[string]bool{}
	for _, match := range line.FindAllStringSubmatch(body, -1) {
		if series[match[1]] == nil {
			series[match[1]] = map[string]bool{"job": true, "instance": true} // Prometheus adds these
		}
		for _, found := range label.FindAllStringSubmatch(match[2], -1) {
			series[match[1]][found[1]] = true
		}
	}
	return series
}

// dashboardQueries returns the queries of the Grafana dashboard by panel.
func dashboardQueries(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(program.Root(t, "deploy/grafana/prunellm.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	queries, ids := map[string][]string{}, map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have id %d", panel.ID)
		}
		ids[panel.ID] = true
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			queries["panel "+panel.Title] = append(queries["panel "+panel.Title], strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	return queries
}

// alertQueries returns the queries of the alert rules by alert.
func alertQueries(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(program.Root(t, "deploy/prometheus/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	queries := map[string][]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			name := "alert " + rule.Alert
			if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || queries[name] != nil {
				t.Errorf("%s lacks a severity, summary or description, or is a duplicate", name)
			}
			queries[name] = append(queries[name], rule.Expr)
		}
	}
	return queries
}

// Dashboard and alerts use only series and labels that a server exports after it has pruned and answered.
func TestDashboardsUseExportedSeries(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--model", model, "--ratio", "0.2", "--while-pruning", "wait", "--ctx", "512", "--cache-dir", filepath.Join(dir, "cache"), "--calibration-tokens", "512", "--improve", "1s")
	s.WaitReady(program.ColdLimit)
	_, idle := s.Get("/metrics") // before any request, the autoscaler's series must exist
	scaled := exported(idle)
	for name := range scaled {
		scaled[name]["namespace"], scaled[name]["pod"] = true, true // service discovery in Kubernetes adds these
	}
	for _, query := range autoscalerQueries(t) {
		checkQuery(t, "hpa.yaml", query, scaled)
	}
	api := program.Client(s.Base)
	for _, model := range []string{"tiny", "tiny@0.3"} { // the second reuses the scores of the first
		if _, err := api.Chat.Completions.New(t.Context(), program.Question(model)); err != nil {
			t.Fatal(err)
		}
	}
	_, body := s.Get("/metrics")
	series := exported(body)
	series["up"] = map[string]bool{"job": true, "instance": true} // Prometheus adds this series

	for _, queries := range []map[string][]string{dashboardQueries(t), alertQueries(t)} {
		if len(queries) < 5 {
			t.Errorf("found %d queries, want at least 5", len(queries))
		}
		for where, list := range queries {
			for _, query := range list {
				checkQuery(t, where, query, series)
			}
		}
	}
	checkMetricsPage(t, body)
	s.Stop()
}

// checkMetricsPage compares the metrics of docs/operate/metrics.md with those of a /metrics response, by name and type. It
// ignores bytes of the cache, which only a shared store counts.
func checkMetricsPage(t *testing.T, body string) {
	t.Helper()
	page, err := os.ReadFile(program.Root(t, "docs/operate/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented, exported := map[string]string{}, map[string]string{"prunellm_cache_bytes": "gauge"}
	for _, row := range regexp.MustCompile("(?m)^\\| `(prunellm_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2]
	}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (prunellm_\w+) (\w+)$`).FindAllStringSubmatch(body, -1) {
		exported[line[1]] = line[2]
	}
	if diff := cmp.Diff(exported, documented); diff != "" {
		t.Errorf("docs/operate/metrics.md (+) differs from /metrics (-):\n%s", diff)
	}
}

// autoscalerQueries returns the two queries of the rule for prometheus-adapter in hpa.yaml, as the adapter sends them for a
// replica.
func autoscalerQueries(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(program.Root(t, "deploy/kubernetes/hpa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Rules []struct {
			SeriesQuery, MetricsQuery string
			Name                      struct{ As string }
			Resources                 any
		}
	}
	comment := ""
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "#   "); ok {
			comment += rest
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(strings.NewReplacer("seriesQuery:", "seriesquery:", "metricsQuery:", "metricsquery:").Replace(comment)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil || len(rules.Rules) != 1 {
		t.Fatalf("the rule in hpa.yaml: %v, %+v", err, rules)
	}
	rule := rules.Rules[0]
	if !strings.Contains(string(data), "\n          name: "+rule.Name.As+"\n") {
		t.Errorf("the autoscaler does not use %q", rule.Name.As)
	}
	return []string{rule.SeriesQuery, strings.NewReplacer("<<.GroupBy>>", "pod", "<<.LabelMatchers>>", `namespace="default",pod=~"a|b"`).Replace(rule.MetricsQuery)}
}

func checkQuery(t *testing.T, where, query string, series map[string]map[string]bool) {
	t.Helper()
	parsed, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %q: %v", where, query, err)
		return
	}
	labels := map[string]bool{}
	var grouped []string
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			for _, filters := range e.LabelFilterss {
				for _, filter := range filters {
					if filter.Label == "__name__" {
						if series[filter.Value] == nil {
							t.Errorf("%s uses %s, which is not exported", where, filter.Value)
						}
						for label := range series[filter.Value] {
							labels[label] = true
						}
					}
				}
			}
			for _, filters := range e.LabelFilterss {
				for _, filter := range filters {
					if filter.Label != "__name__" {
						grouped = append(grouped, filter.Label)
					}
				}
			}
		case *metricsql.AggrFuncExpr:
			grouped = append(grouped, e.Modifier.Args...)
		}
	})
	for _, label := range slices.Compact(slices.Sorted(slices.Values(grouped))) {
		if !labels[label] {
			t.Errorf("%s uses the label %s, which none of its series has", where, label)
		}
	}
}
