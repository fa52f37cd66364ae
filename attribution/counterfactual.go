package attribution

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"

	"github.com/socialrl/socialrl/episode"
)

// Value says what an episode would have been worth to an agent had it said only
// some of what it said: said[k] tells whether its k-th utterance was spoken. The
// other agents' utterances stay as they are; [Without] makes that episode. Value
// must be repeatable. Models that it asks should be asked through [Chat], so that
// their calls are counted.
type Value func(ctx context.Context, ep *episode.Episode, agent string, said []bool) (float64, error)

// Shapley credits every utterance with its Shapley value: what it adds, in the
// mean over all orders in which the agent's utterances could be put into the
// dialogue. Rewards add up to Value of the whole dialogue less Value of the
// dialogue without the agent, which is the Score of the [Attribution]; they are in
// the units of Value, and there are no attributions. Up to [DefaultExactPlayers]
// utterances are computed exactly, more are estimated by sampling with the
// standard error of each in [Credit].StdErr; see [ShapleyValues].
//
// The episode needs no judge's score. A [Failure] of Value is that of the
// attribution. Its name in files is "shapley".
type Shapley struct {
	Value     Value             // required; for example [Rating].Value
	Dimension episode.Dimension // what Value is about, for files; "" is goal
	Options   ShapleyOptions    // the seed counts together with the episode and the agent

	// Request returns what Value asks a model, for dry runs; nil is nothing.
	Request func(ep *episode.Episode, agent string, said []bool) (episode.Request, error)
}

// Method implements [Described].
func (s Shapley) Method() Method { return Method{Name: "shapley", Dimension: orGoal(s.Dimension)} }

// Attribute implements [Attributor]. An error of Value and a wrong option are
// errors.
func (s Shapley) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	if s.Value == nil {
		return nil, errors.New("attribution: Shapley: Value is missing")
	}
	a, err := open(ep, agent, s.Method())
	if err != nil {
		return nil, err
	}
	m := &meter{}
	r, err := s.values(context.WithValue(ctx, meterKey{}, m), a, func(ctx context.Context, said []bool) (float64, error) {
		return s.Value(ctx, ep, agent, said)
	})
	a.Usage = m.total()
	if err != nil {
		return nil, s.failure(a, err)
	}
	a.Score = r.All - r.None
	a.reward(r.Values)
	k := 0
	for i := range a.Credits {
		if c := &a.Credits[i]; c.Speaker == agent {
			c.StdErr = r.StdErr[k]
			k++
		}
	}
	return a, nil
}

// failure files an error under the attribution's key, with what it took.
func (s Shapley) failure(a *Attribution, err error) error {
	f := &Failure{Key: a.Key, Usage: a.Usage, Err: err}
	if inner := (*Failure)(nil); errors.As(err, &inner) {
		f.Tries, f.Err = inner.Tries, inner.Err
	}
	return f
}

// values computes with a seed of the episode's and the agent's own.
func (s Shapley) values(ctx context.Context, a *Attribution, value func(context.Context, []bool) (float64, error)) (ShapleyResult, error) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s", s.Options.Seed, a.EpisodeID, a.Agent)
	o := s.Options
	o.Seed = h.Sum64()
	return ShapleyValues(ctx, len(a.Own()), value, o)
}

// Requests implements [Planner] by Request.
func (s Shapley) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	a, err := open(ep, agent, s.Method())
	if err != nil || s.Request == nil {
		return nil, err
	}
	s.Options.Concurrency = 1
	var requests []episode.Request
	_, err = s.values(context.Background(), a, func(_ context.Context, said []bool) (float64, error) {
		r, err := s.Request(ep, agent, said)
		requests = append(requests, r)
		return 0, err
	})
	return requests, err
}

// meter counts the calls of [Chat] under one context.
type meter struct {
	mu    sync.Mutex
	usage Usage
}

type meterKey struct{}

func (m *meter) add(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.Add(u)
}

func (m *meter) total() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usage
}

// Rating is a chat model that scores an agent's part in a dialogue on one
// dimension, also with utterances left out. The score may be any number of the
// dimension's range. A reply that holds none is asked for again, and then the
// result is a [Failure].
type Rating struct {
	LLM         episode.LLM       // required
	Dimension   episode.Dimension // "" is goal; one of package episode's, whose range is known
	Tries       int               // most replies to look at; 0 is [DefaultUtteranceTries]
	Temperature float64           // of the model; below 0 leaves it to the model. Above 0 scores are not repeatable
}

// Value is a [Value]: the model's score of the dialogue that is left.
func (r Rating) Value(ctx context.Context, ep *episode.Episode, agent string, said []bool) (float64, error) {
	if r.LLM == nil {
		return 0, errors.New("attribution: Rating: LLM is missing")
	}
	q, err := r.question(ep, agent, said)
	if err != nil {
		return 0, err
	}
	lo, hi, _ := q.key.Method.Dimension.Range()
	score, _, err := ask(ctx, q, func(reply string) (float64, error) { return parseValue(reply, lo, hi) })
	return score, err
}

