package main

import (
	"context"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/catalog"
	"prunellm/internal/chat"
	"prunellm/internal/metric"
	"prunellm/internal/workshop"
	"prunellm/server"
)

// TestEveryMetricIsRegistered compares the metrics that serve registers with the table of metrics.
func TestEveryMetricIsRegistered(t *testing.T) {
	registry := prometheus.NewRegistry()
	workshop.NewCounters(registry)
	models := catalog.New(catalog.Options{})
	defer func() { _ = models.Close(context.Background()) }()
	template, err := chat.New("{{ messages[0].content }}", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(server.Options{Models: models, Chat: template, Registry: registry}); err != nil {
		t.Fatal(err)
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registry.Describe(descriptions)
	}()
	name := regexp.MustCompile(`fqName: "([^"]*)"`)
	var got, want []string
	for d := range descriptions {
		got = append(got, name.FindStringSubmatch(d.String())[1])
	}
	for _, r := range metric.Rows() {
		want = append(want, r.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("registered metrics are not those of internal/metric (-rows +registered):\n%s", diff)
	}
}
