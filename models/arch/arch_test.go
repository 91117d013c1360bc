package arch_test

import (
	"strings"
	"testing"

	"prunellm/models/arch"
)

// Every row sets the fields that it must, and names are unique. rows_test.go and rows_llama_test.go test the rest of a
// row.
func TestRowIsComplete(t *testing.T) {
	names, folders := map[string]bool{}, map[string]bool{}
	for _, row := range arch.Rows() {
		t.Run(row.Name, func(t *testing.T) {
			if row.Name == "" || names[row.Name] {
				t.Errorf("name %q is empty or in the table twice", row.Name)
			}
			names[row.Name] = true
			if row.RoPE != arch.RoPEPairs && row.RoPE != arch.RoPEHalves {
				t.Errorf("RoPE is %d, want RoPEPairs or RoPEHalves", row.RoPE)
			}
			if row.Activation != arch.SiLU && row.Activation != arch.GELU {
				t.Errorf("Activation is %q; models/llama computes only %q and %q", row.Activation, arch.SiLU, arch.GELU)
			}
			if (row.WindowEvery > 1) != (row.WindowRoPEBase > 0) || row.WindowEvery == 1 {
				t.Errorf("WindowEvery is %d and WindowRoPEBase %g: a row has both or neither", row.WindowEvery, row.WindowRoPEBase)
			}
			if row.PreTokenizer == "" {
				t.Error("PreTokenizer is empty")
			}
			for _, folder := range row.Folders {
				if folder.Name == "" || folder.ModelType == "" || folders[folder.Name] {
					t.Errorf("folder %+v: a name is empty or in the table twice", folder)
				}
				folders[folder.Name] = true
			}
			checkRelated(t, row)
		})
	}
}

// checkRelated compares a row with the rows that it names, which must have the same graph. Only the RoPE layout of
// PerLayer may differ.
func checkRelated(t *testing.T, row arch.Architecture) {
	t.Helper()
	if (row.Base == "") != (len(row.Folders) > 0) {
		t.Errorf("Folders are %v and Base is %q: a row needs exactly one of them", row.Folders, row.Base)
	}
	if row.Base == "" && len(row.ConfigFields) == 0 {
		t.Error("ConfigFields is empty: it needs at least one field of config.json, such as \"attention_bias\": false")
	}
	for field, name := range map[string]string{"Base": row.Base, "PerLayer": row.PerLayer} {
		if name == "" {
			continue
		}
		other, ok := arch.Named(name)
		if !ok {
			t.Errorf("%s is %q, but there is no such row", field, name)
		}
		bias := other.AttentionBias == row.AttentionBias || (field == "PerLayer" && other.OptionalBias)
		if (field == "Base" && other.RoPE != row.RoPE) || (row.RoPEFactors && !other.RoPEFactors) || other.QKNorm != row.QKNorm ||
			other.PostNorms != row.PostNorms || other.EmbeddingScale != row.EmbeddingScale || other.WindowEvery != row.WindowEvery ||
			other.HiddenScaleLayers != row.HiddenScaleLayers || other.UnrotatedEvery != row.UnrotatedEvery || !bias || other.Activation != row.Activation {
			t.Errorf("%s %q has a different graph: %+v", field, name, other)
		}
		if field == "Base" && len(other.Folders) == 0 {
			t.Errorf("Base %q has no folders", name)
		}
		if field == "PerLayer" && other.PerLayer != name {
			t.Errorf("PerLayer %q does not take per-layer widths itself: its PerLayer is %q", name, other.PerLayer)
		}
	}
}

// Every name in the table finds its row; a name that is not in the table finds none.
func TestLookups(t *testing.T) {
	for _, row := range arch.Rows() {
		if found, ok := arch.Named(row.Name); !ok || found.Name != row.Name {
			t.Errorf("Named(%q) = %q, %t", row.Name, found.Name, ok)
		}
		for _, folder := range row.Folders {
			if found, same, ok := arch.OfFolder(folder.Name); !ok || found.Name != row.Name || same != folder {
				t.Errorf("OfFolder(%q) = %q, %+v, %t", folder.Name, found.Name, same, ok)
			}
			if !strings.Contains(arch.FolderNames(), folder.Name) {
				t.Errorf("FolderNames() = %q lacks %q", arch.FolderNames(), folder.Name)
			}
		}
		if !strings.Contains(arch.Names(), row.Name) {
			t.Errorf("Names() = %q lacks %q", arch.Names(), row.Name)
		}
	}
	if _, ok := arch.Named("no such"); ok {
		t.Error("Named finds a row that does not exist")
	}
	if _, _, ok := arch.OfFolder("NoSuchForCausalLM"); ok {
		t.Error("OfFolder finds a folder that does not exist")
	}
}
