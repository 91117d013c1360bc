//go:build cgo

package prune_test

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"prunellm/infer/llamacpp"
	"prunellm/internal/calibration"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// TestQuality prints the table of docs/understand/pruning.md: the perplexity of pruned variants relative to the dense model's.
// It only measures and checks nothing, so it runs only on request:
//
//	PRUNELLM_QUALITY_TEXT=wiki.txt go test ./prune -run TestQuality -v -timeout 2h
//
// The first 60% of the text is calibration text (PRUNELLM_QUALITY_TOKENS of it, default 24,576); the rest is for
// testing, in windows of 512 tokens (PRUNELLM_QUALITY_WINDOWS, default 32). PRUNELLM_QUALITY_CALIBRATION names a file
// from "prunellm calibrate" as calibration text instead. PRUNELLM_QUALITY_ROWS picks rows:
// criterion/stage/budget/ridge/ratio, ridge 0 for no reconstruction and "held" to choose it by held-out sequences.
// PRUNELLM_QUALITY_PRECISION is the precision of matmuls, f32 or bf16.
func TestQuality(t *testing.T) {
	path := os.Getenv("PRUNELLM_QUALITY_TEXT")
	if path == "" {
		t.Skip("measures for half an hour: set PRUNELLM_QUALITY_TEXT to a text file")
	}
	q := newQuality(t, path)
	rows := strings.Fields(os.Getenv("PRUNELLM_QUALITY_ROWS"))
	if len(rows) == 0 {
		for _, ratio := range []string{"0.2", "0.4"} {
			for _, ranking := range []string{"sdm/2/uniform", "sdm/2/global", "fisher/1/uniform", "fisher/1/global"} {
				for _, ridge := range []string{"0", "0.03"} {
					rows = append(rows, ranking+"/"+ridge+"/"+ratio)
				}
			}
		}
	}
	t.Logf("dense perplexity %.3f", math.Exp(q.dense))
	for _, row := range rows {
		q.measure(t, row)
	}
}

// quality holds the data of all rows.
type quality struct {
	weights           models.Weights
	calibration, test [][]int32
	dense             float64 // mean cross entropy
	scores            map[prune.Criterion]*prune.Scores
	precision         llama.Precision
}

func newQuality(t *testing.T, path string) *quality {
	t.Helper()
	number := func(name string, fallback int) int {
		value, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			return fallback
		}
		return value
	}
	tokens := tokenize(t, path)
	cut := len(tokens) * 6 / 10
	q := &quality{
		weights:     defaultModel(t),
		calibration: calibration.Cut(tokens[:cut], 512, number("PRUNELLM_QUALITY_TOKENS", 24576)),
		test:        calibration.Cut(tokens[cut:], 512, 512*number("PRUNELLM_QUALITY_WINDOWS", 32)),
		scores:      map[prune.Criterion]*prune.Scores{},
		precision:   llama.Precision(cmp.Or(os.Getenv("PRUNELLM_QUALITY_PRECISION"), "f32")),
	}
	if path := os.Getenv("PRUNELLM_QUALITY_CALIBRATION"); path != "" {
		value, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Tokens [][]int32 }
		if err := json.Unmarshal(value, &file); err != nil {
			t.Fatal(err)
		}
		q.calibration = file.Tokens
	}
	q.dense = q.loss(t, q.weights)
	return q
}

func tokenize(t *testing.T, path string) []int32 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	model, err := llamacpp.Open(t.Context(),
		filepath.Join(os.Getenv("PRUNELLM_HOME"), "models", "SmolLM2-135M-Instruct.Q4_1.gguf"), llamacpp.Options{ContextSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	var tokens []int32
	for line := range strings.Lines(string(text)) {
		ids, err := model.Tokenize(line, false, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			tokens = append(tokens, int32(id))
		}
	}
	return tokens
}

// loss returns the mean cross entropy over the test windows.
func (q *quality) loss(t *testing.T, weights models.Weights) float64 {
	t.Helper()
	losses, err := prune.CrossEntropy(t.Context(), testBackend(t), weights, q.test, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, loss := range losses {
		sum += loss
	}
	return sum / float64(len(losses))
}

// measure prunes by a row's settings and logs the loss.
func (q *quality) measure(t *testing.T, row string) {
	t.Helper()
	fields := strings.Split(row, "/")
	if len(fields) != 5 {
		t.Fatalf("row %q, want criterion/stage/budget/ridge/ratio", row)
	}
	ridge, ridgeErr := strconv.ParseFloat(fields[3], 64)
	refit := ridge > 0
	if fields[3] == "held" {
		ridge, ridgeErr, refit = 0, nil, true
	}
	ratio, ratioErr := strconv.ParseFloat(fields[4], 64)
	if ridgeErr != nil || ratioErr != nil {
		t.Fatalf("row %q: ridge and ratio must be numbers", row)
	}
	criterion := prune.Criterion(fields[0])
	if q.scores[criterion] == nil {
		recipe := recipeFor(criterion)
		recipe.Precision = q.precision
		scores, err := prune.Score(t.Context(), testBackend(t), q.weights, q.calibration, recipe, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.scores[criterion] = scores
	}
	ranking := q.scores[criterion].Stage2
	if fields[1] == "1" {
		ranking = q.scores[criterion].Stage1
	}
	plan, err := prune.MakePlan(q.weights.Config(), ranking, ratio, prune.Budget(fields[2]))
	if err != nil {
		t.Fatal(err)
	}
	var down [][]float32
	start := time.Now()
	if refit {
		down, err = prune.Reconstruct(t.Context(), testBackend(t), q.weights, plan, q.calibration,
			prune.ReconstructOptions{Ridge: ridge, Precision: q.precision}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	pruned, err := prune.Pruned(q.weights, plan, down)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%-28s ratio %.3f  perplexity x %.3f  reconstruction %.0f s", row, plan.RatioReached,
		math.Exp(q.loss(t, pruned)-q.dense), took.Seconds())
}
