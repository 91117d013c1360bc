package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"prunellm/openapi"
)

// requireKey accepts requests that carry a valid key, as Bearer token or in x-api-key.
func (s *Server) requireKey(c *fiber.Ctx) error {
	if s.options.APIKeys == nil {
		return c.Next()
	}
	given := givenKey(&c.Request().Header)
	if given == "" {
		return refuse(openapi.TypeAuthentication, openapi.CodeInvalidKey,
			"an API key is needed: send Authorization: Bearer KEY, or x-api-key: KEY")
	}
	if !anyEqual(given, s.options.APIKeys()) {
		return refuse(openapi.TypeAuthentication, openapi.CodeInvalidKey, "the API key is not valid")
	}
	return c.Next()
}

func givenKey(header *fasthttp.RequestHeader) string {
	if scheme, token, ok := strings.Cut(string(header.Peek(fiber.HeaderAuthorization)), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return string(header.Peek("X-Api-Key"))
}

// bodyLimit bounds the bodies of requests without a valid key. fasthttp reads a body into memory before any handler
// checks the key.
func (s *Server) bodyLimit(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	limit := s.options.MaxBodyBytes
	if s.options.APIKeys != nil && !anyEqual(givenKey(header), s.options.APIKeys()) {
		limit = min(limit, maxStrangerBytes)
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: limit}
}

// anyEqual compares with every key in constant time: its duration reveals neither the length nor a common prefix.
func anyEqual(given string, keys []string) bool {
	sum := sha256.Sum256([]byte(given))
	found := 0
	for _, key := range keys {
		want := sha256.Sum256([]byte(key))
		match := subtle.ConstantTimeCompare(sum[:], want[:])
		if key != "" {
			found |= match
		}
	}
	return found == 1
}

// checkHost refuses requests with a foreign Host header (see hosts). An HTTP/1.0 request has none. On a loopback address it
// is accepted: only programs on this machine can have sent it, and no browser uses HTTP/1.0.
func (s *Server) checkHost(c *fiber.Ctx) error {
	request := c.Request()
	header := string(request.Header.Host())
	absolute := string(request.URI().Host()) // differs from the Host header if the request line contains a whole URL
	old := header == "" && absolute == "" && !request.Header.IsHTTP11() && isLoopback(c.Context().LocalAddr())
	if old || (s.hosts.allow(header) && s.hosts.allow(absolute)) {
		return c.Next()
	}
	return refuse(openapi.TypeInvalidRequest, openapi.CodeHostNotAllowed,
		"this Host is not allowed; start the server with --allowed-hosts NAME to allow it")
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
