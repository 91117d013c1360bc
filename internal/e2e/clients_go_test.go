package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// goCases has the cases of clients/cases.txt with openai-go.
type goCases struct {
	*testing.T
	client, limited openai.Client
}

type object = map[string]any

var (
	weatherParameters = object{
		"type":       "object",
		"properties": object{"city": object{"type": "string", "maxLength": 12}, "unit": object{"type": "string", "enum": []string{"C", "F"}}},
		"required":   []string{"city", "unit"}, "additionalProperties": false,
	}
	weatherTool = openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("The weather in a city"), Parameters: weatherParameters, Strict: openai.Bool(true),
	})
	clockTool    = openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_time"})
	personSchema = object{
		"type":       "object",
		"properties": object{"name": object{"type": "string", "maxLength": 12}, "age": object{"type": "integer", "minimum": 0, "maximum": 120}},
		"required":   []string{"name", "age"}, "additionalProperties": false,
	}
)

func runGoCases(t *testing.T, at clientEnv, want []string) {
	newClient := func(base string) openai.Client {
		return openai.NewClient(option.WithBaseURL(base), option.WithAPIKey("k-go"), option.WithMaxRetries(0))
	}
	all := map[string]func(*goCases){
		"models.list": (*goCases).modelsList, "models.retrieve": (*goCases).modelsRetrieve, "chat": (*goCases).chatPlain,
		"chat.parts": (*goCases).chatParts, "chat.developer": (*goCases).chatDeveloper, "chat.stream": (*goCases).chatStream,
		"chat.n": (*goCases).chatN, "chat.seed": (*goCases).chatSeed, "chat.stop": (*goCases).chatStop, "chat.length": (*goCases).chatLength,
		"chat.sampling": (*goCases).chatSampling, "chat.logit_bias": (*goCases).chatLogitBias, "chat.logprobs": (*goCases).chatLogprobs,
		"chat.metadata": (*goCases).chatMetadata, "chat.extensions": (*goCases).chatExtensions, "chat.grammar": (*goCases).chatGrammar,
		"chat.json_object": (*goCases).chatJSONObject, "chat.json_schema": (*goCases).chatJSONSchema,
		"tools.required": (*goCases).toolsRequired, "tools.named": (*goCases).toolsNamed, "tools.none": (*goCases).toolsNone,
		"tools.parallel": (*goCases).toolsParallel, "tools.result": (*goCases).toolsResult, "tools.stream": (*goCases).toolsStream,
		"completions": (*goCases).completions, "completions.stream": (*goCases).completionsStream, "completions.echo": (*goCases).completionsEcho,
		"embeddings.float": (*goCases).embeddingsFloat, "embeddings.base64": (*goCases).embeddingsBase64,
		"responses": (*goCases).responses, "responses.stream": (*goCases).responsesStream, "responses.tools": (*goCases).responsesTools,
		"responses.json_schema": (*goCases).responsesJSONSchema,
		"error.401":             (*goCases).error401, "error.404": (*goCases).error404, "error.400": (*goCases).error400, "error.context": (*goCases).errorContext,
		"error.schema": (*goCases).errorSchema, "error.image": (*goCases).errorImage, "error.413": (*goCases).error413, "error.429": (*goCases).error429,
	}
	if len(all) != len(want) {
		t.Errorf("%d cases, want %d", len(all), len(want))
	}
	for _, name := range want {
		t.Run(name, func(t *testing.T) {
			run, ok := all[name]
			if !ok {
				t.Fatal("openai-go has no such case")
			}
			run(&goCases{T: t, client: newClient(at.base), limited: newClient(at.limited)})
		})
	}
}

