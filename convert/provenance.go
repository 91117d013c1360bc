package convert

import (
	"strings"

	"prunellm/models/gguf"
)

// Provenance says where a slim file comes from. It is written as keys that begin with "prunellm.".
type Provenance struct {
	Ratio         float64 // share of all parameters asked to be removed, in [0,1)
	RatioReached  float64 // share removed, as far as the widths allow; Slim fills it in
	KeptMLP       float64 // share of the MLP parameters kept; Slim fills it in
	SourceName    string  // name under which the dense model is served
	SourceDigest  string  // SHA-256 of the dense file in hexadecimal
	Recipe        string  // what decided the scores
	Criterion     string  // name of the importance
	Budget        string  // "uniform" or "global"
	Reconstructed bool    // some down matrices were refitted; Slim fills it in
	Recovered     string  // how the weights were trained after the cut; "": not at all
	Tool          string  // name and version of the program
}

const (
	provenancePrefix  = "prunellm."
	provenanceVersion = 1
)

func (p *Provenance) fields() []struct {
	key   string
	value any // pointer to the field
} {
	return []struct {
		key   string
		value any
	}{
		{"ratio", &p.Ratio}, {"ratio_reached", &p.RatioReached}, {"kept_mlp", &p.KeptMLP},
		{"source.name", &p.SourceName}, {"source.digest", &p.SourceDigest}, {"recipe", &p.Recipe},
		{"criterion", &p.Criterion}, {"budget", &p.Budget}, {"reconstructed", &p.Reconstructed}, {"recovered", &p.Recovered}, {"tool", &p.Tool},
	}
}

func (p Provenance) keys() []gguf.KV {
	out := []gguf.KV{{Key: provenancePrefix + "version", Value: uint32(provenanceVersion)}}
	for _, field := range p.fields() {
		key := provenancePrefix + field.key
		switch value := field.value.(type) {
		case *float64:
			out = append(out, gguf.KV{Key: key, Value: *value})
		case *bool:
			out = append(out, gguf.KV{Key: key, Value: *value})
		case *string:
			if *value != "" {
				out = append(out, gguf.KV{Key: key, Value: *value})
			}
		}
	}
	return out
}

// ReadProvenance reads what Slim wrote; false when the file does not come from Slim. Fields of another type are left
// zero.
func ReadProvenance(f *gguf.File) (Provenance, bool) {
	var p Provenance
	if _, err := f.Int(provenancePrefix + "version"); err != nil {
		return p, false
	}
	for _, field := range p.fields() {
		value, _ := f.Value(provenancePrefix + field.key)
		switch target := field.value.(type) {
		case *float64:
			*target, _ = value.(float64)
		case *bool:
			*target, _ = value.(bool)
		case *string:
			*target, _ = value.(string)
		}
	}
	return p, true
}

func isProvenance(key string) bool { return strings.HasPrefix(key, provenancePrefix) }
