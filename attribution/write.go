package attribution

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/socialrl/socialrl/internal/pyjson"
)

// line is an attribution as a line of a file. The first eight fields are those
// that other programs of the field read; the rest complete them.
type line struct {
	EpisodeID    string          `json:"episode_id"`
	Scenario     string          `json:"scenario"`
	Agent        string          `json:"agent"`
	Goal         string          `json:"goal"`
	Attributed   json.RawMessage `json:"attributed_utterances,omitempty"`
	FirstSpeaker bool            `json:"is_first_speaker"`
	GoalScore    *pyjson.Float   `json:"goal_score"`

	Method    string        `json:"method,omitempty"`
	Dimension string        `json:"dimension,omitempty"`
	Scale     int           `json:"scale,omitempty"`
	Score     *pyjson.Float `json:"dim_score,omitempty"`
	Credits   []creditLine  `json:"utterances"`
	Usage     *Usage        `json:"usage,omitempty"`
}

// creditLine is a credit in the list of utterances. What is null is not known.
type creditLine struct {
	Index       int                `json:"index"`
	Turn        int                `json:"turn"`
	Speaker     string             `json:"speaker"`
	Text        string             `json:"text"`
	Attribution *float64           `json:"attribution"`
	Reward      *pyjson.Float      `json:"reward"`
	StdErr      float64            `json:"std_err,omitempty"`
	Human       map[string]float64 `json:"human,omitempty"`
}

// reward is the second element of an attributed utterance.
type rewardLine struct {
	Reward      pyjson.Float  `json:"reward"`
	Attribution *float64      `json:"attribution,omitempty"`
	Dimension   string        `json:"dimension,omitempty"`
	Scale       string        `json:"scale,omitempty"`
	Score       *pyjson.Float `json:"dim_score,omitempty"`
}

// MarshalJSON writes the attribution as one line of a file, without the newline,
// in the spelling of Python's json.dumps:
//
//	{"episode_id", "scenario", "agent", "goal",
//	 "attributed_utterances": {"Utterance k by NAME": [text, {"reward", "attribution", ...}]},
//	 "is_first_speaker", "goal_score",
//	 "method", "dimension", "scale", "dim_score", "utterances": [...], "usage"}
//
// In attributed_utterances k is half the utterance's index, unscored utterances
// have a bare 0 in second place, and of two utterances with one key the later
// stays. The list utterances has index, turn, speaker, text, attribution and
// reward of every utterance; what is unscored is null there.
func (a *Attribution) MarshalJSON() ([]byte, error) {
	attributed, err := a.attributed()
	if err != nil {
		return nil, err
	}
	l := line{
		EpisodeID: a.EpisodeID, Scenario: a.Scenario, Agent: a.Agent, Goal: a.Goal,
		Attributed: attributed, FirstSpeaker: a.FirstSpeaker, GoalScore: known(a.GoalScore),
		Method: a.Method.Name, Dimension: string(a.Method.Dimension), Scale: a.Method.Scale, Score: known(a.Score),
		Credits: make([]creditLine, len(a.Credits)),
	}
	if a.Usage.Calls > 0 {
		l.Usage = &a.Usage
	}
	for i, c := range a.Credits {
		l.Credits[i] = c.line()
	}
	return pyjson.Marshal(l)
}

// known returns v, or nil where it is NaN.
func known(v float64) *pyjson.Float {
	if math.IsNaN(v) {
		return nil
	}
	return (*pyjson.Float)(&v)
}

func (c Credit) line() creditLine {
	l := creditLine{Index: c.Index, Turn: c.Turn, Speaker: c.Speaker, Text: c.Text, Human: c.Human, StdErr: c.StdErr}
	if c.State != Unscored {
		l.Reward = (*pyjson.Float)(&c.Reward)
	}
	if c.State == Scored || c.State == MaskedOut {
		l.Attribution = &c.Attribution
	}
	return l
}

// attributed returns the value of attributed_utterances, in the order of the
// dialogue.
func (a *Attribution) attributed() (json.RawMessage, error) {
	last := map[string]int{}
	for i, c := range a.Credits {
		last[c.key()] = i
	}
	b := []byte{'{'}
	for i, c := range a.Credits {
		if last[c.key()] != i {
			continue
		}
		entry := []any{c.Text, a.second(c)}
		if c.Human != nil {
			entry = append(entry, c.Human)
		}
		key, keyErr := pyjson.Marshal(c.key())
		value, err := pyjson.Marshal(entry)
		if err != nil || keyErr != nil {
			return nil, fmt.Errorf("attribution: %s: utterance %d: %w", a.Key, c.Index, err)
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// key is the name of the utterance in attributed_utterances.
func (c Credit) key() string { return fmt.Sprintf("Utterance %d by %s", c.Index/2, c.Speaker) }

// second is what stands beside an utterance's text.
func (a *Attribution) second(c Credit) any {
	if c.State == Unscored {
		return 0
	}
	if bareReward[a.Method.Name] {
		return pyjson.Float(c.Reward)
	}
	r := rewardLine{
		Reward: pyjson.Float(c.Reward), Dimension: string(a.Method.Dimension),
		Scale: scaleName(a.Method.Scale), Score: known(a.Score),
	}
	if c.State != RewardOnly {
		r.Attribution = &c.Attribution
	}
	return r
}

// bareReward holds the methods whose files have a number for the reward, and no
// object.
var bareReward = map[string]bool{"discounting": true, "goal_progress": true}

// scaleName is the name of a scale in files.
func scaleName(scale int) string {
	switch scale {
	case 0:
		return ""
	case 3:
		return "default"
	}
	return strconv.Itoa(scale)
}

// WriteJSONL writes attributions, one a line; see [Attribution.MarshalJSON].
func WriteJSONL(w io.Writer, as ...*Attribution) error {
	for _, a := range as {
		b, err := a.MarshalJSON()
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("attribution: %s: %w", a.Key, err)
		}
	}
	return nil
}