func (g *goCases) params(change ...func(*openai.ChatCompletionNewParams)) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{
		Model: name, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Name three colours.")},
		MaxTokens: openai.Int(16), Seed: openai.Int(7),
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func (g *goCases) chat(change ...func(*openai.ChatCompletionNewParams)) *openai.ChatCompletion {
	g.Helper()
	return g.chatWith(nil, change...)
}

func (g *goCases) chatWith(options []option.RequestOption, change ...func(*openai.ChatCompletionNewParams)) *openai.ChatCompletion {
	g.Helper()
	answer, err := g.client.Chat.Completions.New(g.Context(), g.params(change...), options...)
	if err != nil {
		g.Fatal(err)
	}
	return answer
}

func (g *goCases) require(ok bool, format string, args ...any) {
	g.Helper()
	if !ok {
		g.Fatalf(format, args...)
	}
}

func (g *goCases) said(answer *openai.ChatCompletion) {
	g.Helper()
	g.require(answer.Choices[0].Message.Content != "", "no content: %s", answer.RawJSON())
}

func (g *goCases) fits(raw string, members ...string) object {
	g.Helper()
	var value object
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		g.Fatalf("%q: %v", raw, err)
	}
	for _, member := range members {
		g.require(value[member] != nil, "%s lacks %s", raw, member)
	}
	g.require(len(value) == len(members), "%s has more than %q", raw, members)
	return value
}

func (g *goCases) refused(err error, status int, field, code string) *openai.Error {
	g.Helper()
	var refused *openai.Error
	if !errors.As(err, &refused) {
		g.Fatalf("error = %v, want an *openai.Error", err)
	}
	g.require(refused.StatusCode == status && (field == "" || refused.Param == field) && (code == "" || refused.Code == code),
		"refused with %d, %q, %q", refused.StatusCode, refused.Param, refused.Code)
	return refused
}

func (g *goCases) modelsList() {
	page, err := g.client.Models.List(g.Context())
	g.require(err == nil && strings.HasPrefix(page.Data[0].ID, name), "%+v, %v", page, err)
}

func (g *goCases) modelsRetrieve() {
	model, err := g.client.Models.Get(g.Context(), name+"@0")
	g.require(err == nil && model.ID == name+"@0", "%+v, %v", model, err)
}

func (g *goCases) chatPlain() {
	var http *http.Response
	answer := g.chatWith([]option.RequestOption{option.WithResponseInto(&http)}, func(p *openai.ChatCompletionNewParams) {
		p.MaxTokens, p.MaxCompletionTokens = param.Opt[int64]{}, openai.Int(16)
	})
	g.said(answer)
	g.require(answer.Model == name+"@0" && http.Header.Get("x-prunellm-variant") == answer.Model, "model %s", answer.Model)
	g.require(answer.Usage.TotalTokens == answer.Usage.PromptTokens+answer.Usage.CompletionTokens && answer.Created > 0 &&
		strings.Contains(answer.RawJSON(), `"system_fingerprint":"`), "%s", answer.RawJSON())
}

func (g *goCases) chatParts() {
	g.said(g.chat(func(p *openai.ChatCompletionNewParams) {
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("Name three"), openai.TextContentPart("colours."),
		})}
	}))
}

func (g *goCases) chatDeveloper() {
	g.said(g.chat(func(p *openai.ChatCompletionNewParams) {
		p.Messages = append([]openai.ChatCompletionMessageParamUnion{openai.DeveloperMessage("Be brief.")}, p.Messages...)
	}))
}

func (g *goCases) chatStream() {
	params := g.params()
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	sum := g.accumulate(params)
	want := g.chat().Choices[0].Message.Content
	g.require(sum.Choices[0].Message.Content == want && sum.Usage.CompletionTokens > 0, "stream %q, want %q", sum.Choices[0].Message.Content, want)
}

func (g *goCases) accumulate(params openai.ChatCompletionNewParams) openai.ChatCompletionAccumulator {
	g.Helper()
	stream := g.client.Chat.Completions.NewStreaming(g.Context(), params)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		g.require(sum.AddChunk(stream.Current()), "chunk %s does not fit", stream.Current().RawJSON())
	}
	if err := stream.Err(); err != nil {
		g.Fatal(err)
	}
	return sum
}

