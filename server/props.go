package server

import (
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/openapi"
)

// listModels handles GET /v1/models.
func (s *Server) listModels(c *fiber.Ctx) error {
	list := openapi.ModelList{Object: "list", Data: []openapi.Model{}}
	for _, model := range s.options.Models.List() {
		list.Data = append(list.Data, s.describe(model))
	}
	return writeJSON(c, list)
}

// getModel handles GET /v1/models/{id}.
func (s *Server) getModel(c *fiber.Ctx) error {
	name, err := nameInPath(c.Params("*"))
	if err != nil {
		return err
	}
	model, err := s.findModel(name)
	if err != nil {
		return err
	}
	return writeJSON(c, s.describe(model))
}

// findModel returns the entry of a name; that of an alias with a ratio is the variant's own. A bare name means the first
// model of that name. Clients of Ollama put a tag behind names.
func (s *Server) findModel(name openapi.ModelName) (openapi.Model, error) {
	base := openapi.Untagged(name.Base)
	for i, model := range s.options.Models.List() {
		bare, ratio, explicit := strings.Cut(model.ID, "@")
		bare = openapi.Untagged(bare)
		if i == 0 && base == openapi.AnyModel {
			base = bare
		}
		if bare == base && !explicit && model.Root != "" && name.Explicit { // an alias
			base = openapi.Untagged(model.Root)
		}
		if bare == base && (!name.Explicit || explicit && ratio == openapi.FormatRatio(name.Ratio)) {
			return model, nil
		}
	}
	return openapi.Model{}, fmt.Errorf("model %q: %w; /v1/models lists the models, and a request for another ratio makes it", name, ErrModelNotFound)
}

// props handles GET /props, which clients of llama-server read.
func (s *Server) props(c *fiber.Ctx) error {
	facts := s.options.Facts
	bos, eos := s.options.Chat.SpecialTokens()
	out := openapi.Props{
		Settings: openapi.DefaultSettings(facts.Context, s.options.Sampling), Slots: facts.Slots, ModelPath: facts.File, ChatTemplate: s.options.Chat.Source(),
		BOS: bos, EOS: eos, BuildInfo: "prunellm " + s.options.Version,
	}
	if models := s.options.Models.List(); len(models) > 0 {
		out.ModelAlias = models[0].ID
	}
	return writeJSON(c, out)
}

// slots handles GET /slots. Who sent the requests, and what they say, stays with them: the response has numbers alone.
func (s *Server) slots(c *fiber.Ctx) error {
	var name openapi.ModelName
	if asked := c.Query("model"); asked != "" {
		var err error
		if name, err = openapi.ParseModelName(asked); err != nil {
			return err
		}
	}
	variant, slots, err := s.options.Models.Slots(name)
	if err != nil {
		return err
	}
	out := make([]openapi.Slot, len(slots))
	free := 0
	for i, slot := range slots {
		out[i] = wireSlot(i, slot, variant, s.options.Facts.Context)
		if !slot.Busy {
			free++
		}
	}
	if fail := c.Query("fail_on_no_slot"); fail != "" && fail != "0" && free == 0 {
		return &NotReadyError{Progress: "no slot is available"}
	}
	c.Set(headerVariant, variant)
	return writeJSON(c, out)
}

func wireSlot(id int, slot infer.Slot, variant string, context int) openapi.Slot {
	out := openapi.Slot{
		ID: id, Model: variant, Context: context, Processing: slot.Busy, CacheTokens: slot.Cached,
		PromptTokens: slot.Prompt, PromptProcessed: slot.Prefilled, Next: openapi.SlotNext{Decoded: slot.Generated},
	}
	if slot.Busy {
		out.Next.HasNext, out.Next.Remaining = true, max(0, slot.MaxTokens-slot.Generated)
	}
	return out
}

// rerankPaths are those of vLLM and llama-server.
var rerankPaths = []string{"/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/reranking"}

// rerank handles the endpoints by which other servers rerank. A 404 would leave it open whether the path is wrong.
func (s *Server) rerank(*fiber.Ctx) error {
	return openapi.NewError(openapi.TypeInvalidRequest, "", openapi.CodeNotImplemented,
		"reranking is not supported: it needs a model that reads query and document together and gives a score, and this server's model writes text; "+
			"compare vectors of /v1/embeddings, or ask a reranker on another server")
}
