package reward

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
)

func TestScriptedScorers(t *testing.T) {
	action := `{"action_type": "speak", "argument": "one two three"}`
	for _, c := range []struct {
		why    string
		scorer Scorer
		text   string
		want   float64
	}{
		{"words of an action are those of its argument", WordsOver(1), action, -2},
		{"words of other text are all", WordsOver(1), "one two", -1},
		{"below the limit nothing is lost", WordsOver(5), action, 0},
		{"an action is an action", IsAction, action, 1},
		{"talk is none", IsAction, "I would say hello", 0},
	} {
		got, err := c.scorer.Score(context.Background(), samplesOf(c.text))
		if err != nil || got[0] != c.want {
			t.Errorf("%s: %v (%v), want %v", c.why, got, err, c.want)
		}
	}
}

func TestByTextHidesTokens(t *testing.T) {
	s := ByText(Each(func(s Sample) float64 { return float64(len(s.PromptIDs) + len(s.CompletionIDs) + len(s.Text)) }))
	samples := []Sample{{Text: "abc", PromptIDs: []int{1}, CompletionIDs: []int{2}}}
	got, err := s.Score(context.Background(), samples)
	if err != nil || got[0] != 3 || samples[0].PromptIDs == nil {
		t.Errorf("%v, %v; sample %+v", got, err, samples[0])
	}
}

// Best of n replies of a policy by a reward model over the same base.
func TestBestOfNOfAPolicy(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p, err := policy.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	sampler := &PolicySampler{Policy: p, Options: policy.SamplingOptions{MaxTokens: 5, Temperature: 1, Seed: 7}}
	best := NewBestOfN(newModelOf(t, base), sampler, 4)
	first, err := best.Draw(context.Background(), episode.Item{Input: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range first.Rewards {
		if r > first.Rewards[first.Index] || len(first.Samples[i].CompletionIDs) == 0 || math.IsNaN(r) {
			t.Errorf("reply %d has %v, the best %v", i, r, first.Rewards[first.Index])
		}
	}
	second, err := best.Draw(context.Background(), episode.Item{Input: "hi"})
	if err != nil || fmt.Sprint(second.Samples) == fmt.Sprint(first.Samples) {
		t.Errorf("the second draw is the first again (%v)", err)
	}
}
