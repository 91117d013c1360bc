package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"prunellm/internal/regularfile"
)

// lockPoll is the interval at which Fetch tries to take a lock that another process holds for the same download.
const lockPoll = 200 * time.Millisecond

// Fetch downloads the model that ref names and returns its path. The path is a GGUF file or, if folder is true, a
// safetensors folder. Fetch does not download a file that already exists.
func (c *Client) Fetch(ctx context.Context, ref Ref) (path string, folder bool, err error) {
	wrap := func(err error) error { return fmt.Errorf("fetch %s: %w", ref, err) }
	repo := filepath.Join(c.options.Dir, ref.Owner+"--"+ref.Name)
	if err := os.MkdirAll(repo, 0o755); err != nil {
		return "", false, wrap(err)
	}
	lock := flock.New(filepath.Join(repo, ".lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return "", false, wrap(err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	about, err := c.about(ctx, repo, ref, maxAttempts)
	if err != nil {
		return "", false, wrap(err)
	}
	files, folder, err := about.choose(ref.Select)
	if err != nil {
		return "", false, wrap(err)
	}
	// The last element of the path is the name under which clients see the model.
	dir := filepath.Join(repo, about.Commit, ref.Name)
	d := &download{client: c, dir: dir, prefix: ref.Owner + "/" + ref.Name + "/resolve/" + about.Commit + "/"}
	for _, f := range files {
		d.total += f.bytes()
	}
	for _, f := range files {
		if err := d.file(ctx, f); err != nil {
			return "", false, wrap(err)
		}
	}
	if folder {
		return dir, true, nil
	}
	return filepath.Join(dir, filepath.FromSlash(files[0].Name)), false, nil
}

// about requests the list of a repository's files. It stores the response and uses the stored one if the hub is
// unreachable later. If there is none and the hub has too many requests, about waits as long as the hub asks for, and
// makes at most the given number of attempts.
func (c *Client) about(ctx context.Context, repo string, ref Ref, attempts int) (*info, error) {
	remembered := filepath.Join(repo, "info-"+strings.ReplaceAll(ref.Revision, "/", "%2F")+".json")
	data, err := c.info(ctx, ref)
	if err == nil {
		about, err := parseInfo(data)
		if err != nil {
			return nil, err
		}
		return about, renameio.WriteFile(remembered, data, 0o644)
	}
	var status *StatusError
	var host *HostError
	if ctx.Err() != nil || errors.As(err, &host) || (errors.As(err, &status) && !status.passing()) {
		return nil, err
	}
	old, readErr := regularfile.Read(remembered, maxInfoBytes)
	if readErr != nil && attempts > 1 && status != nil && status.Status == http.StatusTooManyRequests && status.patient() {
		c.options.Log.Warn("hub has too many requests, waiting", "model", ref.String(), "error", err)
		if err := c.wait(ctx, c.backoff, err); err != nil {
			return nil, err
		}
		return c.about(ctx, repo, ref, attempts-1)
	}
	if readErr != nil {
		return nil, err
	}
	c.options.Log.Warn("hub unreachable, using earlier downloads", "model", ref.String(), "error", err)
	return parseInfo(old)
}
