package world

import (
	"context"
	"fmt"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Score is how the learner did in one episode, or the mean over several.
type Score struct {
	Goal         float64 // 0..10
	Relationship float64 // -5..5
	Knowledge    float64 // 0..10
	Words        float64 // per utterance of the learner; 0 where it said nothing
}

// ScoreOf reads the learner's score from a judged episode of a case.
func ScoreOf(c Case, e *episode.Episode) (Score, error) {
	var s Score
	for d, to := range map[episode.Dimension]*float64{
		episode.Goal: &s.Goal, episode.Relationship: &s.Relationship, episode.Knowledge: &s.Knowledge,
	} {
		v, err := e.Score(c.Learner.Name, d)
		if err != nil {
			return Score{}, err
		}
		*to = v
	}
	said, words := 0, 0
	for _, u := range e.UtterancesOf(c.Learner.Name) {
		if u.Action.Type == episode.Speak {
			said++
			words += len(strings.Fields(u.Action.Argument))
		}
	}
	s.Words = float64(words) / float64(max(said, 1))
	return s, nil
}

// Evaluate plays every case with the player and returns the learner's scores,
// one per case. Scores of several players over the same cases are paired.
func Evaluate(ctx context.Context, cases []Case, p Player) ([]Score, error) {
	episodes, err := Play(ctx, cases, p)
	if err != nil {
		return nil, err
	}
	return Scores(cases, episodes)
}

// Scores returns the learner's scores of judged episodes, one per case.
func Scores(cases []Case, episodes []*episode.Episode) ([]Score, error) {
	if len(cases) != len(episodes) {
		panic("world: Scores needs one episode per case")
	}
	scores := make([]Score, len(cases))
	for i, c := range cases {
		s, err := ScoreOf(c, episodes[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID(), err)
		}
		scores[i] = s
	}
	return scores, nil
}

// ByScenario returns the mean score of each scenario, in the order in which the
// scenarios first come up among the cases: the independent units over which
// differences are paired and intervals taken.
func ByScenario(cases []Case, scores []Score) []Score {
	if len(cases) != len(scores) {
		panic("world: ByScenario needs one score per case")
	}
	groups := map[string]int{}
	var members [][]Score
	for i, c := range cases {
		g, ok := groups[c.Scenario.Codename]
		if !ok {
			g = len(members)
			groups[c.Scenario.Codename] = g
			members = append(members, nil)
		}
		members[g] = append(members[g], scores[i])
	}
	means := make([]Score, len(members))
	for g, m := range members {
		means[g] = Mean(m)
	}
	return means
}

// Mean returns the mean of the scores, and the zero Score where there are none.
func Mean(scores []Score) Score {
	var m Score
	n := float64(max(len(scores), 1))
	for _, s := range scores {
		m.Goal += s.Goal / n
		m.Relationship += s.Relationship / n
		m.Knowledge += s.Knowledge / n
		m.Words += s.Words / n
	}
	return m
}

// BestConstant returns, of everything that can be said in any kind of
// situation, the words that reach the highest mean goal over the cases when
// they are said in every turn of every case, and that mean. Of equals the first
// in the order of [Kinds] and [Moves] wins.
func BestConstant(cases []Case) (text string, goal float64) {
	goal = -1
	for _, k := range Kinds() {
		for _, m := range moveTable[k].moves {
			words := m.Text(k)
			sum := 0.0
			for _, c := range cases {
				sum += simulate(c, func(*state) episode.Action { return say(words) }).goal()
			}
			if mean := sum / float64(max(len(cases), 1)); mean > goal {
				text, goal = words, mean
			}
		}
	}
	return text, goal
}

// simulate plays a case without making an episode, and returns how it ended.
func simulate(c Case, choose func(*state) episode.Action) *state {
	return newState(c).finish(choose)
}

// finish plays on to the end.
func (s *state) finish(choose func(*state) episode.Action) *state {
	for !s.over {
		s.take(choose(s))
	}
	return s
}
