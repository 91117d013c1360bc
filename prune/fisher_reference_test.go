package prune_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// oneLayer is the MLP and the head of a model with one layer, in float64, on one sequence. In such a model a token's
// activations affect only its own logits. The MLP's inputs come from the float32 graph.
type oneLayer struct {
	config                           models.Config
	gate, up, down, norm, last, head []float64
	mid                              [][]float64 // inputs of the MLP's norm, [tokens][e]
}

func newOneLayer(t *testing.T, model models.Weights, tokens []int32) *oneLayer {
	t.Helper()
	c := model.Config()
	read := func(role models.Role) []float64 {
		values, _, err := model.Tensor(role, 0)
		if err != nil {
			t.Fatal(err)
		}
		return doubles(values)
	}
	m := &oneLayer{config: c, gate: read(models.FFNGate), up: read(models.FFNUp), down: read(models.FFNDown),
		norm: read(models.FFNNorm), last: read(models.OutputNorm), head: read(models.TokenEmbedding)}
	if !c.TiedEmbeddings {
		m.head = read(models.Output)
	}
	// Without the MLP, the states at the head equal those at the MLP.
	silent := changed{model, func(role models.Role, _ int, values []float32, _ []int) {
		if role == models.FFNDown {
			clear(values)
		}
	}}
	backend := goBackend(t)
	graph, err := llama.New(backend, c)
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	head, err := graph.LoadHead(silent, llama.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Release()
	hidden, err := llama.Hidden(t.Context(), graph, head, silent, [][]int32{tokens}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for row := range slices.Chunk(hidden[0], c.HiddenSize) {
		m.mid = append(m.mid, doubles(row))
	}
	return m
}

func doubles(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// times multiplies a matrix, float64[rows, len(x)], by x.
func times(matrix, x []float64) []float64 {
	out := make([]float64, len(matrix)/len(x))
	for row := range out {
		for i, v := range x {
			out[row] += matrix[row*len(x)+i] * v
		}
	}
	return out
}

// rms returns the factor of an RMS norm.
func (m *oneLayer) rms(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return 1 / math.Sqrt(sum/float64(len(x))+m.config.RMSEpsilon)
}

// token computes the forward pass of one token.
func (m *oneLayer) token(t int) (activation, x, probabilities []float64) {
	mid := m.mid[t]
	in, r := make([]float64, len(mid)), m.rms(mid)
	for i, v := range mid {
		in[i] = v * r * m.norm[i]
	}
	activation = times(m.gate, in)
	for i, u := range times(m.up, in) {
		activation[i] *= u / (1 + math.Exp(-activation[i]))
	}
	x = times(m.down, activation)
	out, sum := make([]float64, len(x)), 0.0
	for i := range x {
		x[i] += mid[i]
	}
	r = m.rms(x)
	for i, v := range x {
		out[i] = v * r * m.last[i]
	}
	probabilities = times(m.head, out)
	top := slices.Max(probabilities)
	for v, logit := range probabilities {
		probabilities[v] = math.Exp(logit - top)
		sum += probabilities[v]
	}
	for v := range probabilities {
		probabilities[v] /= sum
	}
	return activation, x, probabilities
}

// squares returns (activation * d log p(label) / d activation)^2 of each neuron.
func (m *oneLayer) squares(activation, x, probabilities []float64, label int) []float64 {
	e := len(x)
	g := slices.Clone(m.head[label*e : (label+1)*e])
	for v, p := range probabilities {
		for i := range g {
			g[i] -= p * m.head[v*e+i]
		}
	}
	r, dot := m.rms(x), 0.0
	for i := range g {
		g[i] *= m.last[i]
		dot += g[i] * x[i]
	}
	for i := range g {
		g[i] = g[i]*r - x[i]*dot*r*r*r/float64(e)
	}
	out := make([]float64, len(activation))
	for i, row := range g {
		for f := range out {
			out[f] += m.down[i*len(out)+f] * row
		}
	}
	for f, a := range activation {
		out[f] = a * a * out[f] * out[f]
	}
	return out
}

// drawLabel inverts the distribution function.
func drawLabel(probabilities []float64, uniform float64) int {
	sum := 0.0
	for v, p := range probabilities {
		if sum += p; uniform < sum {
			return v
		}
	}
	return len(probabilities) - 1
}

func secondOrder(t *testing.T, model models.Weights, sequences [][]int32, seed uint64) *prune.Scores {
	t.Helper()
	recipe := recipeFor(prune.SDM2)
	recipe.Seed = seed
	scores, err := prune.Score(t.Context(), goBackend(t), model, sequences, recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	return scores
}

// TestSecondOrderWithTheSameLabels compares a score and its losses with a reference that draws the same labels.
func TestSecondOrderWithTheSameLabels(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{Layers: 1})
	const seed = 7
	want := make([]float64, model.Config().FFN[0])
	scores := secondOrder(t, model, tinySequences, seed)
	for i, tokens := range tinySequences {
		m, source, loss := newOneLayer(t, model, tokens), rand.NewPCG(seed, uint64(i)), 0.0
		for token := range tokens {
			activation, x, p := m.token(token)
			label := drawLabel(p, float64(source.Uint64()>>40)/(1<<24))
			loss -= math.Log(p[label]) / float64(len(tokens))
			for f, square := range m.squares(activation, x, p, label) {
				want[f] += 100 * square // the factor of all scores
			}
		}
		if got := scores.Loss1[i].CrossEntropy; math.Abs(got-loss) > 1e-4*loss { // float32 logits
			t.Errorf("sequence %d loses %g, want %g", i, got, loss)
		}
	}
	for f, got := range scores.Stage2[0] {
		if math.Abs(float64(got)-want[f]) > 2e-3*want[f]+1e-7 { // float32 gradients, squared
			t.Errorf("neuron %d scores %g, want %g", f, got, want[f])
		}
	}
}

// TestSecondOrderIsTheFisherMatrix checks that the mean over many draws equals the diagonal of the exact Fisher matrix, which
// is the sum over all labels weighted by probability. The tolerance is five standard errors, computed by the reference.
func TestSecondOrderIsTheFisherMatrix(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{Layers: 1})
	const seeds, copies = 4, 250
	tokens := []int32{17, 42, 99, 7}
	var sequences [][]int32
	for range copies {
		sequences = append(sequences, tokens) // each has its own draws
	}
	width := model.Config().FFN[0]
	mean, exact, variance := make([]float64, width), make([]float64, width), make([]float64, width)
	for seed := range uint64(seeds) {
		for f, score := range secondOrder(t, model, sequences, seed).Stage2[0] {
			mean[f] += float64(score) / (100 * seeds * copies)
		}
	}
	m := newOneLayer(t, model, tokens)
	for token := range tokens {
		activation, x, p := m.token(token)
		first, second := make([]float64, width), make([]float64, width)
		for label, share := range p {
			for f, square := range m.squares(activation, x, p, label) {
				first[f] += share * square
				second[f] += share * square * square
			}
		}
		for f := range exact {
			exact[f] += first[f]
			variance[f] += second[f] - first[f]*first[f]
		}
	}
	for f := range exact {
		err := math.Sqrt(variance[f] / (seeds * copies))
		if math.Abs(mean[f]-exact[f]) > 5*err+1e-3*exact[f] {
			t.Errorf("neuron %d: %d draws give %g on average, the Fisher matrix has %g, standard error %g", f, seeds*copies, mean[f], exact[f], err)
		}
	}
}

// The seed determines the draws: the same seed gives the same bytes, another seed other scores. Neither later sequences nor
// groups change them.
func TestSecondOrderIsSeeded(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	first := secondOrder(t, model, tinySequences, 1)
	if !bytes.Equal(scoreBytes(t, first), scoreBytes(t, secondOrder(t, model, tinySequences, 1))) {
		t.Error("one seed gave different scores")
	}
	if bytes.Equal(scoreBytes(t, first), scoreBytes(t, secondOrder(t, model, tinySequences, 2))) {
		t.Error("two seeds gave the same scores")
	}
	if got, want := fmt.Sprint(secondOrder(t, model, tinySequences[:2], 1).Loss1), fmt.Sprint(first.Loss1[:2]); got != want {
		t.Errorf("losses of the first sequences are %s, with one more sequence after them %s", got, want)
	}
}
