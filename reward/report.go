package reward

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// ReportOptions changes what [NewReport] makes of episodes. The zero value is usable.
type ReportOptions struct {
	Title     string                // "" is "Evaluation"
	Tokens    func(text string) int // number of tokens of an utterance; nil: what endpoints counted, the action's JSON included
	Resamples int                   // of the bootstrap; 0 is 10000
	Seed      uint64                // of the bootstrap

	// Credits shade the utterances on the page: the first of each agent does, in the
	// order of methods with a scale, then of names. Those of other episodes are ignored.
	Credits []*attribution.Attribution
	// Second holds the same episodes with the verdicts of another judge, as [Rejudge]
	// makes them; nil: judges are not compared.
	Second []*episode.Episode
}

// Report tells what models reached in a set of episodes. It is written as Markdown, as
// JSON and as a page.
type Report struct {
	Title       string              `json:"title"`
	Episodes    int                 `json:"episodes"`
	Judges      []string            `json:"judges"`     // names, in order
	Dimensions  []episode.Dimension `json:"dimensions"` // that have a score anywhere; overall last
	Models      []ModelReport       `json:"models"`     // by name
	Pairs       []Pair              `json:"pairs"`      // who played whom, by name
	Differences []Difference        `json:"differences"`
	Failures    []ReportFailure     `json:"failures"` // appearances without a verdict
	Agreement   *JudgeComparison    `json:"agreement,omitempty"`

	plays   []play
	credits map[creditKey][]*attribution.Attribution
}

// ModelReport holds the figures of one model.
type ModelReport struct {
	Model  string     `json:"model"`
	All    SeatReport `json:"all"` // both seats; self-play counts twice
	First  SeatReport `json:"first_speaker"`
	Second SeatReport `json:"second_speaker"`
}

// SeatReport holds the figures of one model in one seat or in both.
type SeatReport struct {
	Count    int `json:"count"`    // appearances that were judged
	Failed   int `json:"failed"`   // appearances that were not
	Settings int `json:"settings"` // different (environment, seat) among the judged
	Measures

	Replies *episode.ReplyStats `json:"replies,omitempty"` // what became of the model's replies; nil where episodes do not tell
}

// Measures are figures over appearances. Scores are those of judged ones, all others
// those of all.
type Measures struct {
	Scores     map[episode.Dimension]Figure `json:"scores"`
	Turns      Figure                       `json:"turns"`            // turns of the episode in which an agent could act
	Utterances Figure                       `json:"utterances"`       // of the agent: speech, gestures and acts
	Words      Figure                       `json:"words"`            // per utterance, told apart by space
	Tokens     *Figure                      `json:"tokens,omitempty"` // per utterance; nil where nobody counted them
}

// Figure is a mean and how far it can be trusted.
type Figure struct {
	N      int     `json:"n"`                // what the mean is over: appearances, utterances or scenes
	Mean   float64 `json:"mean"`             // 0 where N is 0
	Margin float64 `json:"margin,omitempty"` // of the sotopia benchmark, see [Summarize]; of scores only
	Low    float64 `json:"low"`              // the interval of 95% by a bootstrap over environments
	High   float64 `json:"high"`
}

// Pair counts the episodes of two models.
type Pair struct {
	First    string `json:"first_speaker"`
	Second   string `json:"second_speaker"`
	Episodes int    `json:"episodes"`
}

// Difference compares two models on the scenes that both were in: the same
// environment, the same two characters, the same seat. Each scene counts once, with
// the model's mean over its appearances there. A figure is the mean of A − B.
type Difference struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Scenes int    `json:"scenes"` // that both were in
	Measures
}

// ReportFailure is an appearance without a verdict.
type ReportFailure struct {
	EpisodeID string `json:"episode_id"`
	Agent     string `json:"agent"`
	Model     string `json:"model"`
	Reason    string `json:"reason"` // what was wrong with the last reply, or that there is no verdict
}

// unknownModel stands for a model that an episode does not name.
const unknownModel = "(unknown)"

