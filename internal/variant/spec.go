package variant

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/models"
	"prunellm/prune"
)

// Spec describes a variant of a model and how to make it.
type Spec struct {
	Ratio       float64      `json:"ratio"`       // share of all parameters to remove, in [0,1)
	Recipe      prune.Recipe `json:"recipe"`      // decides the scores
	Calibration Calibration  `json:"calibration"` // source of the recipe's tokens
	Budget      prune.Budget `json:"budget"`
	Reconstruct bool         `json:"reconstruct"` // whether to refit down_proj
	// RefitTokens is the maximum number of tokens that the refit reads. It reads the scored tokens first, then further
	// tokens of the same source. 0 means the recipe's number.
	RefitTokens int `json:"refit_tokens,omitempty"`
	// TextTokens is the size of the text if the recipe's tokens are only a part of it; the scored sequences are then spread
	// evenly over the text. 0 means that the recipe's tokens are the whole text. Variants with the same text have the same
	// held-out part.
	TextTokens int              `json:"text_tokens,omitempty"`
	FileType   convert.FileType `json:"file_type"`
	Step       int              `json:"step"` // step of widths under the global budget, see WidthStep; 0 means prune.WidthStep
}

// leastSteps is the smallest number of steps in a layer. With fewer, the coarse choice of widths costs more than a type
// of more bits.
const leastSteps = 8

// WidthStep returns the step of widths under the global budget with which every layer's down matrix can keep its type.
// For K-quants that is their block size, if the MLPs are wide enough and multiples of it. Otherwise it is
// prune.WidthStep.
func WidthStep(model *models.GGUF, fileType convert.FileType) int {
	config, step := model.Config(), prune.WidthStep
	for layer, width := range config.FFN {
		info, _ := model.TensorInfo(models.Slot{Role: models.FFNDown, Layer: layer})
		step = max(step, fileType.DownType(config, layer, width, info.Type).BlockSize())
	}
	if slices.ContainsFunc(config.FFN, func(width int) bool { return width%step != 0 || width < leastSteps*step }) {
		return prune.WidthStep
	}
	return step
}

// step returns the step of widths.
func (s Spec) step() int { return cmp.Or(s.Step, prune.WidthStep) }

// Calibration says where calibration tokens come from. The recipe's Calibration, Tokens and Seed identify the tokens.
type Calibration struct {
	File   string `json:"file"`   // text or JSONL; if "", the dense model writes the text
	Length int    `json:"length"` // tokens per sequence
}

// The bounds of the number of held-out calibration tokens.
const (
	heldOutShare     = 8 // calibration tokens per held-out token
	minHeldOutTokens = 256
	maxHeldOutTokens = 4096
)

// refitFactor is how many tokens a refit reads by default per scored token. More tokens help a refit more than the
// scores, and cost it less time.
const refitFactor = 4

// RefitTokens returns the default of Spec.RefitTokens for the given number of scored tokens.
func RefitTokens(scored int) int { return min(refitFactor*scored, maxTokens) }

// At returns the spec for another ratio.
func (s Spec) At(ratio float64) Spec {
	s.Ratio = ratio
	return s
}

// Text returns the size in tokens of the text of which all or a part is scored on.
func (s Spec) Text() int { return max(s.TextTokens, s.Recipe.Tokens) }

// HeldOut returns the number of held-out tokens for cards, in addition to the text's tokens. It is 1/heldOutShare of the
// text's tokens, at least minHeldOutTokens and at most maxHeldOutTokens.
func (s Spec) HeldOut() int {
	return min(max(s.Text()/heldOutShare, minHeldOutTokens), maxHeldOutTokens)
}

// Refits returns the maximum number of tokens that the refit reads. It is 0 without a refit.
func (s Spec) Refits() int {
	if !s.Reconstruct {
		return 0
	}
	return cmp.Or(s.RefitTokens, s.Recipe.Tokens)
}

// recipe returns the description of the recipe for a file's provenance.
func (s Spec) recipe() string {
	text := s.Recipe.String()
	if n := s.Text(); n != s.Recipe.Tokens {
		text += fmt.Sprintf(" text_tokens=%d", n)
	}
	if n := s.Refits(); n != 0 && n != s.Recipe.Tokens {
		text += fmt.Sprintf(" refit_tokens=%d", n)
	}
	return text
}

// Further returns the maximum number of tokens that the refit reads in addition to the text's.
func (s Spec) Further() int { return max(s.Refits()-s.Text(), 0) }

// calibrationVersion must change when the same source gives different calibration text.
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

// keys derives the keys of the stored values for one spec of one model.
type keys struct {
	model string // SHA-256 of the dense file, in hex
	spec  Spec
}

// calibration returns the key of the calibration text. It depends only on the text, so that criteria with the same text
// share it. Without further tokens for the refit, it is the key of earlier versions, whose texts are the same.
func (k keys) calibration() store.Key { return k.text(k.spec.Further()) }

// text returns the key of the text with that many further tokens for the refit.
func (k keys) text(further int) store.Key {
	r := k.spec.Recipe
	parts := []string{calibrationVersion, r.Calibration, strconv.Itoa(k.spec.Calibration.Length), strconv.Itoa(k.spec.Text()), strconv.FormatUint(r.Seed, 10)}
	if further > 0 {
		parts = append(parts, strconv.Itoa(further))
	}
	return store.Key{Model: k.model, Kind: store.KindCalibration, Recipe: digest(parts...)}
}

