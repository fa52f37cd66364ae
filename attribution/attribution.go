package attribution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/socialrl/socialrl/episode"
)

// Attributor gives every utterance of one agent its share of an episode's score.
// Implementations are safe for concurrent use.
//
// The ten methods of the field are [Direct] (three of them), [KeyUtterance],
// [GoalProgress], [OnlyResponse], [UtteranceQuality] (two), [Discounting] and
// [Uniform]; [ByName] makes each by its name in files. [Evidence] and [Shapley]
// are others.
//
// Attribute returns a [Failure] where a model was asked in vain, and an error
// that wraps [episode.ErrNotJudged] or [episode.ErrNoScore] where the episode
// has no score to share. An agent that said nothing has an attribution without
// scored utterances; no model is asked for it.
type Attributor interface {
	Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error)
}

// Described is an [Attributor] that says what it does before it does it.
// [Annotate] needs this to know what is finished. [Named] describes any other.
type Described interface {
	Attributor
	Method() Method
}

// Method identifies a way of attribution in files.
type Method struct {
	Name      string            // "direct", "discounting", ...; "" in files that do not say
	Dimension episode.Dimension // whose score is shared out
	Scale     int               // highest attribution; 0 for methods that rate on no scale
}

// String returns name/dimension/scale, without the scale where there is none.
func (m Method) String() string {
	s := m.Name + "/" + string(m.Dimension)
	if m.Scale > 0 {
		s += "/" + strconv.Itoa(m.Scale)
	}
	return s
}

// Named gives an attributor the name under which its results are filed.
func Named(m Method, a Attributor) Described { return named{a, m} }

type named struct {
	Attributor
	method Method
}

func (n named) Method() Method { return n.method }

// Attribute files the result of the named attributor, or its failure, under its
// method.
func (n named) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	a, err := n.Attributor.Attribute(ctx, ep, agent)
	if a != nil {
		a.Method = n.method
	}
	if f := (*Failure)(nil); errors.As(err, &f) {
		f.Method = n.method
	}
	return a, err
}

// Requests implements [Planner] by the named attributor, if it is one.
func (n named) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	if p, ok := n.Attributor.(Planner); ok {
		return p.Requests(ep, agent)
	}
	_, err := begin(ep, agent, n.method)
	return nil, err
}

// Key identifies one attribution in a file. A finished file has each key once.
type Key struct {
	EpisodeID string
	Agent     string
	Method    Method
}

// String returns "METHOD of episode ID, agent NAME".
func (k Key) String() string {
	return fmt.Sprintf("%s of episode %s, agent %s", k.Method, k.EpisodeID, k.Agent)
}

// Attribution is what one method makes of one agent's part in one episode.
type Attribution struct {
	Key
	Scenario     string   // of the episode
	Goal         string   // the agent's private goal, tags kept
	FirstSpeaker bool     // whether the agent opens the dialogue
	GoalScore    float64  // the agent's score on goal; NaN where the episode has none
	Score        float64  // the score that was shared out
	Credits      []Credit // every utterance of the dialogue, in order, the other agent's included
	Usage        Usage    // what it took
}

// Own returns the credits of the agent's own utterances, in order.
func (a *Attribution) Own() []Credit {
	var own []Credit
	for _, c := range a.Credits {
		if c.Speaker == a.Agent {
			own = append(own, c)
		}
	}
	return own
}

// Credit is the share of one utterance.
type Credit struct {
	Index   int    // number in the dialogue, from 0, over both agents
	Turn    int    // turn of the episode; -1 where unknown
	Speaker string // name of the agent
	Text    string // without the name: said: "...", [action] ...

	State       State
	Attribution float64            // importance, 0..scale, or [Masked]; 0 while Unscored
	Reward      float64            // in the units of the score, or [Masked]; 0 while Unscored
	Human       map[string]float64 // labels that people gave, by time; nil for none
	StdErr      float64            // standard error of a Reward that was estimated by sampling; 0 otherwise
}

