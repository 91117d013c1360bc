package server

import (
	"container/list"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"prunellm/openapi"
)

// Limits of stored responses besides Options.ResponseStoreBytes, for each API key.
const (
	maxStoredResponses = 1024
	storedFor          = time.Hour
)

// responseStore keeps responses in memory, so that later requests can continue them. Each API key has its own responses and
// its own limits. Without API keys all clients share them.
type responseStore struct {
	bytes int64 // limit for the responses of one key
	byKey bool  // requests need an API key; if false, a client may send any key, which has no meaning
	now   func() time.Time

	mu     sync.Mutex
	owners map[owner]*ownedResponses
}

// owner is the digest of an API key.
type owner [sha256.Size]byte

// ownedResponses are the responses of one key.
type ownedResponses struct {
	order list.List // of *storedResponse, oldest first
	byID  map[string]*list.Element
	items map[string]json.RawMessage // of outputs, by id
	bytes int64
}

type storedResponse struct {
	id           string
	body         json.RawMessage
	conversation []json.RawMessage // including the output
	outputs      []string          // ids of the output's items
	at           time.Time
	bytes        int64
}

// newResponseStore returns a store, or nil for 0 bytes.
func newResponseStore(bytes int64, byKey bool) *responseStore {
	if bytes == 0 {
		return nil
	}
	return &responseStore{bytes: bytes, byKey: byKey, now: time.Now, owners: map[owner]*ownedResponses{}}
}

// of returns the responses of the request's key, or nil on a nil store.
func (r *responseStore) of(c *fiber.Ctx) *keysResponses {
	if r == nil {
		return nil
	}
	if !r.byKey {
		return &keysResponses{store: r}
	}
	return &keysResponses{r, sha256.Sum256([]byte(givenKey(&c.Request().Header)))}
}

// keysResponses gives access to the responses of one key. It implements openapi.Stored.
type keysResponses struct {
	store *responseStore
	owner owner
}

// find calls use with the key's responses that have not expired.
func (k *keysResponses) find(use func(*ownedResponses)) {
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	owned, ok := k.store.owners[k.owner]
	if !ok {
		return
	}
	owned.expire(k.store.now())
	use(owned)
}

// Conversation implements openapi.Stored.
func (k *keysResponses) Conversation(id string) (items []json.RawMessage, ok bool) {
	k.find(func(owned *ownedResponses) {
		if e, found := owned.byID[id]; found {
			items, ok = e.Value.(*storedResponse).conversation, true
		}
	})
	return items, ok
}

// Item implements openapi.Stored.
func (k *keysResponses) Item(id string) (item json.RawMessage, ok bool) {
	k.find(func(owned *ownedResponses) { item, ok = owned.items[id] })
	return item, ok
}

func (k *keysResponses) body(id string) (body json.RawMessage, ok bool) {
	k.find(func(owned *ownedResponses) {
		if e, found := owned.byID[id]; found {
			body, ok = e.Value.(*storedResponse).body, true
		}
	})
	return body, ok
}

func (k *keysResponses) remove(id string) (ok bool) {
	k.find(func(owned *ownedResponses) {
		if e, found := owned.byID[id]; found {
			owned.remove(e)
			ok = true
		}
	})
	return ok
}

// put stores a response and, if necessary, evicts the oldest ones of its key. It ignores a response above the limit.
func (k *keysResponses) put(response openapi.Response, conversation []json.RawMessage) error {
	s := &storedResponse{id: response.ID, conversation: conversation, at: k.store.now()}
	var err error
	if s.body, err = marshal(response); err != nil {
		return err
	}
	items := map[string]json.RawMessage{}
	for _, item := range response.Output {
		encoded, err := marshal(item)
		if err != nil {
			return err
		}
		items[item.ID] = encoded
		s.outputs = append(s.outputs, item.ID)
		s.conversation = append(s.conversation, encoded)
	}
	s.bytes = int64(len(s.body))
	for _, item := range s.conversation {
		s.bytes += int64(len(item))
	}
	if s.bytes > k.store.bytes {
		return nil
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	for other, owned := range k.store.owners { // all keys, because some may no longer be valid
		if owned.expire(s.at); owned.order.Len() == 0 {
			delete(k.store.owners, other)
		}
	}
	owned, ok := k.store.owners[k.owner]
	if !ok {
		owned = &ownedResponses{byID: map[string]*list.Element{}, items: map[string]json.RawMessage{}}
		k.store.owners[k.owner] = owned
	}
	for owned.order.Len() > 0 && (owned.bytes+s.bytes > k.store.bytes || owned.order.Len() >= maxStoredResponses) {
		owned.remove(owned.order.Front())
	}
	owned.byID[s.id] = owned.order.PushBack(s)
	owned.bytes += s.bytes
	for id, item := range items {
		owned.items[id] = item
	}
	return nil
}

// expire removes the responses that are older than storedFor.
func (o *ownedResponses) expire(now time.Time) {
	for first := o.order.Front(); first != nil && now.Sub(first.Value.(*storedResponse).at) >= storedFor; first = o.order.Front() {
		o.remove(first)
	}
}

func (o *ownedResponses) remove(e *list.Element) {
	s := o.order.Remove(e).(*storedResponse)
	delete(o.byID, s.id)
	for _, id := range s.outputs {
		delete(o.items, id)
	}
	o.bytes -= s.bytes
}

// decode calls openapi.DecodeResponse with the responses of the request's key.
func (r *responseStore) decode(c *fiber.Ctx, defaults openapi.Sampling) (*openapi.ResponseRequest, *keysResponses, error) {
	keys := r.of(c)
	var stored openapi.Stored
	if keys != nil {
		stored = keys
	}
	req, err := openapi.DecodeResponse(c.Request().Body(), defaults, stored)
	return req, keys, err
}

// get handles GET /v1/responses/{id}.
func (r *responseStore) get(c *fiber.Ctx) error {
	if keys := r.of(c); keys != nil {
		if body, ok := keys.body(c.Params("id")); ok {
			return writeJSON(c, body)
		}
	}
	return r.missing(c)
}

// delete handles DELETE /v1/responses/{id}.
func (r *responseStore) delete(c *fiber.Ctx) error {
	id := c.Params("id")
	if keys := r.of(c); keys != nil && keys.remove(id) {
		return writeJSON(c, openapi.DeletedResponse{ID: id, Object: "response", Deleted: true})
	}
	return r.missing(c)
}

func (r *responseStore) missing(c *fiber.Ctx) error {
	why := "it expired, was evicted or was not to be stored"
	if r == nil {
		why = "this server stores no responses (serve --response-store)"
	}
	return openapi.Invalid("id", openapi.CodeResponseNotFound, "response %q is not stored: %s", c.Params("id"), why)
}
