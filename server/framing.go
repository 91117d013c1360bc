package server

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"prunellm/openapi"
)

// headerReceived runs before a request's body is read. Of one whose end is in doubt nothing more is read: what follows
// might be taken for a request of its own that a proxy in front never saw (RFC 9112, section 6.3).
func (s *Server) headerReceived(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if misframed(header) {
		header.SetContentLength(0)
		header.SetConnectionClose()
	}
	return s.bodyLimit(header)
}

// refuseMisframed answers what headerReceived found; the connection closes behind the answer.
func (s *Server) refuseMisframed(c *fiber.Ctx) error {
	if inner, ok := below(c.Context().Conn()).(*conn); ok {
		inner.linger.Store(true)
	}
	return s.handleError(c, refuse(fiber.StatusBadRequest, openapi.TypeInvalidRequest, openapi.CodeBadRequest,
		"the request's length is in doubt: send one Content-Length, or Transfer-Encoding: chunked with HTTP/1.1, and no folded header lines"))
}

// misframed reports whether two readers of a header could disagree on where the body ends. fasthttp itself takes the last
// Content-Length there is, and any Transfer-Encoding but identity as chunked.
func misframed(header *fasthttp.RequestHeader) bool {
	var length []byte // of the body, from the first header that has it
	chunked := false
	for line := range bytes.Lines(header.RawHeaders()) {
		if line[0] == ' ' || line[0] == '\t' { // it continues the line above, for some readers
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
