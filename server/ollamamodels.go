package server

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// routeOllama serves Ollama's API.
func (s *Server) routeOllama(app *fiber.App) {
	app.Get("/api/version", sendsJSON(openapi.Version{Version: openapi.OllamaVersion}))
	app.Get("/api/tags", s.requireKey, s.ollamaTags)
	app.Get("/api/ps", s.requireKey, s.ollamaLoaded)
	app.Post("/api/show", s.requireKey, requireJSON, s.ollamaShow)
	app.Post("/api/chat", s.requireKey, s.limitRate, requireJSON, s.generates(s.ollamaChat))
	app.Post("/api/generate", s.requireKey, s.limitRate, requireJSON, s.generates(s.ollamaGenerate))
	app.Post("/api/embed", s.requireKey, s.limitRate, requireJSON, s.uses(s.ollamaEmbed))
	app.Post("/api/embeddings", s.requireKey, s.limitRate, requireJSON, s.uses(s.ollamaEmbeddings))
	app.Post("/api/pull", s.requireKey, requireJSON, s.ollamaPull)
	app.Post("/api/push", s.requireKey, notHere("the server pushes no models: its files are where --model and --cache-dir say"))
	app.Post("/api/create", s.requireKey, notHere("the server creates no models from Modelfiles: start it with --model FILE, and POST /admin/variants makes another ratio of it"))
	app.Post("/api/copy", s.requireKey, notHere("the server copies no models: start it with --served-model-name NAME,... to give the model more names"))
	app.Delete("/api/delete", s.requireKey, notHere("the server deletes no models this way: DELETE /admin/variants/NAME@RATIO deletes a variant"))
}

// notHere refuses what this server cannot do and says what to do instead.
func notHere(message string) fiber.Handler {
	return func(*fiber.Ctx) error {
		return openapi.NewError(openapi.TypeInvalidRequest, "", openapi.CodeNotImplemented, message)
	}
}

func sendsJSON(value any) fiber.Handler {
	return func(c *fiber.Ctx) error { return writeJSON(c, value) }
}

// ollamaPull answers POST /api/pull. Some clients pull every model before they use it: this server's is there.
func (s *Server) ollamaPull(c *fiber.Ctx) error {
	req, err := openapi.DecodeOllamaNamed(c.Request().Body())
	if err != nil {
		return err
	}
	if _, _, err := s.options.Models.Slots(req.Model); errors.Is(err, ErrModelNotFound) {
		return openapi.NewError(openapi.TypeInvalidRequest, "model", openapi.CodeNotImplemented,
			"the server downloads no models on request: start it with --model hf:owner/name (or a file) and --served-model-name NAME")
	}
	if err := writeJSON(c, openapi.OllamaStatus{Status: "success"}); err != nil || !req.Stream {
		return err
	}
	c.Set(fiber.HeaderContentType, mimeNDJSON)
	return c.Send(append(c.Response().Body(), '\n'))
}

// ollamaTags answers GET /api/tags: the models that requests can name.
func (s *Server) ollamaTags(c *fiber.Ctx) error {
	out := openapi.OllamaModels{Models: []openapi.OllamaModel{}}
	for _, model := range s.options.Models.List() {
		entry := s.ollamaModel(model)
		entry.ModifiedAt = openapi.OllamaTime(time.Unix(model.Created, 0))
		out.Models = append(out.Models, entry)
	}
	return writeJSON(c, out)
}

// ollamaLoaded answers GET /api/ps: the variants that are loaded.
func (s *Server) ollamaLoaded(c *fiber.Ctx) error {
	out := openapi.OllamaModels{Models: []openapi.OllamaModel{}}
	for _, model := range s.options.Models.List() {
		if model.Card == nil || !strings.Contains(model.ID, "@") { // a name without a ratio is a variant's second one
			continue
		}
		entry := s.ollamaModel(model)
		entry.Context = model.Card.ContextTokens
		out.Models = append(out.Models, entry)
	}
	return writeJSON(c, out)
}

func (s *Server) ollamaModel(model openapi.Model) openapi.OllamaModel {
	name := openapi.Tagged(model.ID)
	out := openapi.OllamaModel{Name: name, Model: name, Details: s.ollamaDetails(model)}
	if model.Card != nil {
		out.Size, out.Digest = model.Card.Bytes, model.Card.Digest
	}
	return out
}

func (s *Server) ollamaDetails(model openapi.Model) openapi.OllamaDetails {
	facts := s.options.Facts
	parameters := facts.Parameters
	if model.Card != nil {
		parameters = model.Card.Parameters
	}
	out := openapi.OllamaDetails{
		Format: "gguf", Family: facts.Architecture, Families: []string{facts.Architecture},
		ParameterSize: humanNumber(parameters), QuantizationLevel: strings.ToUpper(facts.FileType),
	}
	if out.QuantizationLevel == "" {
		out.QuantizationLevel = "unknown"
	}
	return out
}

