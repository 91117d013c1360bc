package quality

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"prunellm/infer"
)

// Limits of a task file.
const (
	MaxTaskBytes   = 256 << 20
	maxTaskLine    = 1 << 20
	maxTasks       = 1 << 17
	maxTaskChoices = 64
)

// Task is one multiple-choice question: which continuation of the context is right?
type Task struct {
	Context string   `json:"context"`
	Choices []string `json:"choices"`
	Label   int      `json:"label"` // index of the right choice
}

// ParseTasks reads JSON Lines: one object with context, choices and label per line. It ignores other members.
func ParseTasks(r io.Reader) ([]Task, error) {
	var tasks []Task
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTaskLine)
	for number := 1; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		task, err := parseTask(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if tasks = append(tasks, task); len(tasks) > maxTasks {
			return nil, fmt.Errorf("line %d: more than %d tasks", number, maxTasks)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d is longer than %d bytes", len(tasks)+1, maxTaskLine)
	}
	if lines.Err() != nil {
		return nil, lines.Err()
	}
	if len(tasks) == 0 {
		return nil, errors.New("the file has no tasks")
	}
	return tasks, nil
}

func parseTask(line []byte) (Task, error) {
	if !utf8.Valid(line) {
		return Task{}, errors.New("not UTF-8")
	}
	raw := struct {
		Context *string  `json:"context"`
		Choices []string `json:"choices"`
		Label   *int     `json:"label"`
	}{}
	if err := json.Unmarshal(line, &raw); err != nil {
		return Task{}, fmt.Errorf("not an object with context, choices and label: %w", err)
	}
	switch {
	case raw.Context == nil || *raw.Context == "":
		return Task{}, errors.New("context is missing or empty")
	case len(raw.Choices) < 2 || len(raw.Choices) > maxTaskChoices:
		return Task{}, fmt.Errorf("%d choices, but there must be 2 to %d", len(raw.Choices), maxTaskChoices)
	case raw.Label == nil || *raw.Label < 0 || *raw.Label >= len(raw.Choices):
		return Task{}, fmt.Errorf("label is missing or not an index of the %d choices", len(raw.Choices))
	}
	for i, choice := range append([]string{*raw.Context}, raw.Choices...) {
		if choice == "" || strings.ContainsRune(choice, 0) {
			return Task{}, fmt.Errorf("choice %d is empty, or a text contains a NUL character", i-1)
		}
	}
	return Task{Context: *raw.Context, Choices: raw.Choices, Label: *raw.Label}, nil
}

// TaskResult is a model's score on tasks. Standard errors are those of the mean: sqrt(p (1-p) / (n-1)).
type TaskResult struct {
	Tasks            int           `json:"tasks"`
	Accuracy         float64       `json:"accuracy"` // share of tasks whose right choice is the likeliest
	AccuracyStderr   float64       `json:"accuracy_stderr"`
	Normalized       float64       `json:"accuracy_normalized"` // the same by log likelihood per byte of the choice
	NormalizedStderr float64       `json:"accuracy_normalized_stderr"`
	Took             time.Duration `json:"-"` // spent in the decoder
}

// tokenTask is a task as tokens.
type tokenTask struct {
	choices [][]infer.Token // context and choice
	shared  []int           // tokens before the first scored one
	bytes   []int           // of each choice
	label   int
}

// TokenTasks holds the tokens of tasks in one vocabulary.
type TokenTasks struct {
	tasks   []tokenTask
	Longest int // number of tokens of the longest context with a choice
}

