package server

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"prunellm/openapi"
)

// headerReceived runs before fasthttp reads the body. If the end of the body is ambiguous, it reads nothing more. A proxy in front
// may have seen the rest as part of this request, not as another request (RFC 9112, section 6.3).
func (s *Server) headerReceived(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if misframed(header) {
		header.SetContentLength(0)
		header.SetConnectionClose()
	}
	return s.bodyLimit(header)
}

// refuseMisframed responds with the error that headerReceived found. The connection closes after it.
func (s *Server) refuseMisframed(c *fiber.Ctx) error {
	if inner, ok := below(c.Context().Conn()).(*conn); ok {
		inner.linger.Store(true)
	}
	return s.handleError(c, refuse(openapi.TypeInvalidRequest, openapi.CodeBadRequest,
		"the request's length is ambiguous: send one Content-Length, or Transfer-Encoding: chunked with HTTP/1.1, and no folded header lines"))
}

// misframed reports whether two parsers of a header could disagree on where the body ends. fasthttp itself takes the
// last Content-Length, and any Transfer-Encoding other than identity as chunked.
func misframed(header *fasthttp.RequestHeader) bool {
	var length []byte // the body's length, from the first header that gives it
	chunked := false
	for line := range bytes.Lines(header.RawHeaders()) {
		if line[0] == ' ' || line[0] == '\t' { // some parsers join it to the line above
			return true
		}
		if first := line[0] | 0x20; first != 'c' && first != 't' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t\r\n")
		switch {
		case bytes.EqualFold(name, []byte(fiber.HeaderContentLength)):
			if chunked || (length != nil && !bytes.Equal(length, value)) {
				return true
			}
			length = value
		case bytes.EqualFold(name, []byte(fiber.HeaderTransferEncoding)):
			if chunked || length != nil || !header.IsHTTP11() || !bytes.EqualFold(value, []byte("chunked")) {
				return true
			}
			chunked = true
		}
	}
	return false
}
