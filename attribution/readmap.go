package attribution

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/socialrl/socialrl/episode"
)

// readAttributed reads attributed_utterances where it is all that a line has.
func (a *Attribution) readAttributed(text []byte) error {
	bare := false
	err := a.readMap("attributed_utterances", text, func(c *Credit, rest []any) error {
		if o, ok := rest[0].(object); ok {
			return errors.Join(a.readReward(c, o), c.readHuman(rest[1:]))
		}
		v, err := asNumber(rest[0])
		if err == nil && v != 0 && c.Speaker == a.Agent {
			bare = true
		}
		c.Reward = v
		return errors.Join(err, c.readHuman(rest[1:]))
	})
	if a.Method.Dimension == episode.Goal && math.IsNaN(a.Score) {
		a.Score = a.GoalScore
	}
	a.settleBare(bare)
	return err
}

// settleBare marks the agent's bare numbers as rewards, if they are, and clears
// those that are none.
func (a *Attribution) settleBare(bare bool) {
	first := a.FirstSpeaker
	for i := range a.Credits {
		c := &a.Credits[i]
		own := c.Speaker == a.Agent
		if own && bare && c.State == Unscored && !(first && c.Reward == 0) {
			c.State = RewardOnly
		}
		if c.State == Unscored {
			c.Reward = 0
		}
		first = first && !own
	}
}

// readReward reads the object beside an utterance's text.
func (a *Attribution) readReward(c *Credit, o object) error {
	reward, ok := o.get("reward")
	if !ok {
		return errors.New("object without a reward")
	}
	var err error
	if c.Reward, err = asNumber(reward); err != nil {
		return err
	}
	c.State = RewardOnly
	if v, ok := o.get("attribution"); ok {
		n, err := asNumber(v)
		if err != nil {
			return err
		}
		c.setAttribution(n)
	}
	return a.readMethod(o)
}

// readMethod reads what an object tells about how it was made.
func (a *Attribution) readMethod(o object) error {
	if v, ok := o.get("dimension"); ok {
		name, _ := v.(string)
		a.Method.Dimension = orGoal(episode.Dimension(name))
	}
	if v, ok := o.get("dim_score"); ok {
		score, err := asNumber(v)
		if err != nil {
			return err
		}
		a.Score = score
	}
	if v, ok := o.get("scale"); ok && a.Method.Scale == 0 {
		a.Method.Scale = parseScale(v)
	}
	return nil
}

// parseScale reads "default", a number, or a text that starts with one; 0 where
// it is none of these.
func parseScale(v any) int {
	text, _ := v.(string)
	if n, ok := v.(json.Number); ok {
		text = n.String()
	}
	if text == "default" {
		return 3
	}
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	scale, _ := strconv.Atoi(text[:end])
	return scale
}
