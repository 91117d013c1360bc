package hffolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"prunellm/internal/regularfile"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/safetensors"
)

var layerNames = map[models.Role]string{
	models.AttnNorm: "input_layernorm.weight", models.FFNNorm: "post_attention_layernorm.weight",
	models.AttnQ: "self_attn.q_proj.weight", models.AttnK: "self_attn.k_proj.weight", models.AttnV: "self_attn.v_proj.weight",
	models.AttnQBias: "self_attn.q_proj.bias", models.AttnKBias: "self_attn.k_proj.bias", models.AttnVBias: "self_attn.v_proj.bias",
	models.AttnQNorm: "self_attn.q_norm.weight", models.AttnKNorm: "self_attn.k_norm.weight",
	models.AttnOutput: "self_attn.o_proj.weight",
	models.FFNGate:    "mlp.gate_proj.weight", models.FFNUp: "mlp.up_proj.weight", models.FFNDown: "mlp.down_proj.weight",
}

// postNormNames replaces names in models with norms after attention and MLP.
var postNormNames = map[models.Role]string{
	models.AttnPostNorm: "post_attention_layernorm.weight", models.FFNNorm: "pre_feedforward_layernorm.weight",
	models.FFNPostNorm: "post_feedforward_layernorm.weight",
}

// tensorName returns the tensor's name in safetensors folders. It returns "" for the RoPE factors, which follow from
// config.json.
func tensorName(c models.Config, slot models.Slot) string {
	switch slot.Role {
	case models.TokenEmbedding:
		return "model.embed_tokens.weight"
	case models.OutputNorm:
		return "model.norm.weight"
	case models.Output:
		return "lm_head.weight"
	case models.RoPEFreqs:
		return ""
	}
	name := layerNames[slot.Role]
	if other, ok := postNormNames[slot.Role]; ok && c.PostNorms {
		name = other
	}
	return fmt.Sprintf("model.layers.%d.%s", slot.Layer, name)
}

// normOffset returns what to add to a tensor's values in a GGUF file to get those in a folder.
func normOffset(c models.Config, role models.Role) float32 {
	row, _ := arch.Named(c.Architecture)
	switch role {
	case models.AttnNorm, models.AttnQNorm, models.AttnKNorm, models.AttnPostNorm, models.FFNNorm, models.FFNPostNorm, models.OutputNorm:
		if row.NormOffset {
			return -1
		}
	}
	return 0
}

// shards holds the open weight files of a folder.
type shards struct {
	files   []*safetensors.File
	tensors map[string]located
}

type located struct {
	file *safetensors.File
	info safetensors.Info
}

func (s *shards) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openShards opens all weight files of a folder.
func openShards(dir string) (*shards, error) {
	names, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	s := &shards{tensors: map[string]located{}}
	for _, name := range names {
		file, err := safetensors.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.files = append(s.files, file)
		for _, info := range file.Infos {
			if _, twice := s.tensors[info.Name]; twice {
				return nil, errors.Join(fmt.Errorf("tensor %.80q is in two files of %q", info.Name, dir), s.Close())
			}
			s.tensors[info.Name] = located{file, info}
		}
	}
	return s, nil
}

var shardName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$`)

// weightFiles lists the weight files of a folder: the single standard one, those that an index names, or else all
// *.safetensors files.
func weightFiles(dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, weightsFile)); err == nil {
		return []string{weightsFile}, nil
	}
	data, err := regularfile.Read(filepath.Join(dir, indexFile), maxIndexBytes)
	if err == nil {
		return indexedFiles(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if shardName.MatchString(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 || len(names) > maxShards {
		return nil, fmt.Errorf("folder %q has %d .safetensors files but must have 1 to %d", dir, len(names), maxShards)
	}
	return names, nil
}

// indexedFiles returns the file names of an index, sorted.
func indexedFiles(data []byte) ([]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := decodeJSON(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	var names []string
	for _, name := range index.WeightMap {
		if !shardName.MatchString(name) {
			return nil, fmt.Errorf("%s names the file %.80q, which is not a plain .safetensors name", indexFile, name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 || len(names) > maxShards {
		return nil, fmt.Errorf("%s names %d files but must have 1 to %d", indexFile, len(names), maxShards)
	}
	return names, nil
}

// check returns an error if the tensors are not those that the architecture requires.
func (s *shards) check(c models.Config) error {
	known := map[string]bool{}
	for _, slot := range c.Slots() {
		name := tensorName(c, slot)
		if name == "" {
			continue
		}
		known[name] = true
		found, ok := s.tensors[name]
		if !ok {
			return fmt.Errorf("tensor %q: %w", name, models.ErrNoTensor)
		}
		if want := c.TensorShape(slot.Role, slot.Layer); !slices.Equal(found.info.Shape, want) {
			return fmt.Errorf("tensor %q has shape %v instead of %v", name, found.info.Shape, want)
		}
		if _, ok := ggufTypes[found.info.DType]; !ok {
			return fmt.Errorf("%w: tensor %q is of dtype %s; use F32, F16 or BF16", models.ErrUnsupported, name, found.info.DType)
		}
	}
	for name := range s.tensors {
		if !known[name] && !ignored(c, name) {
			return fmt.Errorf("%w: tensor %.80q is not part of the architecture", models.ErrUnsupported, name)
		}
	}
	return nil
}

// ignored reports whether a tensor is redundant. Old files have tables of RoPE frequencies, and some an output matrix
// although it is tied to the embedding.
func ignored(c models.Config, name string) bool {
	return strings.HasSuffix(name, ".rotary_emb.inv_freq") || (c.TiedEmbeddings && name == "lm_head.weight")
}
