package episode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/internal/pyjson"
)

// RewardForm is the shape that a reward has in a file.
type RewardForm int

// The three shapes of a reward.
const (
	// RewardNumber is a bare number. 0.0 means that there is no judgement: the
	// judge failed, or the episode was played without one.
	RewardNumber RewardForm = iota
	// RewardPair is [overall, {dimension: score, ...}].
	RewardPair
	// RewardScores is the dictionary alone, as older files have it.
	RewardScores
)

// DimensionScore is the score of one dimension.
type DimensionScore struct {
	Dimension Dimension
	Score     float64
}

// Reward is a judge's verdict on one agent. The zero value is written as 0.0
// and means that there is none.
type Reward struct {
	Form   RewardForm       // shape in the file
	Number float64          // the bare number, or the first element of a pair
	Scores []DimensionScore // in the order of the file, overall_score included; empty for a bare number
}

// NewReward returns the verdict that consists of the given scores, as a pair
// whose number is their mean. The mean is appended as [Overall]. Scores must
// not be empty and must not contain Overall.
func NewReward(scores ...DimensionScore) Reward {
	if len(scores) == 0 {
		panic("episode: NewReward without scores")
	}
	sum := 0.0
	for _, s := range scores {
		sum += s.Score
	}
	mean := sum / float64(len(scores))
	all := append(append([]DimensionScore(nil), scores...), DimensionScore{Overall, mean})
	return Reward{Form: RewardPair, Number: mean, Scores: all}
}

// Failed reports whether there is no judgement: no dimension has a score, and
// the number is 0. A judged score of 0 is not a failure.
func (r Reward) Failed() bool { return len(r.Scores) == 0 && r.Number == 0 }

// Score returns the score of a dimension, and whether the judge gave one.
// [Overall] is overall_score, or else the number of the reward, or else the mean
// of the seven where all are there.
func (r Reward) Score(d Dimension) (float64, bool) {
	for _, s := range r.Scores {
		if s.Dimension == d {
			return s.Score, true
		}
	}
	if d != Overall || r.Failed() {
		return 0, false
	}
	if r.Form != RewardScores {
		return r.Number, true
	}
	return r.mean()
}

// mean returns the mean of the seven dimensions, and whether all have a score.
func (r Reward) mean() (float64, bool) {
	sum := 0.0
	for _, d := range Dimensions() {
		v, ok := r.Score(d)
		if !ok {
			return 0, false
		}
		sum += v
	}
	return sum / 7, true
}

// MarshalJSON writes the reward in its form, numbers as Python writes floats.
func (r Reward) MarshalJSON() ([]byte, error) {
	number, err := pyjson.Float(r.Number).MarshalJSON()
	if err != nil || r.Form == RewardNumber {
		return number, err
	}
	scores, err := r.appendScores(nil)
	if err != nil || r.Form == RewardScores {
		return scores, err
	}
	return fmt.Appendf(nil, "[%s, %s]", number, scores), nil
}

func (r Reward) appendScores(dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	for i, s := range r.Scores {
		name, err := json.Marshal(string(s.Dimension))
		if err != nil {
			return nil, err
		}
		value, err := pyjson.Float(s.Score).MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Dimension, err)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fmt.Appendf(dst, "%s:%s", name, value)
	}
	return append(dst, '}'), nil
}

// UnmarshalJSON reads any of the three forms. null is the zero value.
func (r *Reward) UnmarshalJSON(text []byte) error {
	*r = Reward{}
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return errors.New("empty reward")
	case text[0] == '{':
		r.Form = RewardScores
		return r.readScores(text)
	case text[0] == '[':
		return r.readPair(text)
	case string(text) == "null":
		return nil
	}
	if err := json.Unmarshal(text, &r.Number); err != nil {
		return fmt.Errorf("reward %s is neither a number nor a pair nor an object", quote(string(text)))
	}
	return nil
}

func (r *Reward) readPair(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("reward has %d elements, want 2: the overall score and an object", len(pair))
	}
	r.Form = RewardPair
	if err := json.Unmarshal(pair[0], &r.Number); err != nil {
		return fmt.Errorf("overall reward: %w", err)
	}
	return r.readScores(pair[1])
}

func (r *Reward) readScores(text []byte) error {
	return eachField(text, func(key string, value json.RawMessage) error {
		var v float64
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.Scores = append(r.Scores, DimensionScore{Dimension(key), v})
		return nil
	})
}