func (g *goCases) chatN() {
	answer := g.chat(func(p *openai.ChatCompletionNewParams) { p.N, p.Temperature = openai.Int(3), openai.Float(1.5) })
	texts := map[string]bool{}
	for _, choice := range answer.Choices {
		texts[choice.Message.Content] = true
	}
	g.require(len(answer.Choices) == 3 && len(texts) > 1 && answer.Usage.CompletionTokens > 16, "%s", answer.RawJSON())
}

func (g *goCases) chatSeed() {
	warm := func(p *openai.ChatCompletionNewParams) { p.Temperature = openai.Float(1) }
	a, b := g.chat(warm).Choices[0].Message.Content, g.chat(warm).Choices[0].Message.Content
	g.require(a == b, "%q and %q", a, b)
}

func (g *goCases) chatStop() {
	cold := func(p *openai.ChatCompletionNewParams) { p.Temperature = openai.Float(0) }
	whole := g.chat(cold).Choices[0].Message.Content
	stop := whole[8:12]
	cut := g.chat(cold, func(p *openai.ChatCompletionNewParams) {
		p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{stop}}
	}).Choices[0]
	g.require(cut.Message.Content == whole[:strings.Index(whole, stop)] && cut.FinishReason == "stop", "%q of %q", cut.Message.Content, whole)
}

func (g *goCases) chatLength() {
	answer := g.chat(func(p *openai.ChatCompletionNewParams) { p.MaxTokens = openai.Int(3) })
	g.require(answer.Choices[0].FinishReason == "length" && answer.Usage.CompletionTokens == 3, "%s", answer.RawJSON())
}

func (g *goCases) chatSampling() {
	g.said(g.chat(func(p *openai.ChatCompletionNewParams) {
		p.Temperature, p.TopP = openai.Float(0.7), openai.Float(0.9)
		p.PresencePenalty, p.FrequencyPenalty = openai.Float(0.5), openai.Float(-0.5)
	}))
}

func (g *goCases) chatLogitBias() {
	answer := g.chat(func(p *openai.ChatCompletionNewParams) {
		p.LogitBias, p.MaxTokens = map[string]int64{"198": 100}, openai.Int(3) // token 198 is a line break
	})
	g.require(answer.Choices[0].Message.Content == "\n\n\n", "%q", answer.Choices[0].Message.Content)
}

func (g *goCases) chatLogprobs() {
	answer := g.chat(func(p *openai.ChatCompletionNewParams) { p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(3) })
	tokens := answer.Choices[0].Logprobs.Content
	g.require(len(tokens) > 0, "no tokens")
	for _, token := range tokens {
		g.require(len(token.TopLogprobs) == 3 && token.Logprob <= 0, "token %+v", token)
	}
}

func (g *goCases) chatMetadata() {
	g.said(g.chat(func(p *openai.ChatCompletionNewParams) {
		p.Metadata, p.User = shared.Metadata{"a": "b"}, openai.String("somebody")
	}))
}

func (g *goCases) chatExtensions() {
	answer := g.chatWith([]option.RequestOption{
		option.WithJSONSet("top_k", 5), option.WithJSONSet("min_p", 0.05), option.WithJSONSet("repetition_penalty", 1.1), option.WithJSONSet("ignore_eos", true),
	})
	g.require(answer.Usage.CompletionTokens == 16, "%d tokens", answer.Usage.CompletionTokens)
}

func (g *goCases) chatGrammar() {
	answer := g.chatWith([]option.RequestOption{option.WithJSONSet("grammar", `root ::= "yes" | "no"`)})
	text := answer.Choices[0].Message.Content
	g.require(text == "yes" || text == "no", "%q", text)
}

func (g *goCases) chatJSONObject() {
	answer := g.chat(func(p *openai.ChatCompletionNewParams) {
		p.MaxTokens, p.Temperature = openai.Int(200), openai.Float(0)
		p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONObject: &shared.ResponseFormatJSONObjectParam{}}
	}).Choices[0]
	g.require(strings.HasPrefix(strings.TrimSpace(answer.Message.Content), "{"), "%q", answer.Message.Content)
	g.require(answer.FinishReason != "stop" || json.Valid([]byte(answer.Message.Content)), "%q", answer.Message.Content)
}

