package reward

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// Rejudge returns a copy of a stored episode with the verdict of another judge in
// place of the one it has: rewards, comments, prompt, and name, which goes where the
// judge's model stands (an episode that names no models stays without). The
// episode itself is not changed. The copy has the same id: keep it in another file
// or store, or under another tag.
func Rejudge(ctx context.Context, judge episode.Evaluator, name string, e *episode.Episode) (*episode.Episode, error) {
	c := *e
	c.SetJudgement(episode.Judgement{})
	if len(c.Models) == 1+agents {
		c.Models = slices.Clone(c.Models)
		c.Models[0] = name
	}
	if c.Field(failureField) != nil {
		if err := c.SetField(failureField, nil); err != nil {
			return nil, err
		}
	}
	j, err := judge.Evaluate(ctx, &c)
	if err != nil {
		return nil, err
	}
	if len(j.Rewards) != len(c.Agents()) {
		return nil, fmt.Errorf("reward: episode %s: the judge gave %d rewards for %d agents", e.ID, len(j.Rewards), len(c.Agents()))
	}
	c.SetJudgement(j)
	return &c, renewScores(&c)
}

// renewScores brings the extra field scores, goal scores by name, up to date where an
// episode has it.
func renewScores(e *episode.Episode) error {
	if e.Field("scores") == nil {
		return nil
	}
	scores := map[string]json.RawMessage{}
	for _, name := range e.Agents() {
		scores[name] = json.RawMessage("null")
		if v, err := e.Score(name, episode.Goal); err == nil {
			scores[name] = json.RawMessage(number(v))
		}
	}
	return e.SetField("scores", scores)
}

// JudgeComparison tells how far two judges of the same episodes agree.
type JudgeComparison struct {
	Episodes   int                                  `json:"episodes"`  // that both have, by id
	Unmatched  int                                  `json:"unmatched"` // that only one has
	Unjudged   int                                  `json:"unjudged"`  // appearances without a verdict by one or both
	Dimensions map[episode.Dimension]JudgeAgreement `json:"dimensions"`
}

// JudgeAgreement tells how far two judges agree on one dimension, over both agents of
// all episodes.
type JudgeAgreement struct {
	N                      int     // pairs of scores
	MeanAbsoluteDifference float64 // in points
	MeanDifference         float64 // second judge minus first, in points
	Spearman               float64 // rank correlation, -1..1; NaN where a judge is constant
	ExactMatch             float64 // share of equal scores, 0..1
}

// MarshalJSON writes null for a correlation that is NaN.
func (a JudgeAgreement) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		N                      int      `json:"n"`
		MeanAbsoluteDifference float64  `json:"mean_absolute_difference"`
		MeanDifference         float64  `json:"mean_difference"`
		Spearman               *float64 `json:"spearman"`
		ExactMatch             float64  `json:"exact_match"`
	}{a.N, a.MeanAbsoluteDifference, a.MeanDifference, finite(a.Spearman), a.ExactMatch})
}

// finite returns v, or nil where it is not a number that JSON has.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// CompareJudges compares the verdicts that two judges gave on the same episodes,
// which are matched by id; of several with one id the last counts. Dimensions that
// only one of them scored are left out.
func CompareJudges(first, second []*episode.Episode) (*JudgeComparison, error) {
	out := &JudgeComparison{Dimensions: map[episode.Dimension]JudgeAgreement{}}
	a, b := byID(first), byID(second)
	pairs := map[episode.Dimension]*[2][]float64{}
	for _, id := range slices.Sorted(maps.Keys(a)) {
		if b[id] == nil {
			continue
		}
		out.Episodes++
		if err := out.addPairs(pairs, a[id], b[id]); err != nil {
			return nil, err
		}
	}
	out.Unmatched = len(a) + len(b) - 2*out.Episodes
	for d, p := range pairs {
		out.Dimensions[d] = agreement(p[0], p[1])
	}
	return out, nil
}

func byID(episodes []*episode.Episode) map[string]*episode.Episode {
	m := map[string]*episode.Episode{}
	for _, e := range episodes {
		m[e.ID] = e
	}
	return m
}

// addPairs adds the scores that two versions of one episode share.
func (c *JudgeComparison) addPairs(pairs map[episode.Dimension]*[2][]float64, a, b *episode.Episode) error {
	if !slices.Equal(a.Agents(), b.Agents()) {
		return fmt.Errorf("reward: episode %s has the agents %q for one judge and %q for the other", a.ID, a.Agents(), b.Agents())
	}
	for _, name := range a.Agents() {
		ra, errA := a.Reward(name)
		rb, errB := b.Reward(name)
		if errA != nil || errB != nil || len(ra.Scores) == 0 || len(rb.Scores) == 0 {
			c.Unjudged++
			continue
		}
		for _, s := range ra.Scores {
			if v, ok := rb.Score(s.Dimension); ok {
				p := pairs[s.Dimension]
				if p == nil {
					p = new([2][]float64)
					pairs[s.Dimension] = p
				}
				p[0], p[1] = append(p[0], s.Score), append(p[1], v)
			}
		}
	}
	return nil
}

// agreement compares paired scores.
func agreement(a, b []float64) JudgeAgreement {
	_, top, _ := episode.Goal.Range()
	g := attribution.Agree(b, a, top)
	return JudgeAgreement{
		N: g.N, MeanAbsoluteDifference: g.MeanAbsoluteDifference, MeanDifference: stat.Mean(b, nil) - stat.Mean(a, nil),
		Spearman: g.Spearman, ExactMatch: g.ExactMatch,
	}
}
