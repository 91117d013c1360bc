package program

import (
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// Client returns a client of a server that never retries.
func Client(base string, options ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(base + "/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0),
	}, options...)...)
}

// Question returns a request for a short answer that is the same every time.
func Question(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:     model,
		Messages:  []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Name three colours.")},
		MaxTokens: openai.Int(24),
		Seed:      openai.Int(7),
	}
}
