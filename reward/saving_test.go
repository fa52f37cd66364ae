package reward

import (
	"context"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// Scoring computes what samples begin with alike once, and says what that saves.
func TestScoringReportsTheSaving(t *testing.T) {
	var packed []*policy.Packed
	m, err := New(tiny.Base(t, "cpu"), lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, WithOnPack(func(p *policy.Packed) { packed = append(packed, p) }))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var samples []Sample
	for _, text := range []string{"yes", "no", "perhaps"} {
		samples = append(samples, Sample{Item: episode.Item{Input: "A question that is asked of everybody."}, Text: text})
	}
	if _, err := m.Score(context.Background(), samples); err != nil {
		t.Fatal(err)
	}
	if len(packed) != 1 || packed[0].Saving() < 2 {
		t.Errorf("packed %+v, want one packing that saves more than 2", packed)
	}
}
