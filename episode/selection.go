package episode

import (
	"cmp"
	"iter"
)

// Selection says what is cloned from a set of episodes. The zero value takes the
// best episode of each environment for each seat.
type Selection struct {
	Template *PromptTemplate // of the items; nil: [DefaultPrompt]
	Tag      string          // only episodes with this tag; "": all
	Model    string          // only episodes in which both agents are this model; "": all
	All      bool            // every episode that was judged, not only the best
}

// Seated is an agent of an episode.
type Seated struct {
	Episode *Episode
	Agent   string
}

// Seats returns the agents whose turns are cloned, in the order in which their
// environments first appear, first speaker before second. Of the episodes of an
// environment (of a scenario, where it has no id) the one with the highest goal
// score counts, then that with the highest overall score, then the earliest.
// Episodes that a judge did not score for both agents are left out.
//
// An error of the sequence ends the selection and is returned.
func (s Selection) Seats(episodes iter.Seq2[*Episode, error]) ([]Seated, error) {
	var seats []Seated
	best := map[seatKey]int{}
	for e, err := range episodes {
		if err != nil {
			return nil, err
		}
		if !s.admits(e) {
			continue
		}
		for seat, agent := range e.Agents() {
			candidate := Seated{e, agent}
			key := seatKey{cmp.Or(e.EnvironmentID, e.Scenario), seat}
			i, seen := best[key]
			switch {
			case !seen || s.All:
				best[key] = len(seats)
				seats = append(seats, candidate)
			case candidate.compare(seats[i]) > 0:
				seats[i] = candidate
			}
		}
	}
	return seats, nil
}

// seatKey is a seat of an environment.
type seatKey struct {
	environment string
	seat        int
}

func (s Selection) admits(e *Episode) bool {
	if s.Tag != "" && e.Tag != s.Tag || e.Failed() {
		return false
	}
	return s.Model == "" || len(e.Models) == 3 && e.Models[1] == s.Model && e.Models[2] == s.Model
}

// compare orders by goal and then by overall score; a missing score is the
// lowest.
func (s Seated) compare(other Seated) int {
	for _, d := range []Dimension{Goal, Overall} {
		a, errA := s.Episode.Score(s.Agent, d)
		b, errB := other.Episode.Score(other.Agent, d)
		if c := cmp.Or(cmp.Compare(boolRank(errA == nil), boolRank(errB == nil)), cmp.Compare(a, b)); c != 0 {
			return c
		}
	}
	return 0
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Items returns the training items of the selected seats. Items whose output did
// nothing are left out. An episode without raw messages is an error.
func (s Selection) Items(episodes iter.Seq2[*Episode, error]) ([]Item, error) {
	seats, err := s.Seats(episodes)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, seat := range seats {
		own, err := seat.Episode.Items(seat.Agent, s.Template)
		if err != nil {
			return nil, err
		}
		for _, item := range own {
			if !item.DidNothing() {
				items = append(items, item)
			}
		}
	}
	return items, nil
}