// Request returns the first call that Value makes.
func (r Rating) Request(ep *episode.Episode, agent string, said []bool) (episode.Request, error) {
	q, err := r.question(ep, agent, said)
	return q.request(""), err
}

func (r Rating) question(ep *episode.Episode, agent string, said []bool) (question, error) {
	d := orGoal(r.Dimension)
	lo, hi, ok := d.Range()
	if !ok {
		return question{}, fmt.Errorf("attribution: Rating: the range of dimension %q is not known", d)
	}
	a, err := open(ep, agent, Method{Name: "rating", Dimension: d})
	if err != nil {
		return question{}, err
	}
	kept, err := remaining(a, said)
	if err != nil {
		return question{}, err
	}
	v := view{
		Dimension: describe(d, "", agent, progressScale), Dialogue: dialogueText(kept),
		Lowest: strconv.FormatFloat(lo, 'g', 3, 64), Highest: strconv.FormatFloat(hi, 'g', 3, 64),
	}
	v.describeEpisode(ep, a)
	q := question{llm: r.LLM, key: a.Key, prompt: v.render("value"), tries: r.Tries, temperature: r.Temperature}
	if q.tries <= 0 {
		q.tries = DefaultUtteranceTries
	}
	return q, nil
}

// remaining returns the utterances that are left of a dialogue.
func remaining(a *Attribution, said []bool) ([]Credit, error) {
	if own := len(a.Own()); own != len(said) {
		return nil, fmt.Errorf("attribution: episode %s: %d utterances to say or leave out, %s has %d", a.EpisodeID, len(said), a.Agent, own)
	}
	var kept []Credit
	k := 0
	for _, c := range a.Credits {
		if c.Speaker != a.Agent || said[k] {
			kept = append(kept, c)
		}
		if c.Speaker == a.Agent {
			k++
		}
	}
	return kept, nil
}

// Without returns the episode as if the agent had said only some of what it said:
// said[k] tells whether its k-th utterance stays. Where one goes the agent did
// nothing in that turn, and nobody is told of it. Nobody judged that episode: it has
// no rewards, and no reasons. It is an error where the agent is unknown or said has
// another length than the agent has utterances. ep is not changed.
func Without(ep *episode.Episode, agent string, said []bool) (*episode.Episode, error) {
	a, err := open(ep, agent, Method{})
	if err != nil {
		return nil, err
	}
	kept, err := remaining(a, said)
	if err != nil {
		return nil, err
	}
	e := *ep
	e.Rewards, e.RawRewards, e.Reasoning, e.RewardsPrompt = nil, nil, "", ""
	e.SocialInteractions = interactions(kept)
	e.RawMessages = append([][]episode.LogMessage(nil), ep.RawMessages...)
	left := map[int]bool{}
	for _, c := range kept {
		left[c.Index] = true
	}
	for _, c := range a.Credits {
		if !left[c.Index] && c.Turn >= 0 {
			silence(e.RawMessages, c)
		}
	}
	return &e, nil
}

// silence makes the speaker of an utterance do nothing in its turn.
func silence(turns [][]episode.LogMessage, c Credit) {
	turn := append([]episode.LogMessage(nil), turns[c.Turn]...)
	var heard []string
	for i, m := range turn {
		if m.Sender == episode.Environment {
			continue
		}
		if act, err := episode.ParseActionText(m.Text); err == nil && act.Type == episode.None {
			continue
		}
		if m.Sender == c.Speaker {
			turn[i].Text = episode.Action{Type: episode.None}.Text()
			continue
		}
		heard = append(heard, m.Sender+" "+m.Text)
	}
	turns[c.Turn] = turn
	if c.Turn+1 == len(turns) {
		return
	}
	opening := fmt.Sprintf("Turn #%d:", c.Turn)
	next := append([]episode.LogMessage(nil), turns[c.Turn+1]...)
	for i, m := range next {
		if m.Sender == episode.Environment && strings.HasPrefix(m.Text, opening) {
			next[i].Text = opening + " " + strings.Join(heard, ";") + "\n"
		}
	}
	turns[c.Turn+1] = next
}

// interactions is the dialogue as the text of an episode file.
func interactions(credits []Credit) string {
	var parts []string
	for _, c := range credits {
		if strings.HasPrefix(c.Text, `said: "`) {
			parts = append(parts, c.Speaker+" "+c.Text)
		} else {
			parts = append(parts, c.Speaker+": "+c.Text)
		}
	}
	return strings.Join(parts, "\n\n")
}
