package server

import (
	_ "embed" // the page below
	"io/fs"

	"github.com/gofiber/fiber/v2"
	swagger "github.com/swaggo/files/v2"
)

// docsPolicy is the content security policy of the API documentation. Swagger UI needs style elements and images in its
// style sheet.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed docs/index.html
var docsPage []byte

//go:embed docs/start.js
var docsScript []byte

// docsFiles are the files of Swagger UI that the page loads.
var docsFiles = map[string]string{
	"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"swagger-ui.css":       "text/css; charset=utf-8",
	"favicon-32x32.png":    "image/png",
}

// routeDocs serves the API documentation with Swagger UI at /docs. The page loads nothing from other hosts.
func (s *Server) routeDocs(app *fiber.App) {
	app.Get("/docs", func(c *fiber.Ctx) error { return sendDocs(c, docsPage, "text/html; charset=utf-8") })
	app.Get("/docs/:file", func(c *fiber.Ctx) error {
		name := c.Params("file")
		if name == "start.js" {
			return sendDocs(c, docsScript, "text/javascript; charset=utf-8")
		}
		kind, ok := docsFiles[name]
		if !ok {
			return fiber.ErrNotFound
		}
		body, err := fs.ReadFile(swagger.FS, name)
		if err != nil {
			return err
		}
		return sendDocs(c, body, kind)
	})
}

func sendDocs(c *fiber.Ctx, body []byte, kind string) error {
	c.Set(fiber.HeaderContentSecurityPolicy, docsPolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set(fiber.HeaderContentType, kind)
	return c.Send(body)
}