// State tells a score of 0 from no score.
type State int

// The states of a [Credit].
const (
	Unscored   State = iota // the other agent's, or left out by the method
	Scored                  // Attribution and Reward count
	MaskedOut               // could not be judged; not to be trained on
	RewardOnly              // Reward counts, and the method has no attribution
)

// Usage counts the calls of a model, their tokens and their cost.
type Usage struct {
	Calls int `json:"calls"` // answered calls, unusable replies included
	episode.Usage
}

// Add adds v to u.
func (u *Usage) Add(v Usage) {
	u.Calls += v.Calls
	u.Usage.Add(v.Usage)
}

// begin returns the attribution of m with every utterance unscored.
func begin(ep *episode.Episode, agent string, m Method) (*Attribution, error) {
	a, err := open(ep, agent, m)
	if err == nil {
		err = a.readScore(ep)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// open is begin without the score that is to be shared out.
func open(ep *episode.Episode, agent string, m Method) (*Attribution, error) {
	if ep.ID == "" {
		return nil, errors.New("attribution: episode without an id")
	}
	if agent == "" {
		return nil, fmt.Errorf("attribution: episode %s: agent without a name", ep.ID)
	}
	seat, err := ep.Seat(agent)
	if err != nil {
		return nil, fmt.Errorf("attribution: %w", err)
	}
	a := &Attribution{
		Key:      Key{ep.ID, agent, m},
		Scenario: ep.Scenario, FirstSpeaker: seat == 0, GoalScore: math.NaN(), Score: math.NaN(),
	}
	if score, err := ep.Score(agent, episode.Goal); err == nil {
		a.GoalScore = score
	}
	a.Goal, _ = ep.SocialGoals.Get(agent)
	for _, u := range ep.Utterances() {
		a.Credits = append(a.Credits, Credit{Index: u.Index, Turn: u.Turn, Speaker: u.Speaker, Text: u.Text})
	}
	return a, nil
}

// readScore takes the score of the dimension from the episode.
func (a *Attribution) readScore(ep *episode.Episode) (err error) {
	if a.Score, err = ep.Score(a.Agent, a.Method.Dimension); err != nil {
		return fmt.Errorf("attribution: %w", err)
	}
	if math.IsNaN(a.Score) || math.IsInf(a.Score, 0) {
		return fmt.Errorf("attribution: episode %s: %s: %s is %v", ep.ID, a.Agent, a.Method.Dimension, a.Score)
	}
	return nil
}

// credit scores the agent's utterances: element k of both slices belongs to the
// k-th of them. One whose reward is NaN stays unscored.
func (a *Attribution) credit(attributions, rewards []float64) {
	a.reward(rewards)
	k := 0
	for i := range a.Credits {
		c := &a.Credits[i]
		if c.Speaker != a.Agent {
			continue
		}
		if c.State == RewardOnly {
			c.setAttribution(attributions[k])
		}
		k++
	}
}

// reward rewards the agent's utterances without an attribution. One whose reward
// is NaN stays unscored.
func (a *Attribution) reward(rewards []float64) {
	k := 0
	for i := range a.Credits {
		c := &a.Credits[i]
		if c.Speaker != a.Agent {
			continue
		}
		if !math.IsNaN(rewards[k]) {
			c.State, c.Reward = RewardOnly, rewards[k]
		}
		k++
	}
}

// rate credits the agent's utterances from attributions on a scale, either each
// by itself or as shares of the whole.
func (a *Attribution) rate(attributions []float64, scale float64, normalized bool) {
	if normalized {
		a.credit(attributions, NormalizedRewards(attributions, a.Score))
		return
	}
	rewards := make([]float64, len(attributions))
	for k, v := range attributions {
		rewards[k] = ScaledReward(v, scale, a.Score)
	}
	a.credit(attributions, rewards)
}
