package server

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/openapi"
)

// embedding handles POST /v1/embeddings.
func (s *Server) embedding(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeEmbedding(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	if own := j.variant.HiddenSize; req.Dimensions != 0 && req.Dimensions != own {
		return openapi.Invalid("dimensions", openapi.CodeUnsupported, "dimensions is %d but must be %d, the size of this model's vectors, or absent", req.Dimensions, own)
	}
	prompts := make([][]infer.Token, len(req.Inputs))
	for i, input := range req.Inputs {
		field := "input"
		if len(req.Inputs) > 1 {
			field = fmt.Sprintf("input[%d]", i)
		}
		if prompts[i], err = promptTokens(j.variant, field, input); err != nil {
			return err
		}
		if len(prompts[i]) == 0 {
			return openapi.Invalid(field, openapi.CodeInvalidValue, "%s is empty", field)
		}
	}
	vectors, usage, err := j.variant.Embed(j.ctx, prompts)
	if err != nil {
		return promptField(j.cause(err), "input")
	}
	s.metrics.promptTokens.Add(float64(usage.Prompt))
	out := openapi.EmbeddingResponse{
		Object: "list", Model: j.variant.Name, Data: make([]openapi.Embedding, len(vectors)),
		Usage: openapi.EmbeddingUsage{PromptTokens: usage.Prompt, TotalTokens: usage.Prompt},
	}
	for i, vector := range vectors {
		out.Data[i] = openapi.Embedding{Object: "embedding", Index: i, Embedding: vector}
		if req.Base64 {
			out.Data[i].Embedding = base64Vector(vector)
		}
	}
	return writeJSON(c, out)
}

// base64Vector returns float32[n] as base64 of its little-endian bytes.
func base64Vector(vector []float32) string {
	raw := make([]byte, 0, 4*len(vector))
	for _, x := range vector {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
