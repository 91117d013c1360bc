package openapi

// AdminVariant describes a variant to administrators.
type AdminVariant struct {
	ID         string  `json:"id"`     // "name@ratio"
	Object     string  `json:"object"` // "variant"
	Ratio      float64 `json:"ratio"`
	State      string  `json:"state"`              // one of the states below
	Progress   string  `json:"progress,omitempty"` // one line, while the variant is being made
	Error      string  `json:"error,omitempty"`    // why the last attempt failed
	Next       string  `json:"next,omitempty"`     // one line about the stage that replaces the loaded file next
	Pinned     bool    `json:"pinned"`             // protected from eviction
	Startup    bool    `json:"startup"`            // used for requests without a ratio
	InUse      int     `json:"in_use"`             // requests that use it now
	LastUsedAt int64   `json:"last_used_at"`       // seconds since 1970; 0: never
	Card       *Card   `json:"prunellm,omitempty"` // 0 before it is loaded
}

// States of an AdminVariant.
const (
	StateMaking   = "making"
	StateLoaded   = "loaded"
	StateUnloaded = "unloaded" // a request makes it again or loads its file
	StateFailed   = "failed"
)

// AdminList is the response of GET /admin/variants.
type AdminList struct {
	Object string         `json:"object"` // "list"
	Data   []AdminVariant `json:"data"`
}

// AdminDeleted is the response of DELETE /admin/variants/{id}.
type AdminDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"` // "variant"
	Deleted bool   `json:"deleted"`
}

// DecodeMakeVariant reads the body of POST /admin/variants: the ratio to make. The error is an *Error.
func DecodeMakeVariant(body []byte) (float64, error) {
	f := parseBody(body)
	var ratio float64
	f.require("ratio")
	f.number("ratio", 0, MaxRatio, &ratio)
	if f.err != nil {
		return 0, f.err
	}
	return ratio, nil
}
