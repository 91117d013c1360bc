package server

import (
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"prunellm/infer"
	"prunellm/openapi"
)

func (s *Server) version(c *fiber.Ctx) error {
	return writeJSON(c, openapi.Version{Version: s.options.Version})
}

// healthz responds while the process runs.
func (s *Server) healthz(c *fiber.Ctx) error { return writeJSON(c, openapi.Health{Status: "ok"}) }

// readyz reports whether a request for the startup variant would succeed now.
func (s *Server) readyz(c *fiber.Ctx) error {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		return errStopping
	}
	status := s.options.Models.Status()
	if !status.Ready {
		return &NotReadyError{RetryAfter: status.RetryAfter, Progress: status.Progress}
	}
	return writeJSON(c, openapi.Health{Status: "ready", Progress: status.Progress})
}

func (s *Server) metricsHandler() fiber.Handler {
	return adaptor.HTTPHandler(promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{}))
}

// sends returns a handler that responds with a constant document.
func sends(kind string, body []byte) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, kind)
		return c.Send(body)
	}
}

func (s *Server) listModels(c *fiber.Ctx) error {
	models := s.options.Models.List()
	if models == nil {
		models = []openapi.Model{}
	}
	return writeJSON(c, openapi.ModelList{Object: "list", Data: models})
}

// getModel handles GET /v1/models/{id}. An id may contain slashes. A bare name means the first model of that name.
func (s *Server) getModel(c *fiber.Ctx) error {
	name, err := nameInPath(c.Params("*"))
	if err != nil {
		return err
	}
	for i, model := range s.options.Models.List() {
		bare, _, _ := strings.Cut(model.ID, "@")
		if i == 0 && name.Base == openapi.AnyModel {
			name.Base = bare
		}
		if model.ID == name.String() || (!name.Explicit && bare == name.Base) {
			return writeJSON(c, model)
		}
	}
	return fmt.Errorf("model %q: %w; /v1/models lists the models, and a request for another ratio makes it", name, ErrModelNotFound)
}

func (s *Server) tokenize(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeTokenize(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	tokens, err := j.variant.Tokenize(req.Content, req.AddSpecial, true)
	if err != nil {
		return err
	}
	ids := make([]int, len(tokens))
	for i, token := range tokens {
		ids[i] = int(token)
	}
	return writeJSON(c, openapi.TokenizeResponse{Tokens: ids})
}

// tokenizerInfo handles GET /tokenizer_info. lm-evaluation-harness then lets the server tokenize.
func (s *Server) tokenizerInfo(c *fiber.Ctx, j *job) error {
	if err := j.acquire(c, openapi.ModelName{}); err != nil {
		return err
	}
	bos, eos := s.options.Chat.SpecialTokens()
	return writeJSON(c, openapi.TokenizerInfo{BOS: orNull(bos), EOS: orNull(eos)})
}

// orNull returns nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (s *Server) detokenize(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeDetokenize(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	var tokens []infer.Token
	if tokens, err = givenTokens(j.variant, "tokens", req.Tokens); err != nil {
		return err
	}
	content := text(j.variant, tokens)
	return writeJSON(c, openapi.DetokenizeResponse{Content: content, Prompt: content})
}

func (s *Server) applyTemplate(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeApplyTemplate(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	template, err := s.template(req.Thinking)
	if err != nil {
		return err
	}
	prompt, err := template.Open(req.Messages, req.Tools, req.Opening)
	if err != nil {
		return err
	}
	return writeJSON(c, openapi.ApplyTemplateResponse{Prompt: s.options.Chat.Text(prompt)})
}
