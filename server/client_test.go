package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

	"prunellm/infer"
	"prunellm/openapi"
)

// officialClient returns OpenAI's own client, configured for the server.
func officialClient(s *testServer, key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0), option.WithHTTPClient(s.client))
}

func chatParams(content string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "tiny",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be nice"), openai.UserMessage(content)},
		Seed:     param.NewOpt[int64](7),
	}
}

func TestOfficialClient(t *testing.T) {
	fake := newFake()
	fake.answer = hello
	s := serve(t, fake, func(o *Options) { o.APIKeys = func() []string { return []string{"sk-test"} } })
	client := officialClient(s, "sk-test")

	params := chatParams("Hi")
	params.Logprobs = param.NewOpt(true)
	params.TopLogprobs = param.NewOpt[int64](2)
	chat, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if got := chat.Choices[0]; got.Message.Content != "Hello, wörld!" || got.FinishReason != "stop" || len(got.Logprobs.Content) != 14 || len(got.Logprobs.Content[0].TopLogprobs) != 2 {
		t.Errorf("choice %+v", got)
	}
	if chat.Model != "tiny@0.2" || chat.Usage.TotalTokens != chat.Usage.PromptTokens+15 {
		t.Errorf("chat %+v", chat)
	}

	params = chatParams("Hi")
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: param.NewOpt(true)}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	accumulated := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		if !accumulated.AddChunk(stream.Current()) {
			t.Errorf("the accumulator refused %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got := accumulated.Choices[0].Message.Content; got != "Hello, wörld!" || accumulated.Usage.CompletionTokens != 15 {
		t.Errorf("stream %q, usage %+v", got, accumulated.Usage)
	}

	completion, err := client.Completions.New(t.Context(), openai.CompletionNewParams{
		Model: "tiny", Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"a", "b"}}, Echo: param.NewOpt(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(completion.Choices) != 2 || completion.Choices[1].Text != "bHello, wörld!" {
		t.Errorf("completion %+v", completion)
	}

	models, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	model, err := client.Models.Get(t.Context(), "tiny@0.2")
	if err != nil {
		t.Fatal(err)
	}
	if models.Data[0].ID != "tiny@0.2" || model.ID != "tiny@0.2" {
		t.Errorf("models %+v, model %+v", models.Data, model)
	}
}

// TestOfficialClientErrors checks that errors arrive as the client's own error type.
func TestOfficialClientErrors(t *testing.T) {
	fake := newFake()
	fake.submit = func(r infer.Request) error {
		if strings.Contains(text(&fakeVariant{}, r.Prompt), "full") {
			return infer.ErrQueueFull
		}
		return nil
	}
	s := serve(t, fake, func(o *Options) { o.APIKeys = func() []string { return []string{"sk-test"} } })
	type seen struct {
		Status      int
		Param, Code string
	}
	ask := func(key, model, content string) seen {
		params := chatParams(content)
		params.Model = model
		client := officialClient(s, key)
		_, err := client.Chat.Completions.New(t.Context(), params)
		var refused *openai.Error
		if !errors.As(err, &refused) {
			t.Fatalf("New() = %v, want an *openai.Error", err)
		}
		return seen{refused.StatusCode, refused.Param, refused.Code}
	}
	tests := []struct {
		name                string
		key, model, content string
		want                seen
	}{
		{"wrong key", "sk-other", "tiny", "Hi", seen{401, "", openapi.CodeInvalidKey}},
		{"unknown model", "sk-test", "gpt-x", "Hi", seen{404, "model", openapi.CodeModelNotFound}},
		{"bad ratio", "sk-test", "tiny@1", "Hi", seen{400, "model", openapi.CodeInvalidRatio}},
		{"too long", "sk-test", "tiny", strings.Repeat("x", 300), seen{400, "messages", openapi.CodeContextLength}},
		{"full", "sk-test", "tiny", "full", seen{429, "", openapi.CodeQueueFull}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ask(test.key, test.model, test.content)); diff != "" {
				t.Errorf("error differs (-want +got):\n%s", diff)
			}
		})
	}
	client := officialClient(s, "sk-test")
	stream := client.Chat.Completions.NewStreaming(t.Context(), chatParams("full"))
	for stream.Next() {
		t.Error("a refused stream has chunks")
	}
	if err := stream.Err(); err == nil {
		t.Error("a refused stream has no error")
	}
}
