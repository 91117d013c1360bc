package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A training waits while requests run, also when they ran before it began, and goes on after they have ended.
func TestPauser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pause")
	held := func() bool { _, err := os.Stat(path); return err == nil }
	p := &pauser{}
	p.requests(true) // no training yet
	release := p.use(path)
	if !held() {
		t.Fatal("a training that begins while a request runs does not wait")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitWhile(ctx, path); err == nil {
		t.Error("waitWhile does not obey its context")
	}
	p.requests(false)
	if !held() {
		t.Error("training goes on at once after a request")
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := waitWhile(ctx, path); err != nil {
		t.Errorf("training does not go on: %v", err)
	}
	p.requests(true)
	if !held() {
		t.Error("a request does not hold the training up")
	}
	release()
	p.requests(false)
}
