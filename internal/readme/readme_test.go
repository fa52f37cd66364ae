//lint:file-ignore SA4006 the programs are as short as the README has them

// Package readme compiles the programs of the project's README.
package readme

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
	"github.com/socialrl/socialrl/tokenizer"
)

// The functions hold the README's snippets, line by line; TestSnippets compares.
var _ = []any{credit, encode, clone, rewardModel, train, serve}

func credit(ctx context.Context, f io.Reader, url, key string) error {
	// Credit for every utterance.
	llm := episode.NewRemote(url, key, "gpt-4o")
	at := attribution.Direct{LLM: llm, Dimension: episode.Goal, Scale: 3}
	for ep, err := range episode.ReadJSONL(f) {
		if err != nil {
			return err
		}
		credit, err := at.Attribute(ctx, ep, ep.Agents()[0])
		fmt.Println(credit, err)
	}
	return nil
}

func encode() (any, error) {
	// A tokenizer and a chat template.
	tok, err := tokenizer.Load("Qwen2.5-0.5B-Instruct")
	text, err := tok.Render([]tokenizer.Message{{Role: "user", Content: "Hello"}}, tokenizer.GenerationPrompt())
	ids := tok.Encode(text)
	return ids, err
}

func clone(ctx context.Context, items []episode.Item, ids []int) (any, any, error) {
	// A policy: base and adapter, on an engine; cloned, then sampled.
	eng, err := lora.Open("cpu")
	base, err := policy.LoadBase(eng, "Qwen2.5-0.5B-Instruct", lora.BF16)
	adapter, err := policy.NewAdapter(base, lora.Config{Rank: 8, Alpha: 64, Targets: lora.QV}, 42)
	p, err := policy.New(base, adapter)
	result, err := policy.SFT(ctx, p, items, policy.SFTConfig{FitConfig: policy.FitConfig{Dir: "sft", Held: 0.05}})
	replies, err := p.Generate(ctx, [][]int{ids}, policy.SamplingOptions{N: 4, MaxTokens: 128, Temperature: 0.9})
	return result, replies, err
}

func rewardModel(ctx context.Context, base *policy.Base) error {
	// A reward model.
	recs, err := reward.ReadRecords("rm.json")
	rm, err := reward.New(base, lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV})
	err = rm.Train(ctx, recs, reward.TrainConfig{Dir: "rm"})
	return err
}

func train(ctx context.Context, p *policy.Policy, prompts iter.Seq2[episode.Item, error], myReward reward.ScorerFunc) error {
	// GRPO with a reward of one's own.
	cfg := grpo.Default()
	cfg.Dir = "grpo"
	t, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: reward.ScorerFunc(myReward), Weight: 1}}, cfg)
	err = t.Train(ctx, prompts)
	return err
}

func serve(ctx context.Context, base *policy.Base, p *policy.Policy, rm *reward.RewardModel, ids []int, key string) (any, error) {
	// Replies that keep to a JSON schema, complete within their limit of tokens; a server with OpenAI's API.
	vocab, err := base.Vocabulary()
	action, err := vocab.JSONSchema(episode.ExactActionSchema())
	replies, err := p.Generate(ctx, [][]int{ids}, policy.SamplingOptions{MaxTokens: 64, Temperature: 1, Constraint: action})
	s := policy.NewServer(base, policy.ServerConfig{APIKey: key})
	s.Add("social", p)
	s.SetScorer(rm)
	err = http.ListenAndServe(":8000", s)
	return replies, err
}

func TestSnippets(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) != 6 {
		t.Errorf("the README has %d programs, want 6", len(snippets))
	}
	for _, s := range snippets {
		if !strings.Contains(unindented(string(source)), unindented(s[1])) {
			t.Errorf("not compiled here:\n%s", s[1])
		}
	}
}

func unindented(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}
