package convert

import (
	"fmt"
	"strings"

	"prunellm/models/gguf"
)

// Provenance describes the origin of a slim file. Its keys in the file begin with "prunellm.".
type Provenance struct {
	Ratio         float64 // requested share of all parameters to remove, in [0,1)
	RatioReached  float64 // removed share, as near as the widths allow; Slim fills it in
	KeptMLP       float64 // kept share of the MLP parameters; Slim fills it in
	SourceName    string  // the dense model's name for clients
	SourceDigest  string  // SHA-256 of the dense file in hexadecimal
	Architecture  string  // of the dense model, if the file has another; Slim fills it in
	Recipe        string  // digest of the recipe that decided the scores
	Criterion     string  // name of the criterion that scored the neurons
	Budget        string  // "uniform" or "global"
	Reconstructed bool    // whether any down matrix is refitted; Slim fills it in
	Recovered     string  // the recovery training; "" if there was none
	Tool          string  // name and version of the program that wrote the file
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
		{"source.name", &p.SourceName}, {"source.digest", &p.SourceDigest}, {"source.architecture", &p.Architecture}, {"recipe", &p.Recipe},
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

// ReadProvenance reads the provenance that Slim wrote. It returns false if Slim did not write the file. A field whose
// key has the wrong type stays zero.
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

// source describes the dense model in one line.
func (p Provenance) source() string {
	text := fmt.Sprintf("%q, sha256 %s", p.SourceName, p.SourceDigest)
	if p.Architecture != "" {
		text += fmt.Sprintf(", architecture %q", p.Architecture)
	}
	return text
}
