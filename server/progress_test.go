package server

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A streamed response begins before its prompt is prefilled, and repeats that it is in progress.
func TestResponseProgressWhilePrefilling(t *testing.T) {
	prefilled := make(chan struct{})
	fake := newFake()
	fake.wait = func(ctx context.Context, _ int) error {
		select {
		case <-prefilled:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s := serve(t, fake)
	res, err := s.client.Post(s.url+"/v1/responses", "application/json", strings.NewReader(`{"input":"Hi","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var told strings.Builder
	lines := bufio.NewScanner(io.TeeReader(res.Body, &told))
	var kinds []string
	for len(kinds) < 4 && lines.Scan() {
		if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kinds = append(kinds, kind)
		}
	}
	if got, want := strings.Join(kinds, " "), "response.created response.in_progress response.in_progress response.in_progress"; got != want {
		t.Errorf("events while the prompt is prefilled = %q, want %q", got, want)
	}
	close(prefilled)
	for lines.Scan() {
	}
	if got := checkEvents(t, reply{http.StatusOK, res.Header, []byte(told.String())}); got.Status != "completed" {
		t.Errorf("response = %+v", got)
	}
}
