package attribution

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/episode"
)

// DefaultGamma is the discount of published runs.
const DefaultGamma = 0.9

// Discounting credits late utterances more than early ones, without a model;
// see [DiscountedRewards]. Its name in files is "discounting". It has no
// attributions, only rewards.
type Discounting struct {
	Gamma     float64           // 0..1; 0 is DefaultGamma
	Dimension episode.Dimension // "" is goal
}

// Method implements [Described].
func (d Discounting) Method() Method {
	return Method{Name: "discounting", Dimension: orGoal(d.Dimension)}
}

// Attribute implements [Attributor]. A Gamma outside 0..1 is an error.
func (d Discounting) Attribute(_ context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	gamma := d.Gamma
	if gamma == 0 {
		gamma = DefaultGamma
	}
	if !(gamma > 0 && gamma <= 1) {
		return nil, fmt.Errorf("attribution: Discounting: Gamma is %v, want 0..1", gamma)
	}
	a, err := begin(ep, agent, d.Method())
	if err == nil {
		a.reward(DiscountedRewards(gamma, len(a.Own()), a.Score))
	}
	return a, err
}

// Uniform gives every utterance the whole score, without a model; see
// [UniformRewards]. Its name in files is "all_the_same". It has no attributions,
// only rewards.
type Uniform struct {
	Dimension episode.Dimension // "" is goal
}

// Method implements [Described].
func (u Uniform) Method() Method {
	return Method{Name: "all_the_same", Dimension: orGoal(u.Dimension)}
}

// Attribute implements [Attributor].
func (u Uniform) Attribute(_ context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	a, err := begin(ep, agent, u.Method())
	if err == nil {
		a.reward(UniformRewards(len(a.Own()), a.Score))
	}
	return a, err
}

func orGoal(d episode.Dimension) episode.Dimension {
	if d == "" {
		return episode.Goal
	}
	return d
}