// recipeDigest identifies the scores. It is the recipe's digest unless only a part of the text is scored on.
func (s Spec) recipeDigest() string {
	if s.Text() == s.Recipe.Tokens {
		return s.Recipe.Digest()
	}
	return digest(s.Recipe.Digest(), "text", strconv.Itoa(s.Text()))
}

func (k keys) scores() store.Key {
	return store.Key{Model: k.model, Kind: store.KindScores, Recipe: k.spec.recipeDigest()}
}

func (k keys) plan() store.Key {
	detail := strconv.FormatFloat(k.spec.Ratio, 'f', -1, 64) + "-" + string(k.spec.Budget)
	if k.spec.Budget == prune.Global && k.spec.step() != prune.WidthStep {
		detail += "-" + strconv.Itoa(k.spec.step())
	}
	return store.Key{Model: k.model, Kind: store.KindPlan, Recipe: k.spec.recipeDigest(), Detail: detail}
}

// PlanRatio returns the ratio of a stored plan. ok reports whether the plan is for this spec's recipe and budget.
func (s Spec) PlanRatio(key store.Key) (ratio float64, ok bool) {
	text, _, found := strings.Cut(key.Detail, "-"+string(s.Budget)) // a step may follow
	if !found || key.Kind != store.KindPlan || key.Recipe != s.recipeDigest() {
		return 0, false
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio > 0 && ratio < 1) {
		return 0, false
	}
	s.Ratio = ratio
	return ratio, keys{model: key.Model, spec: s}.plan() == key
}

// down returns the key of the refitted matrices. It depends on the kept neurons, on the tokens of the refit and on the
// file type, which decides the stored types. If the refit reads the recipe's tokens, it is the key of earlier versions.
func (k keys) down(plan *prune.Plan) store.Key {
	parts := []string{neurons(plan)}
	if n := k.spec.Refits(); n != k.spec.Recipe.Tokens {
		parts = append(parts, "refit", strconv.Itoa(n))
	}
	detail := digest(parts...)[:digestLength] + "-" + string(k.spec.FileType)
	return store.Key{Model: k.model, Kind: store.KindDown, Recipe: k.spec.recipeDigest(), Detail: detail}
}

// card returns the key of a card. It depends on the measured file and the held-out text, which does not depend on what the
// refit reads.
func (k keys) card(built Built) store.Key {
	return store.Key{Model: k.model, Kind: store.KindCard, Recipe: k.text(0).Recipe, Detail: cardVersion + "-" + built.Digest}
}

// cardVersion must change when the same variant and text give a different card.
const cardVersion = "1"

// assemblyVersion must change when the same inputs give different bytes.
const assemblyVersion = "2"

// file returns the digest of all inputs that decide the tensors of an assembled GGUF file.
func (k keys) file(plan *prune.Plan, down []byte) string {
	var kept string
	if plan != nil {
		kept = neurons(plan)
	}
	return digest(assemblyVersion, k.model, kept, digest(string(down)), string(k.spec.FileType))
}

// neurons encodes the kept neurons of a plan. It leaves out the ratio, because two ratios that keep the same neurons
// are the same variant.
func neurons(plan *prune.Plan) string {
	return string((&prune.Plan{Kept: plan.Kept, Dense: plan.Dense}).Encode())
}

// CheckSpec returns an error if the variant of a spec cannot be made from the model. If the ratio is the reason, the
// error wraps a *prune.RatioError. CheckSpec needs no scores.
func CheckSpec(model *models.GGUF, spec Spec) error {
	reason := model.Unprunable()
	switch {
	case reason != nil && spec.Ratio > 0:
		return &unprunable{reason, &prune.RatioError{Ratio: spec.Ratio, Budget: spec.Budget}}
	case reason != nil && spec.FileType != convert.Keep:
		return fmt.Errorf("file type %s: %w, in the types of its file", spec.FileType, reason)
	case spec.Ratio == 0:
		return nil
	}
	return CheckRatio(model.Config(), spec)
}

// unprunable is the error for a ratio of a model that cannot be pruned, only served.
type unprunable struct{ reason, ratio error }

// Error implements error.
func (u *unprunable) Error() string { return u.reason.Error() }

// Unwrap returns the reason and the *prune.RatioError.
func (u *unprunable) Unwrap() []error { return []error{u.reason, u.ratio} }

// LargestRatio returns the largest ratio that the model can reach. It is rounded down to three decimals.
func LargestRatio(config models.Config, spec Spec) float64 {
	const beyondAll = 0.999999
	var refused *prune.RatioError
	if errors.As(CheckRatio(config, spec.At(beyondAll)), &refused) {
		return math.Floor(1000*refused.Largest) / 1000
	}
	return 0
}

// CheckRatio returns an error that wraps a *prune.RatioError if the model cannot reach the spec's ratio. It needs no
// scores.
func CheckRatio(config models.Config, spec Spec) error {
	if config.Layers == 0 { // a model that cannot be pruned, only served
		return &prune.RatioError{Ratio: spec.Ratio, Budget: spec.Budget}
	}
	equal := make([][]float32, config.Layers)
	for layer, width := range config.FFN {
		equal[layer] = make([]float32, width)
	}
	_, err := prune.MakePlanInSteps(config, equal, spec.Ratio, spec.Budget, spec.step())
	return err
}
