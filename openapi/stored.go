package openapi

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Stored finds the stored responses of one client.
type Stored interface {
	// Conversation returns the items of the conversation up to a response: the earlier inputs and outputs, its own input and
	// its output.
	Conversation(id string) (items []json.RawMessage, ok bool)
	// Item returns an item of the output of a stored response.
	Item(id string) (item json.RawMessage, ok bool)
}

// conversation returns the items of the previous response's conversation, then those of the input. earlier counts the
// former.
func (r *ResponseRequest) conversation(f *fields, stored Stored) (items []json.RawMessage, earlier int) {
	items = r.previous(f, stored)
	earlier = len(items)
	f.require("input")
	raw, ok := f.get("input")
	switch {
	case !ok:
		return nil, 0
	case kindOf(raw) == "a string":
		var text string
		f.text("input", &text)
		items = append(items, json.RawMessage(`{"role":"user","content":`+string(raw)+`}`))
	case kindOf(raw) != "an array":
		f.wrongType("input", raw, "a string or an array of items")
		return nil, 0
	default:
		items = append(items, f.array("input", 1, MaxMessages)...)
	}
	if len(items) > MaxMessages {
		f.refuse("previous_response_id", CodeInvalidValue, "the conversation has %d items; the limit is %d", len(items), MaxMessages)
	}
	for i, item := range items {
		if stored == nil || textOf(item, "type") != "item_reference" {
			continue
		}
		if found, ok := stored.Item(textOf(item, "id")); ok {
			items[i] = found
		}
	}
	return items, earlier
}

// previous returns the items of the conversation that previous_response_id names.
func (r *ResponseRequest) previous(f *fields, stored Stored) []json.RawMessage {
	if stored == nil {
		f.only("previous_response_id", "responses are not stored: send the whole conversation as input")
		return nil
	}
	var id string
	if f.str("previous_response_id", maxIdentifierSize, &id); id == "" {
		return nil
	}
	items, ok := stored.Conversation(id)
	if !ok {
		f.refuse("previous_response_id", CodePreviousNotFound,
			"previous response %q is not stored, or no longer stored: send the whole conversation as input", id)
		return nil
	}
	r.PreviousID = &id
	return slices.Clone(items)
}

// keep copies the conversation if the response is to be stored. The items are slices of the request's body, a buffer that
// the server reuses.
func (r *ResponseRequest) keep(f *fields, items []json.RawMessage) {
	store := true
	f.boolean("store", &store)
	if !store || f.err != nil {
		return
	}
	r.Conversation = make([]json.RawMessage, len(items))
	for i, item := range items {
		r.Conversation[i] = bytes.Clone(item)
	}
}

// DeletedResponse is the response of DELETE /v1/responses/{id}.
type DeletedResponse struct {
	ID      string `json:"id"`
	Object  string `json:"object"` // "response"
	Deleted bool   `json:"deleted"`
}
