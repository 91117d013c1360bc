package server

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"prunellm/openapi"
)

// routeAdmin adds the endpoints for administrators.
func (s *Server) routeAdmin(app *fiber.App) {
	app.Get("/admin/variants", s.requireKey, s.listVariants)
	app.Post("/admin/variants", s.requireKey, requireJSON, s.makeVariant)
	// A variant's id may contain slashes.
	app.Post("/admin/variants/*", s.requireKey, s.sameOrigin, s.pinVariant)
	app.Delete("/admin/variants/*", s.requireKey, s.sameOrigin, s.deleteVariant)
}

// sameOrigin refuses requests that a page of another origin sends. A browser sends such a request without asking first
// if it has no body.
func (s *Server) sameOrigin(c *fiber.Ctx) error {
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return c.Next()
	}
	parsed, err := url.Parse(origin)
	if err == nil && strings.EqualFold(parsed.Host, string(c.Request().Header.Host())) {
		return c.Next()
	}
	return refuse(openapi.TypeInvalidRequest, openapi.CodeOriginNotAllowed, "requests from pages of another origin are refused")
}

func (s *Server) admin() (Admin, error) {
	if s.options.Admin == nil {
		return nil, fiber.ErrNotFound
	}
	return s.options.Admin, nil
}

func (s *Server) listVariants(c *fiber.Ctx) error {
	admin, err := s.admin()
	if err != nil {
		return err
	}
	return writeJSON(c, openapi.AdminList{Object: "list", Data: admin.Variants()})
}

// makeVariant responds at once: 200 if the variant is loaded, 202 while it is being made.
func (s *Server) makeVariant(c *fiber.Ctx) error {
	admin, err := s.admin()
	if err != nil {
		return err
	}
	ratio, err := openapi.DecodeMakeVariant(c.Request().Body())
	if err != nil {
		return err
	}
	made, err := admin.Make(ratio)
	if err != nil {
		return err
	}
	if made.State != openapi.StateLoaded {
		c.Status(fiber.StatusAccepted)
	}
	return writeJSON(c, made)
}

// pinVariant handles POST /admin/variants/{id}/pin and /unpin.
func (s *Server) pinVariant(c *fiber.Ctx) error {
	admin, err := s.admin()
	if err != nil {
		return err
	}
	path := c.Params("*")
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 || (path[slash:] != "/pin" && path[slash:] != "/unpin") {
		return fiber.ErrNotFound
	}
	name, err := nameInPath(path[:slash])
	if err != nil {
		return err
	}
	variant, err := admin.Pin(name, path[slash:] == "/pin")
	if err != nil {
		return err
	}
	return writeJSON(c, variant)
}

func (s *Server) deleteVariant(c *fiber.Ctx) error {
	admin, err := s.admin()
	if err != nil {
		return err
	}
	name, err := nameInPath(c.Params("*"))
	if err != nil {
		return err
	}
	if err := admin.Delete(name); err != nil {
		return err
	}
	return writeJSON(c, openapi.AdminDeleted{ID: name.String(), Object: "variant", Deleted: true})
}

// nameInPath reads a model's name from a path.
func nameInPath(escaped string) (openapi.ModelName, error) {
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return openapi.ModelName{}, openapi.Invalid("model", openapi.CodeInvalidValue, "the model's name is not a valid escaped path; percent-encode it")
	}
	return openapi.ParseModelName(id)
}
