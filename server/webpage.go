package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"

	"github.com/gofiber/fiber/v2"

	"prunellm/server/web"
)

// pagePolicy is the content security policy of the web page. It allows its own files and requests to its own server,
// and forbids inline scripts and HTML made from strings, whatever a model writes.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pageTypes are the content types of the page's files. The system's table differs between machines.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// pageFileRoute is the URL of the page's files; index.html refers to them.
const pageFileRoute = "/web/:file"

// pageFile is a file of the web page in the form that is sent.
type pageFile struct {
	body []byte
	kind string // content type
	tag  string // entity tag
}

// readPage reads the page's files by name.
func readPage(files fs.FS) (map[string]pageFile, error) {
	page := map[string]pageFile{}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("web page: %w", err)
	}
	for _, entry := range entries {
		body, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("web page: %w", err)
		}
		kind, ok := pageTypes[path.Ext(entry.Name())]
		if !ok {
			return nil, fmt.Errorf("web page: %s has no content type", entry.Name())
		}
		sum := sha256.Sum256(body)
		page[entry.Name()] = pageFile{body: body, kind: kind, tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return page, nil
}

// routeWeb serves the web page at "/" and its files below "/web/". Neither needs a key: they hold no secrets, and the
// page asks for the key that its requests need.
func (s *Server) routeWeb(app *fiber.App) error {
	page, err := readPage(web.Files())
	if err != nil {
		return err
	}
	app.Get("/", func(c *fiber.Ctx) error { return sendPage(c, page["index.html"]) })
	app.Get(pageFileRoute, func(c *fiber.Ctx) error {
		file, ok := page[c.Params("file")]
		if !ok {
			return fiber.ErrNotFound
		}
		return sendPage(c, file)
	})
	return nil
}

// sendPage sends a file, or 304 if the browser has it. Browsers cache the files but revalidate each time, so that a new
// server never mixes with parts of an old page.
func sendPage(c *fiber.Ctx, file pageFile) error {
	c.Set(fiber.HeaderContentSecurityPolicy, pagePolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set(fiber.HeaderETag, file.tag)
	c.Set(fiber.HeaderContentType, file.kind)
	if c.Get(fiber.HeaderIfNoneMatch) == file.tag {
		return c.SendStatus(fiber.StatusNotModified)
	}
	return c.Send(file.body)
}
