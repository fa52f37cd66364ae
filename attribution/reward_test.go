package attribution

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestScaledReward(t *testing.T) {
	for _, c := range []struct {
		why         string
		a, s, score float64
		want        float64
	}{
		{"the highest attribution gets the whole score", 3, 3, 8, 8},
		{"a third of the scale gets a third of the score", 1, 3, 9, 3},
		{"ten points are finer", 7, 10, 9, 6.3},
		{"nothing attributed, nothing rewarded", 0, 5, 10, 0},
		{"what contributed to a bad result is punished", 3, 3, -5, -5},
		{"a masked utterance stays masked, whatever the score", Masked, 3, 9, Masked},
	} {
		if got := ScaledReward(c.a, c.s, c.score); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: ScaledReward(%v, %v, %v) = %v, want %v", c.why, c.a, c.s, c.score, got, c.want)
		}
	}
}

func TestRewardsOfAWholeDialogue(t *testing.T) {
	for _, c := range []struct {
		why       string
		got, want []float64
	}{
		{"shares are proportional", NormalizedRewards([]float64{1, 0, 3}, 8), []float64{2, 0, 6}},
		{"no attribution at all gives zeros, not NaN", NormalizedRewards([]float64{0, 0}, 8), []float64{0, 0}},
		{"a masked utterance takes no share", NormalizedRewards([]float64{Masked, 1, 1}, 8), []float64{Masked, 4, 4}},
		{"one utterance takes all", NormalizedRewards([]float64{2}, 7), []float64{7}},
		{"no utterances, no rewards", NormalizedRewards(nil, 7), []float64{}},
		{"the last utterance gets all, each before it a tenth less", DiscountedRewards(0.9, 3, 10), []float64{8.1, 9, 10}},
		{"without discount all are alike", DiscountedRewards(1, 2, 4), UniformRewards(2, 4)},
		{"with full discount only the last counts", DiscountedRewards(0, 3, 4), []float64{0, 0, 4}},
		{"everybody gets the score", UniformRewards(2, -3), []float64{-3, -3}},
		{"the key utterance gets the score", KeyRewards(1, 3, 9), []float64{0, 9, 0}},
		{"progress is paid, a setback costs", ProgressRewards([]float64{2, 7, 5}, 10), []float64{2, 5, -2}},
	} {
		if d := cmp.Diff(c.want, c.got, cmpopts.EquateApprox(0, 1e-12)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, d)
		}
	}
}

func TestNormalizedRewardsSumToTheScore(t *testing.T) {
	for _, score := range []float64{10, 7, -5, 0} {
		sum := 0.0
		for _, r := range NormalizedRewards([]float64{3, 1, 0, 2, 2}, score) {
			sum += r
		}
		if math.Abs(sum-score) > 1e-12 {
			t.Errorf("rewards sum to %v, want the score %v", sum, score)
		}
	}
}

func TestKeyRewardsPanicsOutsideTheDialogue(t *testing.T) {
	for _, key := range []int{-1, 3} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("KeyRewards(%d, 3, 1) did not panic", key)
				}
			}()
			KeyRewards(key, 3, 1)
		}()
	}
}