func chatSchema(schema any) func(*openai.ChatCompletionNewParams) {
	return func(p *openai.ChatCompletionNewParams) {
		p.MaxTokens = openai.Int(100)
		p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Strict: openai.Bool(true), Schema: schema},
		}}
	}
}

func (g *goCases) chatJSONSchema() {
	g.fits(g.chat(chatSchema(personSchema)).Choices[0].Message.Content, "name", "age")
}

func tools(mode string, parallel bool, tools ...openai.ChatCompletionToolUnionParam) func(*openai.ChatCompletionNewParams) {
	return func(p *openai.ChatCompletionNewParams) {
		p.Tools, p.MaxTokens, p.ParallelToolCalls = tools, openai.Int(150), openai.Bool(parallel)
		p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String(mode)}
	}
}

func (g *goCases) weather(message openai.ChatCompletionMessage) {
	g.Helper()
	g.require(len(message.ToolCalls) > 0, "no calls: %s", message.RawJSON())
	ids := map[string]bool{}
	for _, call := range message.ToolCalls {
		g.require(!ids[call.ID] && call.ID != "", "id %q", call.ID)
		ids[call.ID] = true
	}
	g.require(message.ToolCalls[0].Function.Name == "get_weather", "%s", message.RawJSON())
	g.fits(message.ToolCalls[0].Function.Arguments, "city", "unit")
}

func (g *goCases) toolsRequired() {
	choice := g.chat(tools("required", false, weatherTool)).Choices[0]
	g.require(choice.FinishReason == "tool_calls" && choice.Message.Content == "" && len(choice.Message.ToolCalls) == 1, "%s", choice.RawJSON())
	g.weather(choice.Message)
}

func (g *goCases) toolsNamed() {
	g.weather(g.chat(tools("auto", false, clockTool, weatherTool), func(p *openai.ChatCompletionNewParams) {
		p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"})
	}).Choices[0].Message)
}

func (g *goCases) toolsNone() {
	choice := g.chat(tools("none", true, weatherTool), func(p *openai.ChatCompletionNewParams) { p.MaxTokens = openai.Int(16) }).Choices[0]
	g.require(choice.Message.Content != "" && len(choice.Message.ToolCalls) == 0, "%s", choice.RawJSON())
}

func (g *goCases) toolsParallel() {
	g.weather(g.chat(tools("required", true, weatherTool)).Choices[0].Message)
}

func (g *goCases) toolsResult() {
	answer := g.chat(tools("auto", true, weatherTool), func(p *openai.ChatCompletionNewParams) {
		p.MaxTokens = openai.Int(16)
		p.Messages = append(p.Messages, openai.ChatCompletionMessageParamUnion{OfAssistant: &openai.ChatCompletionAssistantMessageParam{
			ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID: "call_1", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "get_weather", Arguments: `{"city": "Rome", "unit": "C"}`},
			}}},
		}}, openai.ToolMessage("21 degrees", "call_1"))
	})
	g.require(answer.Choices[0].Message.Role == "assistant", "%s", answer.RawJSON())
}

func (g *goCases) toolsStream() {
	sum := g.accumulate(g.params(tools("required", false, weatherTool)))
	g.require(sum.Choices[0].FinishReason == "tool_calls" && len(sum.Choices[0].Message.ToolCalls) == 1, "%+v", sum.Choices[0])
	g.weather(sum.Choices[0].Message)
}

func (g *goCases) completion(p openai.CompletionNewParams) *openai.Completion {
	g.Helper()
	answer, err := g.client.Completions.New(g.Context(), p)
	if err != nil {
		g.Fatal(err)
	}
	return answer
}

func counting() openai.CompletionNewParams {
	return openai.CompletionNewParams{
		Model: name, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("One, two,")}, MaxTokens: openai.Int(8), Seed: openai.Int(7),
	}
}

