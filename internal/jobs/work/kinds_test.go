package work

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/jobs"
	"prunellm/internal/variant"
)

// The test binary is also the child. With this variable set, it does one order instead of running tests.
const roleVariable = "WORK_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	child := Child{
		OpenBackend: func(context.Context) (backends.Backend, error) { return nil, errors.New("no backend in this test") },
		Log:         slog.New(slog.DiscardHandler),
	}
	if err := child.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// The order of every kind of job reaches the child's handler. Here each handler fails, because the model does not
// exist, and no files remain.
func TestEveryKindReachesItsHandler(t *testing.T) {
	cache := t.TempDir()
	command := jobs.Command{Env: append(os.Environ(), roleVariable+"=child"), Log: io.Discard}
	orders, err := NewOrders(command, cache, func() bool { return true }, jobs.NewPauser(false, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(cache, "missing.gguf")
	calls := map[jobs.Kind]func() error{
		build: func() error {
			_, err := orders.Run(t.Context(), variant.Job{ModelPath: missing, Scores: []byte("1")}, nil)
			return err
		},
		card: func() error {
			_, err := orders.Measure(t.Context(), variant.Comparison{Variant: missing})
			return err
		},
		training: func() error {
			_, err := orders.Recover(t.Context(), variant.RecoveryJob{ModelPath: missing, Plan: []byte("1")}, nil)
			return err
		},
		trial: func() error { return orders.Try(t.Context(), missing) },
	}
	for kind := range (Child{}).kinds() {
		call, ok := calls[kind]
		if !ok {
			t.Errorf("kind %s: this test does not call its parent's side", kind)
			continue
		}
		var failed *jobs.JobError
		if err := call(); !errors.As(err, &failed) || !strings.Contains(err.Error(), missing) {
			t.Errorf("kind %s: error %v, want the child's error about %q", kind, err, missing)
		}
	}
	if rest, err := os.ReadDir(filepath.Join(cache, exchangeFolder)); err != nil || len(rest) != 0 {
		t.Errorf("%v, %v remain in the exchange folder, want nothing", rest, err)
	}
}