// NewReport computes the report of judged episodes. It depends on the set of episodes,
// not on their order. Episodes that name no models are those of "(unknown)". An episode
// without two agents is an error.
func NewReport(episodes []*episode.Episode, o ReportOptions) (*Report, error) {
	r := &Report{Title: cmp.Or(o.Title, "Evaluation"), Episodes: len(episodes), credits: creditsOf(o.Credits)}
	for _, e := range episodes {
		both, err := playsOf(e, o.Tokens)
		if err != nil {
			return nil, err
		}
		r.plays = append(r.plays, both...)
	}
	slices.SortStableFunc(r.plays, comparePlays)
	r.Dimensions = dimensionsOf(r.plays)
	s := sampler{dimensions: r.Dimensions, tokens: slices.ContainsFunc(r.plays, func(p play) bool { return p.counted }), resamples: cmp.Or(o.Resamples, 10000), seed: o.Seed}
	byModel := map[string][]play{}
	for _, p := range r.plays {
		byModel[p.model] = append(byModel[p.model], p)
	}
	names := slices.Sorted(maps.Keys(byModel))
	for i, name := range names {
		r.Models = append(r.Models, s.model(name, byModel[name]))
		for _, other := range names[:i] {
			if d := s.difference(byModel[name], byModel[other]); d.Scenes > 0 {
				d.A, d.B = name, other
				r.Differences = append(r.Differences, d)
			}
		}
	}
	r.Judges, r.Pairs, r.Failures = judgesOf(r.plays), pairsOf(r.plays), failuresOf(r.plays)
	if o.Second == nil {
		return r, nil
	}
	var err error
	r.Agreement, err = CompareJudges(episodes, o.Second)
	return r, err
}

// WriteJSON writes the figures as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// judgesOf returns the names of the judges.
func judgesOf(plays []play) []string {
	names := map[string]bool{}
	for _, p := range plays {
		if len(p.episode.Models) == 1+agents && p.episode.Models[0] != "" {
			names[p.episode.Models[0]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// pairsOf counts who played whom.
func pairsOf(plays []play) []Pair {
	counts := map[Pair]int{}
	for _, p := range plays {
		if p.seat == 0 {
			counts[Pair{First: p.model, Second: p.partner}]++
		}
	}
	out := []Pair{}
	for p, n := range counts {
		p.Episodes = n
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Pair) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second)) })
	return out
}

// failuresOf lists the appearances without a verdict.
func failuresOf(plays []play) []ReportFailure {
	out := []ReportFailure{}
	for _, p := range plays {
		if !p.judged() {
			out = append(out, ReportFailure{p.episode.ID, p.agent, p.model, failureReason(p.episode)})
		}
	}
	return out
}

func failureReason(e *episode.Episode) string {
	f, err := StoredFailure(e)
	switch {
	case err != nil:
		return err.Error()
	case f != nil && len(f.Tries) > 0:
		last := f.Tries[len(f.Tries)-1]
		return fmt.Sprintf("%d unusable replies of the judge, the last: %s", len(f.Tries), last.Reason)
	}
	return episode.ErrNotJudged.Error()
}

// creditKey finds the attributions of an agent.
type creditKey struct{ episodeID, agent string }

// creditsOf sorts attributions by agent: those on a scale first, then by method.
func creditsOf(list []*attribution.Attribution) map[creditKey][]*attribution.Attribution {
	m := map[creditKey][]*attribution.Attribution{}
	for _, a := range list {
		k := creditKey{a.EpisodeID, a.Agent}
		m[k] = append(m[k], a)
	}
	for _, of := range m {
		slices.SortStableFunc(of, func(a, b *attribution.Attribution) int {
			return cmp.Or(cmp.Compare(min(1, b.Method.Scale), min(1, a.Method.Scale)), cmp.Compare(a.Method.String(), b.Method.String()))
		})
	}
	return m
}

// errAgents says which episode cannot be reported on.
func errAgents(e *episode.Episode) error {
	if e.ID == "" {
		return errors.New("reward: an episode has neither an id nor two agents")
	}
	return fmt.Errorf("reward: episode %s has the agents %q, want two", e.ID, e.Agents())
}
