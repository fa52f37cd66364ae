package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	sashabaranov "github.com/sashabaranov/go-openai"

	"github.com/socialrl/socialrl/policy"
)

// OpenAI's own Go client.
func TestOpenAIGoClient(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{APIKey: apiKey})
	ctx := context.Background()
	client := openai.NewClient(option.WithBaseURL(web.URL+"/v1"), option.WithAPIKey(apiKey), option.WithMaxRetries(0))
	models, err := client.Models.List(ctx)
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "tiny" {
		t.Fatalf("models %v, %v", models, err)
	}
	ask := openai.ChatCompletionNewParams{Model: "tiny", Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("Hi")},
		MaxCompletionTokens: openai.Int(12), Seed: openai.Int(7), N: openai.Int(2), Logprobs: openai.Bool(true), TopLogprobs: openai.Int(2)}
	whole, err := client.Chat.Completions.New(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 2 || whole.Usage.TotalTokens != whole.Usage.PromptTokens+whole.Usage.CompletionTokens || whole.Usage.CompletionTokens == 0 ||
		len(whole.Choices[0].Logprobs.Content) == 0 || len(whole.Choices[0].Logprobs.Content[0].TopLogprobs) != 2 {
		t.Errorf("reply %s", whole.RawJSON())
	}
	ask.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(ctx, ask)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Fatalf("chunk %s does not fit", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for i, c := range whole.Choices {
		if got := sum.Choices[i]; got.Message.Content != c.Message.Content || got.FinishReason != c.FinishReason {
			t.Errorf("choice %d: streamed %q (%s), whole %q (%s)", i, got.Message.Content, got.FinishReason, c.Message.Content, c.FinishReason)
		}
	}
	if sum.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("usage %v, want %v", sum.Usage, whole.Usage)
	}
	text, err := client.Completions.New(ctx, openai.CompletionNewParams{Model: "tiny", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Good")}, MaxTokens: openai.Int(4)})
	if err != nil || len(text.Choices) != 1 || text.Choices[0].FinishReason == "" {
		t.Errorf("completion %v, %v", text, err)
	}
	checkOpenAIGoSchema(t, client)
	_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "none", Messages: ask.Messages})
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != 404 || e.Code != "model_not_found" || e.Param != "model" {
		t.Errorf("unknown model: %v", err)
	}
}

func checkOpenAIGoSchema(t *testing.T, client openai.Client) {
	t.Helper()
	schema := map[string]any{"type": "object", "properties": map[string]any{"yes": map[string]any{"type": "boolean"}}, "required": []string{"yes"}, "additionalProperties": false}
	reply, err := client.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{Model: "tiny", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("?")},
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "answer", Strict: openai.Bool(true), Schema: schema}}}})
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Yes *bool }
	if err := json.Unmarshal([]byte(reply.Choices[0].Message.Content), &v); err != nil || v.Yes == nil {
		t.Errorf("reply %q: %v", reply.Choices[0].Message.Content, err)
	}
}

// The client that many Go programs use.
func TestSashabaranovClient(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{APIKey: apiKey})
	cfg := sashabaranov.DefaultConfig(apiKey)
	cfg.BaseURL = web.URL + "/v1"
	client := sashabaranov.NewClientWithConfig(cfg)
	ctx, seed := context.Background(), 7
	ask := sashabaranov.ChatCompletionRequest{Model: "tiny", MaxCompletionTokens: 10, Seed: &seed, Messages: []sashabaranov.ChatCompletionMessage{{Role: "user", Content: "Hi"}}}
	whole, err := client.CreateChatCompletion(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	ask.StreamOptions = &sashabaranov.StreamOptions{IncludeUsage: true}
	stream, err := client.CreateChatCompletionStream(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text, total := "", 0
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range part.Choices {
			text += c.Delta.Content
		}
		if part.Usage != nil {
			total = part.Usage.TotalTokens
		}
	}
	if text != whole.Choices[0].Message.Content || total != whole.Usage.TotalTokens {
		t.Errorf("streamed %q with %d tokens, whole %q with %d", text, total, whole.Choices[0].Message.Content, whole.Usage.TotalTokens)
	}
	_, err = client.CreateChatCompletion(ctx, sashabaranov.ChatCompletionRequest{Model: "none", Messages: ask.Messages})
	if e, ok := errors.AsType[*sashabaranov.APIError](err); !ok || e.HTTPStatusCode != 404 || e.Code != "model_not_found" {
		t.Errorf("unknown model: %v", err)
	}
}

// script runs a client's script against a server. What it needs has to be installed:
// probe is a command that fails where it is not.
func script(t *testing.T, file string, command, probe []string) {
	t.Helper()
	if out, err := exec.Command(probe[0], probe[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v: %s", probe, err, bytes.TrimSpace(out))
	}
	_, web := serve(t, policy.ServerConfig{APIKey: apiKey})
	path, err := filepath.Abs(filepath.Join("testdata", "clients", file))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command[0], append(command[1:], path)...)
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL="+web.URL+"/v1", "OPENAI_API_KEY="+apiKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The Node client; SOCIALRL_NODE_PATH names the folder with the package where the
// script's own folder and the global one do not have it.
func TestOpenAINodeClient(t *testing.T) {
	if dir := os.Getenv("SOCIALRL_NODE_PATH"); dir != "" {
		t.Setenv("NODE_PATH", dir)
	}
	script(t, "openai.cjs", []string{"node"}, []string{"node", "-e", "require('openai')"})
}

// The Python client; SOCIALRL_PYTHON names the interpreter that has the package.
func TestOpenAIPythonClient(t *testing.T) {
	python := os.Getenv("SOCIALRL_PYTHON")
	if python == "" {
		python = "python3"
	}
	script(t, "openai_client.py", []string{python}, []string{python, "-c", "import openai"})
}
