package attribution

import (
	"context"
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
// Its name in files is "direct", or "direct_normalized"; [ByName] makes it under
// the name "direct_generic" as well, which the Python programs give to direct
// attribution on other dimensions than goal. (Sotopia-RL, arXiv 2508.03905,
// section 3.)
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
	m := Method{Name: "direct", Dimension: orGoal(d.Dimension), Scale: orThree(d.Scale)}
	if d.Normalized {
		m.Name = "direct_normalized"
	}
	return m
}

// Attribute implements [Attributor]. A wrong field of d is an error.
func (d Direct) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	m, err := d.asking()
	if err != nil {
		return nil, err
	}
	return m.attribute(ctx, ep, agent)
}

// Requests implements [Planner].
func (d Direct) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	m, err := d.asking()
	if err != nil {
		return nil, err
	}
	return m.requests(ep, agent)
}

func (d Direct) asking() (asking, error) {
	m := asking{
		goName: "Direct", llm: d.LLM, method: d.Method(), description: d.Description,
		temperature: d.Temperature, tries: d.Tries, usual: DefaultTries, tasks: directTasks,
	}
	m.credit = func(a *Attribution, answers []float64) { a.rate(answers, float64(m.method.Scale), d.Normalized) }
	if anchors[m.method.Scale] == "" {
		return m, fmt.Errorf("attribution: Direct: Scale is %d, want 3, 5 or 10", d.Scale)
	}
	return m, nil
}

// directTasks asks about all utterances at once. Of the manner of conversation,
// only the last one can get more than 1.
func directTasks(v view, a *Attribution) []task {
	own := a.Own()
	bounds := make([]bound, len(own))
	about := make([]int, len(own))
	for i, c := range own {
		about[i] = i
		bounds[i] = bound{index: c.Index, min: Masked, max: v.Scale}
		if v.Manner && i < len(own)-1 {
			bounds[i].max = 1
		}
	}
	v.Dialogue, v.Keys, v.Form = dialogueText(a.Credits), indices(bounds), form(bounds)
	return []task{scoring(v.render("direct"), about, bounds...)}
}

func orThree(scale int) int {
	if scale == 0 {
		return 3
	}
	return scale
}
