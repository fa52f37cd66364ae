package attribution

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

func TestAnnotateKeepsToItsBudget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	llm := &model{}
	o := AnnotateOptions{Path: path, Concurrency: 4, Price: Price{Prompt: 1000, Completion: 1000}, MaxCost: 1}
	sum, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(llm), o)
	if !errors.Is(err, ErrBudget) || sum.Done == 0 || sum.Done != llm.calls() || sum.Usage.Cost > 1 || sum.Failed != 0 {
		t.Errorf("%+v, %v after %d calls; want what 1 buys, every call's result kept", sum, err, llm.calls())
	}
	// A second run knows what the first has spent.
	again, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(llm), o)
	if total := again.Usage.Cost + again.Earlier.Cost; !errors.Is(err, ErrBudget) || total > 1 || !close12(again.Earlier.Cost, sum.Usage.Cost) {
		t.Errorf("%+v, %v; want no more than 1 in both runs", again, err)
	}
	o.MaxCost = 100
	if last, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(llm), o); err != nil || len(keys(t, path)) != 18 {
		t.Errorf("%+v, %v; want the rest with more money", last, err)
	}
}

// A model that charges by itself needs no price list.
func TestAnnotateTakesTheCostThatTheReplyTells(t *testing.T) {
	llm := episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
		reply := usable(r)
		reply.Usage.Cost = 0.5
		return reply, nil
	})
	o := AnnotateOptions{Path: filepath.Join(t.TempDir(), "out.jsonl")}
	sum, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Direct{LLM: llm}}, o)
	if err != nil || sum.Usage.Cost != 3 {
		t.Errorf("%+v, %v; want 6 calls of 0.5", sum, err)
	}
}

func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.jsonl")
	llm := &model{}
	if _, err := Annotate(context.Background(), each(madeUp(t)[:1]), threeDimensions(llm)[:1], AnnotateOptions{Path: path}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	var planned []string
	o := AnnotateOptions{
		Path: path, DryRun: true, Price: Price{Prompt: 2, Completion: 8}, ReplyTokens: 50,
		OnRequest: func(k Key, r episode.Request) { planned = append(planned, r.Messages[0].Content) },
	}
	made := llm.calls()
	sum, err := Annotate(context.Background(), each(madeUp(t)), append(threeDimensions(llm), Uniform{}), o)
	if err != nil || sum.Done != 22 || sum.Skipped != 2 || sum.Usage.Calls != 16 || sum.Usage.CompletionTokens != 16*50 {
		t.Errorf("%+v, %v; want 22 attributions with 16 calls of 50 tokens", sum, err)
	}
	if cost := (2*float64(sum.Usage.PromptTokens) + 8*800) / 1e6; !close12(sum.Usage.Cost, cost) {
		t.Errorf("cost %v, want %v", sum.Usage.Cost, cost)
	}
	after, _ := os.ReadFile(path)
	if llm.calls() != made || string(before) != string(after) {
		t.Error("a dry run made calls or wrote")
	}
	// What was planned is what is then asked.
	if _, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(llm), AnnotateOptions{Path: path, Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(planned, llm.prompts[made:]) {
		t.Error("other prompts were sent than planned")
	}
}
