package server

import (
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"prunellm/infer"
	"prunellm/internal/metric"
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
	return writeJSON(c, openapi.Health{Status: "ready", Progress: status.Progress, Stage: status.Stage, Next: status.Next})
}

func (s *Server) metricsHandler() fiber.Handler {
	var from prometheus.Gatherer = s.options.Registry
	if s.options.VLLMMetrics {
		from = metric.AsVLLM(from, s.modelName())
	}
	return adaptor.HTTPHandler(promhttp.HandlerFor(from, promhttp.HandlerOpts{}))
}

// modelName returns the model's name without a ratio.
func (s *Server) modelName() string {
	models := s.options.Models.List()
	if len(models) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(models[0].ID, "@")
	return name
}

// sends returns a handler that responds with a constant document.
func sends(kind string, body []byte) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, kind)
		return c.Send(body)
	}
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