func (g *goCases) completions() {
	p := counting()
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"One, two,", "Red, green,"}}
	answer := g.completion(p)
	g.require(len(answer.Choices) == 2 && answer.Choices[1].Index == 1 && answer.Choices[1].Text != "", "%s", answer.RawJSON())
}

func (g *goCases) completionsStream() {
	stream := g.client.Completions.NewStreaming(g.Context(), counting())
	text := ""
	for stream.Next() {
		text += stream.Current().Choices[0].Text
	}
	want := g.completion(counting()).Choices[0].Text
	g.require(stream.Err() == nil && text == want, "%q, %v, want %q", text, stream.Err(), want)
}

func (g *goCases) completionsEcho() {
	p := counting()
	p.Echo, p.Logprobs, p.MaxTokens = openai.Bool(true), openai.Int(1), openai.Int(0)
	choice := g.completion(p).Choices[0]
	g.require(choice.Text == "One, two," && strings.Join(choice.Logprobs.Tokens, "") == choice.Text && len(choice.Logprobs.TokenLogprobs) == len(choice.Logprobs.Tokens),
		"%s", choice.RawJSON())
}

func (g *goCases) embed(p openai.EmbeddingNewParams) *openai.CreateEmbeddingResponse {
	g.Helper()
	p.Model = name
	answer, err := g.client.Embeddings.New(g.Context(), p)
	if err != nil {
		g.Fatal(err)
	}
	return answer
}

func (g *goCases) embeddingsFloat() {
	answer := g.embed(openai.EmbeddingNewParams{Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"red", "blue"}}})
	sum := 0.0
	for _, x := range answer.Data[0].Embedding {
		sum += x * x
	}
	g.require(len(answer.Data) == 2 && math.Abs(sum-1) < 1e-3, "%d vectors, length^2 %g", len(answer.Data), sum)
}

func (g *goCases) embeddingsBase64() {
	input := openai.EmbeddingNewParamsInputUnion{OfString: openai.String("red")}
	plain := g.embed(openai.EmbeddingNewParams{Input: input}).Data[0].Embedding
	// The client has no type for base64.
	var packed struct{ Data []struct{ Embedding string } }
	err := g.client.Post(g.Context(), "embeddings", object{"model": name, "input": "red", "encoding_format": "base64"}, &packed)
	if err != nil {
		g.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(packed.Data[0].Embedding)
	g.require(err == nil && len(raw) == 4*len(plain), "%d bytes for %d numbers, %v", len(raw), len(plain), err)
	for i, want := range plain {
		got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		g.require(got == float32(want), "element %d is %g, want %g", i, got, want)
	}
}

func (g *goCases) respond(p responses.ResponseNewParams) *responses.Response {
	g.Helper()
	answer, err := g.client.Responses.New(g.Context(), p)
	if err != nil {
		g.Fatal(err)
	}
	return answer
}

func asking(text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: name, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}, MaxOutputTokens: openai.Int(16),
	}
}

func (g *goCases) responses() {
	p := asking("Name three colours.")
	p.Instructions = openai.String("Be brief.")
	answer := g.respond(p)
	g.require(answer.OutputText() != "" && answer.Usage.TotalTokens > 16, "%s", answer.RawJSON())
}

func (g *goCases) responsesStream() {
	stream := g.client.Responses.NewStreaming(g.Context(), asking("Name three colours."))
	text, first := "", ""
	var last responses.ResponseStreamEventUnion
	for stream.Next() {
		last = stream.Current()
		if first == "" {
			first = last.Type
		}
		if last.Type == "response.output_text.delta" {
			text += last.Delta
		}
	}
	g.require(stream.Err() == nil && first == "response.created" && text != "" && last.Response.OutputText() == text, "%q, %v", text, stream.Err())
}

