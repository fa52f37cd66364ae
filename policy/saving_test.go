package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// turns returns the items of some episodes whose history grows.
func turns(episodes, n int) []episode.Item {
	var items []episode.Item
	for e := range episodes {
		history := strings.Repeat(fmt.Sprint("episode ", e, ". "), 8)
		for t := range n {
			items = append(items, episode.Item{EpisodeID: fmt.Sprint(e), Turn: t, Input: history, Output: "yes"})
			history += fmt.Sprint("turn ", t, ". ")
		}
	}
	return items
}

// Cloning packs the turns of an episode over their common history by itself, in steps
// and evaluations, and reports what that saves and what memory a step takes.
func TestSFTReportsTheSaving(t *testing.T) {
	base := tiny.Base(t, "cpu")
	a, err := policy.NewAdapter(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(base, a)
	if err != nil {
		t.Fatal(err)
	}
	var steps, evaluations int
	cfg := policy.SFTConfig{FitConfig: policy.FitConfig{Dir: t.TempDir(), Held: 0.3, Batch: 5}}
	cfg.OnStep = func(f policy.FitProgress) {
		if f.Evaluation {
			evaluations++
		} else if steps++; f.Memory <= 0 {
			t.Errorf("step %d took %d bytes", f.Step, f.Memory)
		}
		if f.Saving < 1.5 {
			t.Errorf("%+v saves %.2f, want more than 1.5", f, f.Saving)
		}
	}
	r, err := policy.SFT(context.Background(), p, turns(3, 5), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if steps != 2 || evaluations == 0 || 2*r.Tokens < 3*r.Rows {
		t.Errorf("%d steps, %d evaluations, %d tokens, %d computed", steps, evaluations, r.Tokens, r.Rows)
	}
}

// What is packed by the caller gives the outputs that Outputs gives.
func TestPackedOutputs(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p, err := policy.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	examples := []policy.Example{{Tokens: []int{1, 2, 3, 9}, First: 2}, {Tokens: []int{5, 6}, First: 1}, {Tokens: []int{1, 2, 3, 4, 5}, First: 3}}
	packed, err := policy.Pack(examples, 4)
	if err != nil || len(packed.Forests) < 2 {
		t.Fatalf("%d forests, %v", len(packed.Forests), err)
	}
	got, err := p.PackedOutputs(context.Background(), packed)
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Outputs(context.Background(), examples, 4)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v (%v)", got, want, err)
	}
}