// TokenizeTasks tokenizes tasks. The score of a choice begins at the first token in which context plus choice differs from the
// context alone, so that a token across their border counts. If that is the very first token, TokenizeTasks inserts start before
// it, because a model needs one token of context. If start is -1, such a task is an error. If there are more than window tokens,
// the context loses its beginning.
func TokenizeTasks(tokenize func(text string, bos, special bool) ([]infer.Token, error), start infer.Token, tasks []Task, window int) (*TokenTasks, error) {
	out := &TokenTasks{}
	for i, task := range tasks {
		context, err := tokenize(task.Context, true, false)
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", i, err)
		}
		t := tokenTask{label: task.Label}
		for _, choice := range task.Choices {
			whole, err := tokenize(task.Context+choice, true, false)
			if err != nil {
				return nil, fmt.Errorf("task %d: %w", i, err)
			}
			shared := 0
			for shared < min(len(context), len(whole)-1) && context[shared] == whole[shared] {
				shared++
			}
			if shared == 0 {
				if start < 0 {
					return nil, fmt.Errorf("task %d: the first token of context and choice differs from the context's, and the vocabulary has no BOS token to put before it", i)
				}
				whole, shared = append([]infer.Token{start}, whole...), 1
			}
			if cut := len(whole) - window; cut > 0 {
				whole, shared = whole[cut:], shared-cut
			}
			if shared < 1 {
				return nil, fmt.Errorf("task %d: a choice of %d tokens leaves no room for its context in a window of %d", i, len(whole)-shared, window)
			}
			t.choices, t.shared, t.bytes = append(t.choices, whole), append(t.shared, shared), append(t.bytes, len(choice))
			out.Longest = max(out.Longest, len(whole))
		}
		out.tasks = append(out.tasks, t)
	}
	return out, nil
}

// MeasureTasks measures how often a model's likeliest choice is right. It calls done after each task; done may be nil.
func MeasureTasks(ctx context.Context, d infer.Decoder, tasks *TokenTasks, done func(tasks int)) (TaskResult, error) {
	right, normalized := 0, 0
	softmax := infer.NewSoftmax(d)
	var took time.Duration
	for i, task := range tasks.tasks {
		if err := ctx.Err(); err != nil {
			return TaskResult{}, err
		}
		started := time.Now()
		best, bestNormalized := 0, 0
		var top, topNormalized float64
		for c := range task.choices {
			log, err := likelihood(d, softmax, task.choices[c], task.shared[c])
			if err != nil {
				return TaskResult{}, fmt.Errorf("task %d: %w", i, err)
			}
			if math.IsNaN(log) {
				return TaskResult{}, errors.New("the model computed NaN or infinite logits")
			}
			each := log / float64(task.bytes[c])
			if c == 0 || log > top {
				best, top = c, log
			}
			if c == 0 || each > topNormalized {
				bestNormalized, topNormalized = c, each
			}
		}
		took += time.Since(started)
		if best == task.label {
			right++
		}
		if bestNormalized == task.label {
			normalized++
		}
		if done != nil {
			done(i + 1)
		}
	}
	r := TaskResult{Tasks: len(tasks.tasks), Took: took}
	r.Accuracy, r.AccuracyStderr = share(right, r.Tasks)
	r.Normalized, r.NormalizedStderr = share(normalized, r.Tasks)
	return r, nil
}

// share returns right/n and its standard error, 0 for a single task.
func share(right, n int) (mean, stderr float64) {
	mean = float64(right) / float64(n)
	if n > 1 {
		stderr = math.Sqrt(mean * (1 - mean) / float64(n-1))
	}
	return mean, stderr
}

// likelihood returns the sum of the log probabilities of the tokens from shared on, each given those before it.
func likelihood(d infer.Decoder, softmax *infer.Softmax, tokens []infer.Token, shared int) (float64, error) {
	if err := d.SequenceRemove(0, 0, -1); err != nil {
		return 0, err
	}
	sum := 0.0
	for from := 0; from < len(tokens); from += d.BatchSize() {
		part := tokens[from:min(from+d.BatchSize(), len(tokens))]
		entries := make([]infer.Entry, len(part))
		for i, token := range part {
			position := from + i
			entries[i] = infer.Entry{Token: token, Position: position, Logits: position >= shared-1 && position+1 < len(tokens)}
		}
		if err := d.Decode(entries); err != nil {
			return 0, err
		}
		for i, entry := range entries {
			if !entry.Logits {
				continue
			}
			logits := d.Logits(i)
			_, log, _ := logSumExp(softmax, logits)
			sum += float64(logits[tokens[from+i+1]]) - log
		}
	}
	return sum, nil
}
