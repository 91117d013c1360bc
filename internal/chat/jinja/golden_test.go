package jinja

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is what Jinja2 renders for a conversation. scripts/check/chat-goldens wrote it.
type outcome struct {
	Want   string  `json:"want"`
	Raised *string `json:"raised"` // message of raise_exception
	Error  *string `json:"error"`  // any other error of Jinja2 or Python
}

// check compares a rendering with the outcome, including Jinja2's message for an undefined value.
func (o outcome) check(t *testing.T, got string, err error) {
	t.Helper()
	var raised *RaisedError
	var undefined *UndefinedError
	switch {
	case o.Raised != nil:
		if !errors.As(err, &raised) || raised.Message != *o.Raised {
			t.Errorf("Render() = %.100q, %v, want it to raise %q", got, err, *o.Raised)
		}
	case o.Error != nil:
		message, isUndefined := strings.CutPrefix(*o.Error, "UndefinedError: ")
		switch {
		case err == nil || errors.As(err, &raised):
			t.Errorf("Render() = %.100q, %v, want the error %s", got, err, *o.Error)
		case isUndefined && (!errors.As(err, &undefined) || undefined.Message != message):
			t.Errorf("Render() = %v, want the error %s", err, *o.Error)
		}
	case err != nil:
		t.Errorf("Render() = %v, want %.200q", err, o.Want)
	default:
		if diff := cmp.Diff(o.Want, got); diff != "" {
			t.Errorf("differs from Jinja2 (-want +got):\n%s", diff)
		}
	}
}

// render renders messages like transformers, on a fixed day.
func render(source string, variables map[string]any) (string, error) {
	template, err := New(source)
	if err != nil {
		return "", err
	}
	template.Now = func() time.Time { return time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC) }
	all := map[string]any{"bos_token": "<s>", "eos_token": "</s>", "tools": nil, "documents": nil}
	for name, v := range variables {
		all[name] = v
	}
	return template.Render(all)
}

// TestPublicTemplates compares renderings of the templates that llama.cpp collects with those of Python's Jinja2,
// including errors.
func TestPublicTemplates(t *testing.T) {
	file, err := os.Open("testdata/public.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var goldens struct {
		Templates map[string]string
		Chats     map[string]struct {
			Messages, Tools json.RawMessage
			Add             *bool
		}
		Cases []struct {
			Template, Chat string
			outcome
		}
	}
	if err := json.NewDecoder(unzipped).Decode(&goldens); err != nil {
		t.Fatal(err)
	}
	for _, c := range goldens.Cases {
		t.Run(c.Template+"/"+c.Chat, func(t *testing.T) {
			chat := goldens.Chats[c.Chat]
			variables := map[string]any{"messages": chat.Messages, "add_generation_prompt": chat.Add == nil || *chat.Add}
			if chat.Tools != nil {
				variables["tools"] = chat.Tools
			}
			got, err := render(goldens.Templates[c.Template], variables)
			c.check(t, got, err)
		})
	}
}

// TestAgainstJinja compares renderings of the templates in testdata with those of Python's Jinja2.
func TestAgainstJinja(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template string          `json:"template"`
		Chat     string          `json:"chat"`
		Add      bool            `json:"add_generation_prompt"`
		Messages json.RawMessage `json:"messages"`
		Tools    json.RawMessage `json:"tools"`
		outcome
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		name := strings.Join([]string{c.Template, c.Chat, map[bool]string{true: "add", false: "plain"}[c.Add]}, "/")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join("testdata", c.Template))
			if err != nil {
				t.Fatal(err)
			}
			variables := map[string]any{"messages": c.Messages, "add_generation_prompt": c.Add}
			if c.Tools != nil {
				variables["tools"] = c.Tools
			}
			got, err := render(string(source), variables)
			c.check(t, got, err)
		})
	}
}

// TestSnippets compares operators, filters, tests, methods and tags with Jinja2's, in valid and invalid use.
func TestSnippets(t *testing.T) {
	raw, err := os.ReadFile("testdata/snippets.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Source string
		outcome
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Source, func(t *testing.T) {
			got, err := render(c.Source, nil)
			c.check(t, got, err)
		})
	}
}
