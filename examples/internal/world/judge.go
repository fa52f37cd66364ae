package world

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Judge scores an episode of a case by rule: goal 0..10, relationship -5..5 and
// knowledge 0..10, whole numbers, for both sides. It knows what the partner
// hides and reads the transcript, nothing else.
//
// The learner's scores:
//
//	goal         8 x worth of the agreement (0..1), + 2 for parting with thanks,
//	             - 2 for every move after the agreement that is no thanks,
//	             - 1 for every time it pushed; without agreement 1 if the partner
//	             opened up, else 0
//	relationship 2 x the partner's mood at the end (-2..2), + 1 for parting with
//	             thanks, - 1 for every time it pushed
//	knowledge    6 for what the partner said when asked (3 where it said so
//	             unasked), + 4 for an agreement
//
// The partner's relationship is the learner's. Its goal is 10 - 5 x worth in a
// bargain, and 4 + 3 x mood at the agreement otherwise; 2 without agreement. Its
// knowledge is 5 for the learner's opening, where the kind has one, and 5 for an
// agreement.
type Judge struct{ Case Case }

// verdict is what the judge makes of one side.
type verdict struct {
	goal, relationship, knowledge float64
	why                           [3]string
}

// Evaluate scores both sides.
func (j Judge) Evaluate(_ context.Context, e *episode.Episode) (episode.Judgement, error) {
	s := j.replay(e)
	verdicts := []verdict{s.judgeLearner(), s.judgePartner()}
	if j.Case.Seat == 1 {
		slices.Reverse(verdicts)
	}
	var out episode.Judgement
	var comments []string
	for i, v := range verdicts {
		out.Rewards = append(out.Rewards, episode.NewReward(
			episode.DimensionScore{Dimension: episode.Relationship, Score: v.relationship},
			episode.DimensionScore{Dimension: episode.Knowledge, Score: v.knowledge},
			episode.DimensionScore{Dimension: episode.Goal, Score: v.goal},
		))
		comments = append(comments, fmt.Sprintf("Agent %d comments:\nrelationship: %s\nknowledge: %s\ngoal: %s", i+1, v.why[0], v.why[1], v.why[2]))
	}
	out.Reasoning = strings.Join(comments, "\n")
	return out, nil
}

// replay goes through the learner's turns of a transcript.
func (j Judge) replay(e *episode.Episode) *state {
	s := newState(j.Case)
	did := map[int]episode.Action{}
	for _, u := range e.Utterances() {
		did[u.Turn] = u.Action
	}
	for turn := j.Case.Seat; turn < len(e.RawMessages)-1 && !s.over; turn += 2 {
		action, ok := did[turn]
		if !ok {
			action = episode.Action{Type: episode.None}
		}
		s.take(action)
	}
	return s
}

func clamp(x, lo, hi float64) float64 { return math.Round(min(max(x, lo), hi)) }

func (s *state) judgeLearner() verdict {
	return verdict{
		goal:         s.goal(),
		relationship: s.relationship(),
		knowledge:    s.knowledge(),
		why: [3]string{
			fmt.Sprintf("The partner's mood is %d at the end; parted with thanks: %t; pushed %d times.", s.mood, s.parted, s.pushes),
			fmt.Sprintf("Learned what the partner hides: %t (unasked: %t).", s.known, s.c.Told),
			fmt.Sprintf("Agreement: %t, worth %.2f; parted with thanks: %t; went on after it %d times.", s.agreed, s.quality, s.parted, s.reopened),
		},
	}
}

func (s *state) goal() float64 {
	if !s.agreed {
		return clamp(b2f(s.known && !s.c.Told)-float64(s.pushes), 0, 10)
	}
	return clamp(8*s.quality+2*b2f(s.parted)-2*float64(s.reopened)-float64(s.pushes), 0, 10)
}

func (s *state) relationship() float64 {
	return clamp(2*float64(s.mood)+b2f(s.parted)-float64(s.pushes), -5, 5)
}

func (s *state) knowledge() float64 {
	fact := 6.0
	if s.c.Told {
		fact = 3
	}
	return clamp(fact*b2f(s.known)+4*b2f(s.agreed), 0, 10)
}

func (s *state) judgePartner() verdict {
	v := verdict{
		goal: 2, relationship: s.relationship(),
		knowledge: clamp(5*b2f(s.opened && s.c.Scenario.Kind.needsOpening())+5*b2f(s.agreed), 0, 10),
		why: [3]string{
			fmt.Sprintf("Mood %d at the end.", s.mood),
			fmt.Sprintf("Heard the learner's side first: %t.", s.opened),
			fmt.Sprintf("Agreement: %t.", s.agreed),
		},
	}
	switch {
	case s.agreed && s.c.Scenario.Kind.priced():
		v.goal = clamp(10-5*s.quality, 0, 10)
	case s.agreed:
		v.goal = clamp(4+3*float64(s.agreedMood()), 0, 10)
	}
	return v
}

// agreedMood is the mood in which the partner agreed.
func (s *state) agreedMood() int { return s.moods[slices.Index(s.events, Agreed)] }

// b2f is 1 for true and 0 for false.
func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
