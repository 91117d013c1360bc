package hub

import (
	"context"
	"crypto/sha1" //nolint:gosec // Git names its blobs by SHA-1
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// download downloads the files of one commit. It is not safe for concurrent use.
type download struct {
	client      *Client
	dir         string
	prefix      string // of a file's URL path
	done, total int64  // bytes of all files
}

// errChecksum is wrapped by the error for a file that does not match the hub's checksum.
var errChecksum = errors.New("wrong checksum")

// file downloads one file unless it already exists.
func (d *download) file(ctx context.Context, f file) error {
	path := filepath.Join(d.dir, filepath.FromSlash(f.Name))
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == f.bytes() {
		d.progress(f.bytes())
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part := path + ".part"
	err := d.complete(ctx, f, part)
	if errors.Is(err, errChecksum) { // the part of an earlier process may be damaged: restart once
		d.client.options.Log.Warn("downloaded file damaged, downloading it again", "path", f.Name)
		if err := os.Remove(part); err != nil {
			return err
		}
		err = d.complete(ctx, f, part)
		if errors.Is(err, errChecksum) {
			return errors.Join(err, os.Remove(part))
		}
	}
	if err != nil {
		return fmt.Errorf("file %q: %w", f.Name, err)
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	d.progress(f.bytes())
	return nil
}

func (d *download) progress(bytes int64) {
	d.done += bytes
	d.report(0)
}

// report reports the progress. part is the number of bytes of the current file so far.
func (d *download) report(part int64) {
	if d.client.options.Progress != nil {
		d.client.options.Progress(d.done+part, d.total)
	}
}

// complete downloads the rest of a partial file, with retries, and verifies its checksum.
func (d *download) complete(ctx context.Context, f file, part string) error {
	attempts, backoff, best := 0, d.client.backoff, partSize(part)
	for {
		before := partSize(part)
		if before > f.bytes() {
			if err := os.Remove(part); err != nil {
				return err
			}
			before = 0
		}
		var err error
		if before < f.bytes() || before == 0 {
			err = d.transfer(ctx, f, part, before)
		}
		after := partSize(part)
		if err == nil && after == f.bytes() {
			return check(part, f)
		}
		if after > f.bytes() {
			return errors.Join(fmt.Errorf("the hub sent more than the %d bytes that it announced", f.bytes()), os.Remove(part))
		}
		if err == nil {
			err = fmt.Errorf("got %d of %d bytes: %w", after, f.bytes(), io.ErrUnexpectedEOF)
		}
		var status *StatusError
		var host *HostError
		if ctx.Err() != nil || errors.As(err, &host) || errors.Is(err, os.ErrPermission) || errors.As(err, new(*os.PathError)) ||
			(errors.As(err, &status) && (!status.passing() || !status.patient())) {
			return err
		}
		if after > best { // the attempt got further than any before it: count retries anew
			best, attempts, backoff = after, 0, d.client.backoff
		}
		if attempts++; attempts >= maxAttempts {
			return err
		}
		d.client.options.Log.Warn("download interrupted, resuming", "path", f.Name, "bytes", after, "error", err)
		if err := d.client.wait(ctx, backoff, err); err != nil {
			return err
		}
		backoff = min(2*backoff, longestBackoff)
	}
}

func partSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// transfer requests the file from an offset and appends the bytes to the partial file. If the hub ignores the range,
// transfer starts the file anew.
func (d *download) transfer(ctx context.Context, f file, part string, from int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	response, err := d.client.get(ctx, d.prefix+f.Name, nil, from)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent && from > 0:
		if start, err := rangeStart(response.Header.Get("Content-Range")); err != nil || start != from {
			return fmt.Errorf("the hub sent the range %.60q, but the request starts at byte %d", response.Header.Get("Content-Range"), from)
		}
	case response.StatusCode == http.StatusOK:
		from = 0
	default:
		return statusError(f.Name, response)
	}
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err = out.Truncate(from); err == nil {
		_, err = out.Seek(from, io.SeekStart)
	}
	if err == nil {
		stalled := time.AfterFunc(stallTimeout, func() { stop(fmt.Errorf("no bytes for %v", stallTimeout)) })
		counted := &progressReader{r: response.Body, read: func(n int64) {
			stalled.Reset(stallTimeout)
			d.report(from + n)
		}}
		_, err = io.Copy(out, io.LimitReader(counted, f.bytes()-from+1)) // one more byte, to detect a hub that sends too much
		stalled.Stop()
	}
	if err == nil {
		err = out.Sync()
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return errors.Join(err, out.Close())
}

// rangeStart returns the start of a content range, such as 5 for "bytes 5-9/10".
func rangeStart(header string) (int64, error) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	first, _, dash := strings.Cut(rest, "-")
	if !ok || !dash {
		return 0, fmt.Errorf("invalid content range %.60q", header)
	}
	return strconv.ParseInt(first, 10, 64)
}

type progressReader struct {
	r    io.Reader
	n    int64
	read func(total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	p.read(p.n)
	return n, err
}

// check returns an error if a complete file does not match its checksum.
func check(path string, f file) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	want, blob := f.sum()
	sum := sha256.New()
	if want == "" {
		want, sum = blob, sha1.New() //nolint:gosec // Git's
		fmt.Fprintf(sum, "blob %d\x00", f.bytes())
	}
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%w: got %s, want %s", errChecksum, got, want)
	}
	return nil
}
