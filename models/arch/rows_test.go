package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert"
	"prunellm/convert/hffolder"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
)

// write makes a random model in a GGUF file and opens it.
func write(t *testing.T, options tinymodel.Options) *models.GGUF {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *models.GGUF {
	t.Helper()
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model
}

// prune removes neurons from a model: layer i keeps the first widths[i].
func prune(t *testing.T, model *models.GGUF, widths ...int) (*models.GGUF, error) {
	t.Helper()
	kept := make([][]int, len(widths))
	for layer, width := range widths {
		for neuron := range width {
			kept[layer] = append(kept[layer], neuron)
		}
	}
	path := filepath.Join(t.TempDir(), "slim.gguf")
	if _, err := convert.Slim(t.Context(), model, path, convert.Options{Kept: kept}); err != nil {
		return nil, err
	}
	return open(t, path), nil
}

// A model that follows a row reads back with that row's keys and tensors.
func TestRowReadsBack(t *testing.T) {
	for name, options := range tinymodel.PerArchitecture() {
		t.Run(name, func(t *testing.T) {
			model := write(t, options)
			if diff := cmp.Diff(options.Config(), model.Config()); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			row, _ := arch.Named(options.Architecture)
			if c := model.Config(); c.AttentionBias != row.AttentionBias || c.QKNorm != row.QKNorm || c.PostNorms != row.PostNorms || c.RoPELayout != row.RoPE {
				t.Errorf("config %+v does not follow the row %+v", c, row)
			}
		})
	}
}

// Converting a model to a safetensors folder and back to a GGUF file changes no value.
func TestRowSurvivesFolder(t *testing.T) {
	for name, options := range tinymodel.PerArchitecture() {
		t.Run(name, func(t *testing.T) {
			options.FFN = []int{96, 96} // config.json has one width for all layers
			model := write(t, options)
			folder, back := filepath.Join(t.TempDir(), "Tiny"), filepath.Join(t.TempDir(), "back.gguf")
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{}); err != nil {
				t.Fatal(err)
			}
			if err := hffolder.ToGGUF(t.Context(), folder, back); err != nil {
				t.Fatal(err)
			}
			again := open(t, back)
			row, _ := arch.Named(options.Architecture)
			want := model.Config()
			want.Architecture, want.FusedQKV = row.InFolder().Name, false
			if diff := cmp.Diff(want, again.Config()); diff != "" {
				t.Errorf("config (-before +after):\n%s", diff)
			}
			sameWeights(t, model, again)
		})
	}
}

func sameWeights(t *testing.T, a, b *models.GGUF) {
	t.Helper()
	for _, slot := range a.Config().Slots() {
		before, _, err := a.Tensor(slot.Role, slot.Layer)
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := b.Tensor(slot.Role, slot.Layer)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, after) {
			t.Errorf("tensor %s changed", slot.Name())
		}
	}
}

// Pruning to one width keeps the architecture. Pruning to different widths gives the architecture that PerLayer names,
// or an error.
func TestRowPrunes(t *testing.T) {
	for _, row := range arch.Rows() {
		t.Run(row.Name, func(t *testing.T) {
			model := write(t, tinymodel.Options{Architecture: row.Name})
			uniform, err := prune(t, model, 64, 64)
			if err != nil || uniform.Config().Architecture != row.Name {
				t.Fatalf("uniform widths: %v", err)
			}
			perLayer, err := prune(t, model, 64, 32)
			if row.PerLayer == "" {
				if err == nil {
					t.Error("per-layer widths are accepted, although no architecture can hold them")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c := perLayer.Config(); c.Architecture != row.PerLayer || !slices.Equal(c.FFN, []int{64, 32}) {
				t.Errorf("architecture %q with widths %v, want %q with 64 and 32", c.Architecture, c.FFN, row.PerLayer)
			}
		})
	}
}

// The table in docs/use/models.md has a line for each row.
func TestRowIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/use/models.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range arch.Rows() {
		var folders []string
		for _, folder := range row.Folders {
			folders = append(folders, "`"+folder.Name+"`")
		}
		written, perLayer := strings.Join(folders, ", "), "no"
		if row.Base != "" {
			written = "written as `" + row.InFolder().Folders[0].Name + "`"
		}
		if row.PerLayer != "" {
			perLayer = "as `" + row.PerLayer + "`"
		}
		want := fmt.Sprintf("| `%s` | %s | %s | ", row.Name, written, perLayer)
		if !strings.Contains(string(page), "\n"+want) {
			t.Errorf("docs/use/models.md lacks the line %q", want)
		}
	}
}
