package policy

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/tokenizer"
)

// realModel names the directory of SmolLM2-135M-Instruct, which is not part of the
// project. The test runs where the variable is set.
const realModel = "SOCIALRL_SMOLLM2"

type realReference struct {
	Chat       []struct{ Role, Content string }
	PromptIDs  []int `json:"prompt_ids"`
	Greedy     []int
	GreedyText string `json:"greedy_text"`
	Margins    []float64
	Item       struct {
		EpisodeID string `json:"episode_id"`
		Agent     string
		Turn      int
	}
	ItemIDs     []int     `json:"item_ids"`
	FirstTarget int       `json:"first_target"`
	TargetLogps []float64 `json:"target_logps"`
}

// A real chat model gives the reply and the log-probabilities that the Python
// libraries give, from text to text.
func TestRealModelEqualsTheReference(t *testing.T) {
	dir := os.Getenv(realModel)
	if dir == "" {
		t.Skipf("%s is not set: no real checkpoint is compared", realModel)
	}
	var ref realReference
	data, err := os.ReadFile(fixtures.Path(t, "smollm2", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	base, err := LoadBase(openEngine(t, "cpu"), dir, lora.BF16)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkRealReply(t, p, ref)
	checkRealItem(t, p, ref)
}

func checkRealReply(t *testing.T, p *Policy, ref realReference) {
	t.Helper()
	var chat []tokenizer.Message
	for _, m := range ref.Chat {
		chat = append(chat, tokenizer.Message{Role: m.Role, Content: m.Content})
	}
	text, err := p.base.tok.Render(chat, tokenizer.GenerationPrompt())
	if err != nil {
		t.Fatal(err)
	}
	prompt := p.base.tok.Encode(text)
	if !slices.Equal(prompt, ref.PromptIDs) {
		t.Fatalf("prompt %v, want %v", prompt, ref.PromptIDs)
	}
	got := generate(t, p, [][]int{prompt}, SamplingOptions{MaxTokens: len(ref.Greedy), StopTokens: []int{2}})[0][0]
	for i, want := range ref.Greedy {
		if ref.Margins[i] <= greedyMargin {
			break
		}
		if i >= len(got.Tokens) || got.Tokens[i] != want {
			t.Fatalf("greedy reply %v, want %v", got.Tokens, ref.Greedy)
		}
	}
}

func checkRealItem(t *testing.T, p *Policy, ref realReference) {
	t.Helper()
	enc, err := NewEncoder(p.base.tok, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	input, output := findItem(t, ref)
	e, err := enc.Reply(input, output)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.Tokens, ref.ItemIDs) || e.First != ref.FirstTarget {
		t.Fatalf("item: %d tokens, first target %d; want %d, %d", len(e.Tokens), e.First, len(ref.ItemIDs), ref.FirstTarget)
	}
	out, err := p.Outputs(context.Background(), []Example{e}, 0)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "log-probabilities", narrow(out[0]), narrow(ref.TargetLogps), logitTolerance)
}

// findItem looks the reference's training item up.
func findItem(t *testing.T, ref realReference) (input, output string) {
	t.Helper()
	f, err := os.Open(fixtures.Path(t, "prompts", "items.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var item struct {
			EpisodeID     string `json:"episode_id"`
			Agent         string
			Turn          int
			Input, Output string
		}
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			t.Fatal(err)
		}
		if item.EpisodeID == ref.Item.EpisodeID && item.Agent == ref.Item.Agent && item.Turn == ref.Item.Turn {
			return item.Input, item.Output
		}
	}
	t.Fatalf("no item %+v: %v", ref.Item, lines.Err())
	return "", ""
}