// humanNumber writes a number of parameters as Ollama does: 134.52M, 1.2B.
func humanNumber(n int64) string {
	for _, unit := range []struct {
		size   float64
		letter string
	}{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if float64(n) >= unit.size {
			return fmt.Sprintf("%g%s", math.Round(100*float64(n)/unit.size)/100, unit.letter)
		}
	}
	return fmt.Sprint(n)
}

// ollamaShow answers POST /api/show. The context length is that of requests, not that of the training: clients ask for as many
// tokens as they find here.
func (s *Server) ollamaShow(c *fiber.Ctx) error {
	req, err := openapi.DecodeOllamaNamed(c.Request().Body())
	if err != nil {
		return err
	}
	model, err := s.findModel(req.Model)
	if err != nil {
		return err
	}
	facts := s.options.Facts
	out := openapi.OllamaShow{
		Parameters: fmt.Sprintf("num_ctx %d", facts.Context), Template: s.options.Chat.Source(), Details: s.ollamaDetails(model),
		Capabilities: s.capabilities(), ModifiedAt: openapi.OllamaTime(time.Unix(model.Created, 0)),
	}
	parameters := facts.Parameters
	if model.Card != nil {
		parameters = model.Card.Parameters
	}
	out.ModelInfo = map[string]any{"general.architecture": facts.Architecture, "general.parameter_count": parameters}
	for key, value := range map[string]int{
		"context_length": facts.Context, "embedding_length": facts.HiddenSize, "block_count": facts.Layers, "vocab_size": facts.Vocabulary,
	} {
		if value > 0 {
			out.ModelInfo[facts.Architecture+"."+key] = value
		}
	}
	return writeJSON(c, out)
}

// ollamaEmbed answers POST /api/embed.
func (s *Server) ollamaEmbed(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeOllamaEmbed(c.Request().Body())
	if err != nil {
		return err
	}
	vectors, usage, loaded, err := s.ollamaVectors(c, j, req, "input")
	if err != nil {
		return err
	}
	return writeJSON(c, openapi.OllamaEmbedResponse{
		Model: j.variant.Name, Embeddings: vectors, TotalDuration: time.Since(j.started), LoadDuration: loaded, PromptEvalCount: usage.Prompt,
	})
}

// ollamaEmbeddings answers POST /api/embeddings.
func (s *Server) ollamaEmbeddings(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeOllamaEmbeddings(c.Request().Body())
	if err != nil {
		return err
	}
	vectors, _, _, err := s.ollamaVectors(c, j, req, "prompt")
	if err != nil {
		return err
	}
	out := openapi.OllamaEmbeddingResponse{Embedding: []float32{}}
	if len(vectors) > 0 {
		out.Embedding = vectors[0]
	}
	return writeJSON(c, out)
}

// ollamaVectors loads the variant and computes the vectors of its inputs, of which there may be none.
func (s *Server) ollamaVectors(c *fiber.Ctx, j *job, req *openapi.OllamaEmbedRequest, field string) (vectors [][]float32, usage infer.Usage, loaded time.Duration, err error) {
	if err := j.acquire(c, req.Model); err != nil {
		return nil, usage, 0, err
	}
	loaded = time.Since(j.started)
	if own := j.variant.HiddenSize; req.Dimensions != 0 && req.Dimensions != own {
		return nil, usage, 0, openapi.Invalid("dimensions", openapi.CodeUnsupported, "dimensions is %d but must be %d, the size of this model's vectors, or absent", req.Dimensions, own)
	}
	if len(req.Inputs) == 0 {
		return [][]float32{}, usage, loaded, nil
	}
	prompts := make([][]infer.Token, len(req.Inputs))
	for i, text := range req.Inputs {
		if prompts[i], err = embedPrompt(j.variant, field, text, req.Truncate); err != nil {
			return nil, usage, 0, err
		}
	}
	vectors, usage, err = j.variant.Embed(j.ctx, prompts)
	if err != nil {
		return nil, usage, 0, promptField(j.cause(err), field)
	}
	s.metrics.promptTokens.Add(float64(usage.Prompt))
	return vectors, usage, loaded, nil
}

// embedPrompt tokenizes an input and, with truncate, cuts it to the context.
func embedPrompt(v *Variant, field, text string, truncate bool) ([]infer.Token, error) {
	if most := v.ContextSize() * maxBytesPerToken; truncate && len(text) > most {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = text[:most]
	}
	tokens, err := tokenize(v, field, chat.Piece{Text: text, Special: true})
	if err == nil && truncate {
		tokens = tokens[:min(len(tokens), v.ContextSize())]
	}
	return tokens, err
}
