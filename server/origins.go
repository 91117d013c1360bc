package server

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const (
	// maxOriginBytes is more than the longest origin: a host name has at most 253 bytes.
	maxOriginBytes = 512
	// maxRequestedHeaders bounds the headers that a preflight request may ask for. Clients send about a dozen.
	maxRequestedHeaders = 64
	// preflightSeconds is how long a browser may cache the response to a preflight request, as in vLLM.
	preflightSeconds = "600"
	preflightMethods = "GET, POST, DELETE"
	// preflightRoute is the route of preflight requests in logs and metrics.
	preflightRoute = "preflight"
)

// exposedHeaders are the response headers that scripts of allowed origins may read, in addition to the few that browsers
// expose to every script.
var exposedHeaders = strings.Join([]string{
	headerRequestID, headerAnthropicRequestID, headerVariant, headerStage, headerDigest, headerSkippedTools, headerSkippedItems,
	fiber.HeaderRetryAfter, headerLimit, headerRemaining,
}, ", ")

// origins are the origins whose pages may use the API from a browser.
type origins struct {
	all    bool
	listed map[string]bool // normalized
}

// ParseOrigins checks entries for Options.AllowedOrigins: scheme://host with or without a port, "null", or "*" for every
// origin.
func ParseOrigins(entries []string) error {
	_, err := parseOrigins(entries)
	return err
}

func parseOrigins(entries []string) (origins, error) {
	out := origins{listed: map[string]bool{}}
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "*" {
			out.all = true
			continue
		}
		origin, ok := normalizeOrigin(entry)
		if !ok {
			return origins{}, fmt.Errorf("allowed origin %q: want scheme://host or scheme://host:port without a path or a final slash, such as https://app.example.org; null; or * for all", entry)
		}
		out.listed[origin] = true
	}
	return out, nil
}

// normalizeOrigin returns an origin in lower case, without the default port of its scheme. It reports whether the origin is
// valid.
func normalizeOrigin(origin string) (string, bool) {
	if origin == "null" {
		return origin, true
	}
	if len(origin) > maxOriginBytes {
		return "", false
	}
	parsed, err := url.Parse(origin)
	// The comparison refuses user names, paths, queries, fragments and percent-encoding.
	if err != nil || !strings.EqualFold(parsed.Scheme+"://"+parsed.Host, origin) || strings.HasSuffix(parsed.Host, ":") {
		return "", false
	}
	host := strings.ToLower(parsed.Hostname())
	if strings.HasPrefix(parsed.Host, "[") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return "", false
		}
		host = "[" + addr.String() + "]"
	} else if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return "", false
	}
	out := parsed.Scheme + "://" + host
	if port := parsed.Port(); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return "", false
		}
		if (parsed.Scheme != "http" || number != 80) && (parsed.Scheme != "https" || number != 443) {
			out += ":" + strconv.FormatUint(number, 10)
		}
	}
	return out, true
}

// forPages reports whether pages of other origins may use a path. They may not use the endpoints for administrators and
// operators, or the server's own pages.
func forPages(path string) bool {
	path = strings.TrimRight(path, "/") // fiber ignores final slashes
	if path == "" {
		return false
	}
	for _, closed := range []string{"/admin", "/metrics", "/web", "/docs"} {
		if path == closed || strings.HasPrefix(path, closed+"/") {
			return false
		}
	}
	return true
}

// mark sets the headers that let the page read the response, if its origin is allowed. It never allows credentials. These
// would be credentials that the browser stores for this server; a page sends its own key.
func (o origins) mark(ctx *fasthttp.RequestCtx) {
	if (!o.all && len(o.listed) == 0) || !forPages(string(ctx.URI().PathOriginal())) {
		return
	}
	header := &ctx.Response.Header
	if o.all {
		header.Set(fiber.HeaderAccessControlAllowOrigin, "*")
		header.Set(fiber.HeaderAccessControlExposeHeaders, exposedHeaders)
		return
	}
	header.Set(fiber.HeaderVary, fiber.HeaderOrigin) // a cache must not give this response to another origin
	given := string(ctx.Request.Header.Peek(fiber.HeaderOrigin))
	if origin, ok := normalizeOrigin(given); ok && o.listed[origin] {
		header.Set(fiber.HeaderAccessControlAllowOrigin, given) // the browser compares it byte for byte
		header.Set(fiber.HeaderAccessControlExposeHeaders, exposedHeaders)
	}
}

// answerPreflight responds to preflight requests. With one, a browser asks whether a page of another origin may send its
// request. It has no key.
func answerPreflight(c *fiber.Ctx) error {
	header := &c.Response().Header
	if c.Method() != fiber.MethodOptions || c.Get(fiber.HeaderOrigin) == "" ||
		c.Get(fiber.HeaderAccessControlRequestMethod) == "" || len(header.Peek(fiber.HeaderAccessControlAllowOrigin)) == 0 {
		return c.Next()
	}
	header.Del(fiber.HeaderAccessControlExposeHeaders)
	header.Set(fiber.HeaderVary, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	header.Set(fiber.HeaderAccessControlAllowMethods, preflightMethods)
	header.Set(fiber.HeaderAccessControlMaxAge, preflightSeconds)
	if names := requestedHeaders(c.Get(fiber.HeaderAccessControlRequestHeaders)); names != "" {
		header.Set(fiber.HeaderAccessControlAllowHeaders, names)
	}
	c.Status(fiber.StatusNoContent)
	return nil
}

// requestedHeaders returns the header names that a preflight request asks for. It returns "" if there are too many or one is
// not a valid name. All names are allowed: the clients of OpenAI and Anthropic send headers of their own, and a list would
// soon be outdated. A header gives a page no access that it lacks without the header.
func requestedHeaders(list string) string {
	names := strings.Split(list, ",")
	if len(names) > maxRequestedHeaders {
		return ""
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if names[i] == "" || strings.ContainsFunc(names[i], notInToken) {
			return ""
		}
	}
	return strings.Join(names, ", ")
}

// notInToken reports whether a header's name cannot contain a character (RFC 9110, section 5.6.2).
func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
