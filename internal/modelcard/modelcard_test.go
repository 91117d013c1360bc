package modelcard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/convert"
	"prunellm/internal/modelcard"
	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/gguf"
)

func render(t *testing.T, facts modelcard.Facts) string {
	t.Helper()
	var b strings.Builder
	if err := modelcard.Write(&b, facts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func facts() modelcard.Facts {
	return modelcard.Facts{
		Provenance: convert.Provenance{SourceName: "Tiny", RatioReached: 0.1973, Criterion: "sdm2", Budget: "global", Recipe: "0123", Tool: "prunellm 1"},
		Built:      variant.Built{Model: "tiny", Ratio: 0.2, KeptMLP: 0.6667, Parameters: 107972928},
		Card:       &variant.Card{Perplexity: 14, DensePerplexity: 10, KLToDense: 0.25, Top1Agreement: 0.75, Tokens: 1020},
		License:    "Apache-2.0", BaseModel: "https://huggingface.co/owner/tiny", Type: "f16",
	}
}

// The page contains each fact and the header that a hub reads.
func TestWrite(t *testing.T) {
	page := render(t, facts())
	for _, want := range []string{
		"---\nlibrary_name: transformers\n", "\nlicense: apache-2.0\n", "\nbase_model: owner/tiny\n", "# tiny@0.2", "19.7%", "108.0 million", "66.7%",
		"1.400x", "0.25 nats", "75.0%", "1020 tokens", "`sdm2`", "`global`", "| training after pruning | none |", "keep its license, `apache-2.0`",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "trust_remote_code") {
		t.Error("the page of a model of one width asks for trust_remote_code")
	}
	without := facts()
	without.Card, without.License, without.BaseModel, without.PerLayer = nil, "", "", true
	page = render(t, without)
	for _, unwanted := range []string{"perplexity", "license:", "base_model:"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page has %q:\n%s", unwanted, page)
		}
	}
	if !strings.Contains(page, "trust_remote_code=True") || !strings.Contains(page, "name it here before you") {
		t.Errorf("the page does not say how to load the model, or that its license is unknown:\n%s", page)
	}
}

// Names in a model file cannot add to the page's header or its markup.
func TestHostileNames(t *testing.T) {
	hostile := facts()
	hostile.License, hostile.BaseModel = "mit\nlicense: evil", "owner/name\ntags: [evil]"
	hostile.Provenance.SourceName = "a`<script>\n---\nevil: 1\n---" + strings.Repeat("x", 1000)
	page := render(t, hostile)
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "evil:") || strings.Contains(line, "<script>") || strings.HasPrefix(line, "license:") || strings.HasPrefix(line, "base_model:") {
			t.Errorf("the page has the line %q", line)
		}
	}
	if strings.Count(page, "\n---\n") != 1 || len(page) > 4096 {
		t.Errorf("the page has a changed header, or %d bytes", len(page))
	}
}

// The license comes from the file's keys or, if they have none, from the page in the model's folder.
func TestSource(t *testing.T) {
	dir := t.TempDir()
	open := func(keys ...gguf.KV) *models.GGUF {
		return tinymodel.Open(t, tinymodel.Options{Keys: keys})
	}
	check := func(file *gguf.File, folder, wantLicense, wantRepository string) {
		t.Helper()
		license, repository, err := modelcard.Source(file, folder)
		if err != nil || license != wantLicense || repository != wantRepository {
			t.Errorf("Source = %q, %q, %v; want %q, %q", license, repository, err, wantLicense, wantRepository)
		}
	}
	check(open().File(), "", "", "")
	check(open().File(), dir, "", "")
	keyed := open(gguf.KV{Key: "general.license", Value: "mit"}, gguf.KV{Key: "general.base_model.0.repo_url", Value: "https://huggingface.co/owner/name"})
	check(keyed.File(), dir, "mit", "https://huggingface.co/owner/name")
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("---\ntags: [a]\nlicense: \"apache-2.0\"\n---\nlicense: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(open().File(), dir, "apache-2.0", "")
}