func (g *goCases) responsesTools() {
	p := asking("Weather in Rome?")
	p.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{Name: "get_weather", Parameters: weatherParameters, Strict: openai.Bool(true)}}}
	p.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{OfToolChoiceMode: openai.Opt(responses.ToolChoiceOptionsRequired)}
	p.ParallelToolCalls, p.MaxOutputTokens = openai.Bool(false), openai.Int(100)
	answer := g.respond(p)
	call := answer.Output[0].AsFunctionCall()
	g.require(call.Name == "get_weather", "%s", answer.RawJSON())
	g.fits(call.Arguments, "city", "unit")
	output := responses.ResponseInputItemParamOfFunctionCallOutput("21")
	output.OfFunctionCallOutput.CallID = openai.String(call.CallID)
	p.ToolChoice, p.MaxOutputTokens = responses.ResponseNewParamsToolChoiceUnion{}, openai.Int(16)
	p.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
		responses.ResponseInputItemParamOfMessage("Weather in Rome?", responses.EasyInputMessageRoleUser),
		responses.ResponseInputItemParamOfFunctionCall(call.Arguments, call.CallID, call.Name),
		output,
	}}
	g.require(len(g.respond(p).Output) > 0, "no output")
}

func (g *goCases) responsesJSONSchema() {
	p := asking("Describe a person.")
	p.MaxOutputTokens = openai.Int(100)
	p.Text = responses.ResponseTextConfigParam{Format: responses.ResponseFormatTextConfigUnionParam{
		OfJSONSchema: &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "person", Schema: personSchema, Strict: openai.Bool(true)},
	}}
	g.fits(g.respond(p).OutputText(), "name", "age")
}

func (g *goCases) error401() {
	_, err := g.client.Models.List(g.Context(), option.WithAPIKey("wrong"))
	g.refused(err, http.StatusUnauthorized, "", "invalid_api_key")
}

// refuse sends a chat request that the server must refuse, and returns the error.
func (g *goCases) refuse(change func(*openai.ChatCompletionNewParams)) error {
	_, err := g.client.Chat.Completions.New(g.Context(), g.params(change))
	return err
}

func (g *goCases) error404() {
	g.refused(g.refuse(func(p *openai.ChatCompletionNewParams) { p.Model = "gpt-x" }), http.StatusNotFound, "model", "model_not_found")
}

func (g *goCases) error400() {
	g.refused(g.refuse(func(p *openai.ChatCompletionNewParams) { p.Temperature = openai.Float(3) }), http.StatusBadRequest, "temperature", "")
}

func (g *goCases) errorContext() {
	g.refused(g.refuse(func(p *openai.ChatCompletionNewParams) {
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("word ", 5000))}
	}), http.StatusBadRequest, "messages", "context_length_exceeded")
}

func (g *goCases) errorSchema() {
	schema := object{"type": "object", "properties": object{"a": object{"$ref": "#/nowhere"}}, "required": []string{"a"}}
	g.refused(g.refuse(chatSchema(schema)), http.StatusBadRequest, "response_format", "invalid_json_schema")
}

func (g *goCases) errorImage() {
	g.refused(g.refuse(func(p *openai.ChatCompletionNewParams) {
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64,AA=="}),
		})}
	}), http.StatusBadRequest, "messages[0].content[0].type", "")
}

func (g *goCases) error413() {
	g.refused(g.refuse(func(p *openai.ChatCompletionNewParams) {
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("x", 9<<20))}
	}), http.StatusRequestEntityTooLarge, "", "request_too_large")
}

func (g *goCases) error429() {
	one := g.params(func(p *openai.ChatCompletionNewParams) { p.MaxTokens = openai.Int(1) })
	if _, err := g.limited.Chat.Completions.New(g.Context(), one); err != nil {
		g.Fatal(err)
	}
	_, err := g.limited.Chat.Completions.New(g.Context(), one)
	refused := g.refused(err, http.StatusTooManyRequests, "", "rate_limit_exceeded")
	var seconds int
	_, err = fmt.Sscan(refused.Response.Header.Get("Retry-After"), &seconds)
	g.require(err == nil && seconds >= 1, "Retry-After %q", refused.Response.Header.Get("Retry-After"))
}
