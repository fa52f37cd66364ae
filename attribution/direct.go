package attribution

import (
	"context"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/episode"
)

// Direct asks a model, which sees the whole dialogue and its result, for the
// importance of every utterance of the agent, in one call. The importance a is a
// whole number from 0 to Scale, and the reward is that of [ScaledReward]:
//
//	r = a/Scale * score
//
// or, where Normalized is set, that of [NormalizedRewards]:
//
//	r = a/sum(a) * score
//
// The model is asked, and its reply read, by the index of the utterance. A reply
// must hold exactly one score in range for each; otherwise the model is told
// what was wrong and asked again, Tries times in all, and then the result is a
// [Failure]. A score of -1 masks an utterance.
//
// Its name in files is "direct", or "direct_normalized". (Sotopia-RL, arXiv
// 2508.03905, section 3.)
type Direct struct {
	LLM        episode.LLM       // required
	Dimension  episode.Dimension // what the score is about; "" is goal
	Scale      int               // highest importance: 3, 5 or 10; 0 is 3
	Normalized bool              // share the score out instead of scaling it

	// Description says what is judged; "{agent}" and "{scale}" stand for the
	// agent's name and Scale. "" is the library's own text, which the dimensions
	// of package episode have; a custom dimension needs a text.
	Description string
	Tries       int     // most replies to look at; 0 is [DefaultTries]
	Temperature float64 // of the model; below 0 leaves it to the model, as some demand
}

// Method implements [Described].
func (d Direct) Method() Method {
	d = d.withDefaults()
	m := Method{Name: "direct", Dimension: d.Dimension, Scale: d.Scale}
	if d.Normalized {
		m.Name = "direct_normalized"
	}
	return m
}

// Attribute implements [Attributor]. A wrong field of d is an error.
func (d Direct) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	if d.LLM == nil {
		return nil, errors.New("attribution: Direct: LLM is missing")
	}
	d, a, own, err := d.prepare(ep, agent)
	if err != nil || len(own) == 0 {
		return a, err
	}
	q := d.question(ep, a, own)
	bounds := d.bounds(own)
	scores, used, err := ask(ctx, q, func(reply string) ([]float64, error) { return parseScores(reply, bounds) })
	if err != nil {
		return nil, err
	}
	a.Usage = used
	a.rate(scores, float64(d.Scale), d.Normalized)
	return a, nil
}

// Requests implements [Planner].
func (d Direct) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	d, a, own, err := d.prepare(ep, agent)
	if err != nil || len(own) == 0 {
		return nil, err
	}
	return []episode.Request{d.question(ep, a, own).request("")}, nil
}

// prepare completes and checks d and begins the attribution.
func (d Direct) prepare(ep *episode.Episode, agent string) (Direct, *Attribution, []Credit, error) {
	d = d.withDefaults()
	if anchors[d.Scale] == "" {
		return d, nil, nil, fmt.Errorf("attribution: Direct: Scale is %d, want 3, 5 or 10", d.Scale)
	}
	if d.describe("") == "" {
		return d, nil, nil, fmt.Errorf("attribution: Direct: dimension %q needs a Description", d.Dimension)
	}
	a, err := begin(ep, agent, d.Method())
	if err != nil {
		return d, nil, nil, err
	}
	return d, a, a.Own(), nil
}

func (d Direct) withDefaults() Direct {
	d.Dimension = orGoal(d.Dimension)
	if d.Scale == 0 {
		d.Scale = 3
	}
	return d
}

func (d Direct) question(ep *episode.Episode, a *Attribution, own []Credit) question {
	return question{
		llm: d.LLM, key: a.Key, prompt: newDirectView(d, ep, a, own).text(),
		tries: d.Tries, temperature: d.Temperature,
	}
}

// bounds returns what scores the reply may hold. Of the manner of conversation,
// only the last utterance can get more than 1.
func (d Direct) bounds(own []Credit) []bound {
	b := make([]bound, len(own))
	for i, c := range own {
		b[i] = bound{c.Index, d.Scale}
		if d.Dimension == episode.ConversationBehavior && i < len(own)-1 {
			b[i].max = 1
		}
	}
	return b
}
