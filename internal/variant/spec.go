package variant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/models"
	"prunellm/prune"
)

// Spec says which variant of a model is wanted and how it is to be made.
type Spec struct {
	Ratio       float64          `json:"ratio"`       // share of all parameters to remove, in [0,1)
	Recipe      prune.Recipe     `json:"recipe"`      // decides the scores
	Calibration Calibration      `json:"calibration"` // where the recipe's tokens come from
	Budget      prune.Budget     `json:"budget"`
	Reconstruct bool             `json:"reconstruct"` // refit down_proj
	FileType    convert.FileType `json:"file_type"`
}

// Calibration says where calibration tokens come from. The recipe's Calibration, Tokens and Seed identify them.
type Calibration struct {
	File   string `json:"file"`   // text or JSONL; "" has the dense model write its own text
	Length int    `json:"length"` // tokens of a sequence
}

// Bounds of the held-out calibration tokens.
const (
	heldOutShare     = 8 // calibration tokens for each one held out
	minHeldOutTokens = 256
	maxHeldOutTokens = 4096
)

// At returns the spec of another ratio.
func (s Spec) At(ratio float64) Spec {
	s.Ratio = ratio
	return s
}

// HeldOut is the number of calibration tokens beyond the recipe's that cards are measured on: an eighth of them, within
// bounds.
func (s Spec) HeldOut() int {
	return min(max(s.Recipe.Tokens/heldOutShare, minHeldOutTokens), maxHeldOutTokens)
}

// calibrationVersion changes whenever the same source would give other calibration text.
const calibrationVersion = "2"

// digestLength is the number of hex digits of a digest inside a key's detail.
const digestLength = 16

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// keys names the stored values of one spec on one model.
type keys struct {
	model string // digest of the dense file
	spec  Spec
}

// calibration depends on the text alone, not on what is computed on it.
func (k keys) calibration() store.Key {
	r := k.spec.Recipe
	source := digest(calibrationVersion, r.Calibration, strconv.Itoa(k.spec.Calibration.Length), strconv.Itoa(r.Tokens), strconv.FormatUint(r.Seed, 10))
	return store.Key{Model: k.model, Kind: store.KindCalibration, Recipe: source}
}

func (k keys) scores() store.Key {
	return store.Key{Model: k.model, Kind: store.KindScores, Recipe: k.spec.Recipe.Digest()}
}

func (k keys) plan() store.Key {
	detail := strconv.FormatFloat(k.spec.Ratio, 'f', -1, 64) + "-" + string(k.spec.Budget)
	return store.Key{Model: k.model, Kind: store.KindPlan, Recipe: k.spec.Recipe.Digest(), Detail: detail}
}

// PlanRatio is the ratio of a stored plan that was made by the same recipe and budget as this spec's.
func (s Spec) PlanRatio(key store.Key) (ratio float64, ok bool) {
	text, found := strings.CutSuffix(key.Detail, "-"+string(s.Budget))
	if !found || key.Kind != store.KindPlan || key.Recipe != s.Recipe.Digest() {
		return 0, false
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio > 0 && ratio < 1) {
		return 0, false
	}
	s.Ratio = ratio
	return ratio, keys{model: key.Model, spec: s}.plan() == key
}

// down depends on the neurons kept and on how the fitted values are stored.
func (k keys) down(plan *prune.Plan) store.Key {
	detail := digest(neurons(plan))[:digestLength] + "-" + string(k.spec.FileType)
	return store.Key{Model: k.model, Kind: store.KindDown, Recipe: k.spec.Recipe.Digest(), Detail: detail}
}

// card depends on the file that is measured and on the text.
func (k keys) card(built Built) store.Key {
	return store.Key{Model: k.model, Kind: store.KindCard, Recipe: k.calibration().Recipe, Detail: cardVersion + "-" + built.Digest}
}

// cardVersion changes whenever the same variant and text would give other figures.
const cardVersion = "1"

// assemblyVersion changes whenever the same inputs would be assembled to other bytes.
const assemblyVersion = "2"

// file identifies an assembled GGUF: what decides its tensors.
func (k keys) file(plan *prune.Plan, down []byte) string {
	var kept string
	if plan != nil {
		kept = neurons(plan)
	}
	return digest(assemblyVersion, k.model, kept, digest(string(down)), string(k.spec.FileType))
}

// neurons is which neurons a plan keeps, whatever ratio was asked for: two ratios that keep the same ones are one variant.
func neurons(plan *prune.Plan) string {
	return string((&prune.Plan{Kept: plan.Kept, Dense: plan.Dense}).Encode())
}

// LargestRatio is the largest ratio that a model can be asked for, rounded down to three decimals.
func LargestRatio(config models.Config, budget prune.Budget) float64 {
	const beyondAll = 0.999999
	var refused *prune.RatioError
	if errors.As(CheckRatio(config, beyondAll, budget), &refused) {
		return math.Floor(1000*refused.Largest) / 1000
	}
	return 0
}

// CheckRatio tells, without scores, whether a model can lose that share of its parameters. The error wraps a
// *prune.RatioError.
func CheckRatio(config models.Config, ratio float64, budget prune.Budget) error {
	equal := make([][]float32, config.Layers)
	for layer, width := range config.FFN {
		equal[layer] = make([]float32, width)
	}
	_, err := prune.MakePlan(config, equal, ratio, budget)
	return err
}
