package attribution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// How often a model is asked for a usable reply: by methods that ask once about
// all utterances, and by those that ask about each.
const (
	DefaultTries          = 5
	DefaultUtteranceTries = 3
)

// asking is a method that asks a model about an agent's part in an episode, with
// all that such methods have in common: the description of the task, the calls,
// the check of replies, further tries, and what a failure is. Methods differ in
// the tasks that they set and in what they make of the answers.
type asking struct {
	goName      string // of the type, for errors
	llm         episode.LLM
	method      Method
	description string // of the dimension; "" is the library's own
	temperature float64
	tries       int     // 0 is usual
	usual       int     // tries of this kind of method
	fixed       float64 // shared out in place of the episode's score; 0 is the episode's

	tasks  func(v view, a *Attribution) []task
	credit func(a *Attribution, answers []float64) // one answer for each own utterance, NaN where it was not asked
}

// task is one call: it gets an answer for each of some utterances of the agent.
type task struct {
	prompt string
	about  []int // own utterances, counted from 0
	parse  func(reply string) ([]float64, error)
}

// attribute implements Attributor.
func (m asking) attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	if m.llm == nil {
		return nil, fmt.Errorf("attribution: %s: LLM is missing", m.goName)
	}
	a, tasks, err := m.prepare(ep, agent)
	if err != nil {
		return nil, err
	}
	answers := make([]float64, len(a.Own()))
	for k := range answers {
		answers[k] = math.NaN()
	}
	for _, t := range tasks {
		values, used, err := ask(ctx, m.question(a.Key, t.prompt), t.parse)
		a.Usage.Add(used)
		if err != nil {
			return nil, withUsage(err, a.Usage)
		}
		for i, k := range t.about {
			answers[k] = values[i]
		}
	}
	m.credit(a, answers)
	return a, nil
}

// requests implements Planner.
func (m asking) requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	a, tasks, err := m.prepare(ep, agent)
	var requests []episode.Request
	for _, t := range tasks {
		requests = append(requests, m.question(a.Key, t.prompt).request(""))
	}
	return requests, err
}

// prepare begins the attribution and sets the tasks; an agent that said nothing
// gets none.
func (m asking) prepare(ep *episode.Episode, agent string) (*Attribution, []task, error) {
	v := view{
		Dimension: describe(m.method.Dimension, m.description, agent, m.method.Scale),
		Scale:     m.method.Scale, Anchors: anchors[m.method.Scale],
		Manner: m.method.Dimension == episode.ConversationBehavior,
	}
	if v.Dimension == "" {
		return nil, nil, fmt.Errorf("attribution: %s: dimension %q needs a Description", m.goName, m.method.Dimension)
	}
	a, err := open(ep, agent, m.method)
	if err == nil && m.fixed == 0 {
		err = a.readScore(ep)
	}
	if err != nil {
		return nil, nil, err
	}
	if m.fixed != 0 {
		a.Score = m.fixed
	}
	if len(a.Own()) == 0 {
		return a, nil, nil
	}
	v.describeEpisode(ep, a)
	return a, m.tasks(v, a), nil
}

func (m asking) question(k Key, prompt string) question {
	q := question{llm: m.llm, key: k, prompt: prompt, tries: m.tries, temperature: m.temperature}
	if q.tries <= 0 {
		q.tries = m.usual
	}
	return q
}

// withUsage puts what the calls before a failure took into the failure.
func withUsage(err error, u Usage) error {
	var f *Failure
	if errors.As(err, &f) {
		f.Usage = u
	}
	return err
}

// scoring returns a task whose answers are scores by index.
func scoring(prompt string, about []int, bounds ...bound) task {
	return task{prompt, about, func(reply string) ([]float64, error) { return parseScores(reply, bounds) }}
}

// question is what a method wants to know from a model.
type question struct {
	llm         episode.LLM
	key         Key
	prompt      string
	tries       int     // replies that are looked at, at least 1
	temperature float64 // below 0: the model's own
}

// request returns the call for the next try, after the reason why the reply
// before it could not be used; "" for the first try.
func (q question) request(reason string) episode.Request {
	text := q.prompt
	if reason != "" {
		text += "\n\nAn earlier reply could not be used: " + reason + ". Reply in exactly the form asked for."
	}
	r := episode.Request{Messages: episode.Prompt(text), JSON: true}
	if q.temperature >= 0 {
		r.Temperature = &q.temperature
	}
	return r
}

// ask puts the question until parse accepts the reply. The error is a [*Failure].
func ask[T any](ctx context.Context, q question, parse func(reply string) (T, error)) (T, Usage, error) {
	var zero T
	f := &Failure{Key: q.key, Err: ErrNoUsableReply}
	reason := ""
	for range q.tries {
		reply, err := Chat(ctx, q.llm, q.request(reason))
		if err != nil {
			f.Err = err
			break
		}
		f.Usage.Add(Usage{Calls: 1, Usage: reply.Usage})
		value, err := parse(reply.Text)
		if err == nil {
			return value, f.Usage, nil
		}
		reason = strings.TrimSuffix(err.Error(), ".")
		if reply.FinishReason == "length" {
			reason += "; it was cut off at the limit of tokens"
		}
		f.Tries = append(f.Tries, Try{reply.Text, reason})
	}
	return zero, f.Usage, f
}
