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
	// maxOriginBytes is more than the longest name of a host takes, with scheme and port.
	maxOriginBytes = 512
	// maxRequestedHeaders bounds the headers that a preflight request may ask for. Clients send about a dozen.
	maxRequestedHeaders = 64
	// preflightSeconds is how long a browser may keep the answer to a preflight request, as in vLLM.
	preflightSeconds = "600"
	preflightMethods = "GET, POST, DELETE"
	// preflightRoute is the route's name of preflight requests in log and metrics.
	preflightRoute = "preflight"
)

// exposedHeaders are the headers of responses that scripts of allowed origins may read, beside those that every script may.
var exposedHeaders = strings.Join([]string{
	headerRequestID, headerAnthropicRequestID, headerVariant, headerSkippedTools, headerSkippedItems,
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

// normalizeOrigin returns an origin in lower case, without the default port of its scheme, and reports whether it is one.
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

// forPages reports whether a path may be used by pages of other origins. They get neither the endpoints of administrators
// and operators nor the server's own pages.
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

// mark lets the browser show the response to the page that sent the request, if its origin is allowed. It never allows
// credentials: they would be those that the browser holds for this server, and keys come from the page itself.
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

// answerPreflight answers the request by which a browser asks whether a page of another origin may send the one that it
// wants to. It carries no key.
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

// requestedHeaders returns the names of headers that a preflight request asks for, or "" if one is not a name or there
// are too many. Clients of OpenAI and Anthropic send headers of their own, so a list would be out of date soon; a header
// gives a page no right that its body and its key do not.
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

// notInToken reports whether a character cannot be in the name of a header (RFC 9110, section 5.6.2).
func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
