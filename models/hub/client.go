package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options configure a Client.
type Options struct {
	URL   string   // "" is DefaultURL
	Token string   // access token; "" if there is none
	Hosts []string // further hosts to which the hub may redirect; a name covers its subdomains
	Dir   string   // folder for downloads
	Log   *slog.Logger
	// Progress, if set, is called with the number of bytes of all files that are complete.
	Progress func(doneBytes, totalBytes int64)
}

// Client downloads from one hub. Its methods may be called from several goroutines.
type Client struct {
	options Options
	base    *url.URL
	hosts   []string
	http    *http.Client
	backoff time.Duration // before the second attempt
	sleep   func(context.Context, time.Duration) error
}

// HostError means that the hub redirected to a host that is not on the allow-list.
type HostError struct{ URL string }

// Error implements error.
func (e *HostError) Error() string {
	return fmt.Sprintf("the hub redirects to %s, which is not on the list of allowed hosts", e.URL)
}

// New returns a client, or an error about its options.
func New(options Options) (*Client, error) {
	if options.URL == "" {
		options.URL = DefaultURL
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	base, err := url.Parse(strings.TrimRight(options.URL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("hub URL %.200q must have the form https://host[:port][/path]", options.URL)
	}
	if base.Scheme == "http" && options.Token != "" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("hub URL %q: a token is sent to another machine only with TLS; use https", options.URL)
	}
	c := &Client{options: options, base: base, hosts: options.Hosts, backoff: firstBackoff, sleep: sleep}
	if base.Hostname() == strings.TrimPrefix(DefaultURL, "https://") {
		c.hosts = append(append([]string{}, defaultHosts[:]...), options.Hosts...)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headerTimeout
	transport.DisableCompression = true // so that sizes and ranges count bytes of the file
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// redirect follows redirects only to allowed hosts, and sends the token only to the hub's own host.
func (c *Client) redirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("the hub redirects too often")
	}
	if !c.allowed(request.URL) {
		return &HostError{URL: request.URL.Scheme + "://" + request.URL.Host}
	}
	if !c.own(request.URL) {
		request.Header.Del("Authorization")
	}
	return nil
}

// own reports whether a URL is on the hub's own host and port.
func (c *Client) own(u *url.URL) bool { return u.Scheme == c.base.Scheme && u.Host == c.base.Host }

func (c *Client) allowed(u *url.URL) bool {
	if u.User != nil {
		return false
	}
	if c.own(u) {
		return true
	}
	if u.Scheme != "https" && u.Scheme != c.base.Scheme {
		return false
	}
	for _, host := range c.hosts {
		name := u.Hostname()
		if strings.Contains(host, ":") {
			name = u.Host
		}
		if strings.EqualFold(name, host) || strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(host)) {
			return true
		}
	}
	return false
}

// StatusError means that the hub responded with an unexpected status.
type StatusError struct {
	What       string
	Status     int
	RetryAfter time.Duration // pause that the hub asks for; 0 if it asks for none
}

// Error implements error.
func (e *StatusError) Error() string {
	hint := ""
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = ": the repository is private or gated, or does not exist; set HF_TOKEN to a token that may read it"
	case http.StatusNotFound:
		hint = ": no such repository, revision or file"
	case http.StatusTooManyRequests:
		hint = ": too many requests; a token (HF_TOKEN) has a higher limit"
		if e.RetryAfter > 0 {
			hint += fmt.Sprintf("; retry in %s", e.RetryAfter)
		}
	}
	return fmt.Sprintf("%s: the hub responds %d %s%s", e.What, e.Status, http.StatusText(e.Status), hint)
}

// passing reports whether the error is temporary: the same request may succeed later.
func (e *StatusError) passing() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500
}

// patient reports whether the pause that the hub asks for is short enough to wait.
func (e *StatusError) patient() bool { return e.RetryAfter <= longestRetryAfter }

// statusError returns the error for a response with an unexpected status.
func statusError(what string, response *http.Response) *StatusError {
	return &StatusError{What: what, Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
}

// retryAfter parses a Retry-After header, which holds seconds or a date. For any other value it returns 0.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// wait sleeps for pause, or for the longer time that the hub asks for in err.
func (c *Client) wait(ctx context.Context, pause time.Duration, err error) error {
	if status := new(StatusError); errors.As(err, &status) {
		pause = max(pause, status.RetryAfter)
	}
	return c.sleep(ctx, pause)
}

func sleep(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// get requests a path below the hub's URL, starting at byte from. The caller must close the body.
func (c *Client) get(ctx context.Context, path string, query url.Values, from int64) (*http.Response, error) {
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "prunellm")
	if c.options.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.options.Token)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	response, err := c.http.Do(request)
	var host *HostError
	if errors.As(err, &host) {
		return nil, host // without its full URL, which may be signed
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("request to %s: %w", c.base.Host, failed.Err)
	}
	return response, err
}

// info requests the list of a repository's files.
func (c *Client) info(ctx context.Context, ref Ref) ([]byte, error) {
	path := "/api/models/" + ref.Owner + "/" + ref.Name + "/revision/" + url.PathEscape(ref.Revision)
	response, err := c.get(ctx, path, url.Values{"blobs": {"true"}}, 0)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, statusError(ref.String(), response)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxInfoBytes+1))
	if err == nil && len(data) > maxInfoBytes {
		err = fmt.Errorf("the hub's response is larger than %d bytes", maxInfoBytes)
	}
	return data, err
}
