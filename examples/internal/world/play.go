package world

import (
	"context"
	"fmt"
	"slices"

	"github.com/socialrl/socialrl/episode"
)

// Template returns the prompt of the world: the history, and whose turn it is.
func Template() *episode.PromptTemplate { return template }

var template = func() *episode.PromptTemplate {
	t, err := episode.NewPromptTemplate("{history}\n{agent}:")
	if err != nil {
		panic("world: " + err.Error())
	}
	return t
}()

// maxTurns bounds an episode; the partner's patience ends earlier.
const maxTurns = 16

// ID returns the id of the episode that is played of the case, such as
// sell_lamp-7-0 for the first case drawn from seed 7.
func (c Case) ID() string { return fmt.Sprintf("%s-%d-%d", c.Scenario.Codename, c.Seed, c.Index) }

// Scene returns what the two sides are told.
func (c Case) Scene() episode.Scene {
	learner := participant(c.Learner, c.Scenario.Goal)
	partner := participant(c.Partner, c.Scenario.PartnerGoal)
	partner.Known = fmt.Sprintf("%s %s.", c.Partner.Name, temperTable[c.Partner.Temper].known)
	partner.Background += fmt.Sprintf(" %s is %s and %s.", c.Partner.Name, c.Partner.Temper, temperTable[c.Partner.Temper].known)
	scene := episode.Scene{
		EnvironmentID: c.Scenario.Codename, Codename: c.Scenario.Codename, Scenario: c.setting(),
		Participants: [2]episode.Participant{learner, partner},
	}
	if c.Seat == 1 {
		slices.Reverse(scene.Participants[:])
	}
	return scene
}

func participant(c Character, goal string) episode.Participant {
	work := fmt.Sprintf("%s is a %s.", c.Name, c.Work)
	return episode.Participant{ID: c.Name, Name: c.Name, Goal: goal, Background: work, Known: work}
}

// PlayCase plays one case, judged where judge is true, and returns the episode.
func PlayCase(ctx context.Context, c Case, learner episode.Agent, judge bool, opts ...episode.Option) (*episode.Episode, error) {
	agents := []episode.Agent{learner, NewPartner(c)}
	if c.Seat == 1 {
		slices.Reverse(agents)
	}
	all := []episode.Option{episode.WithID(c.ID()), episode.WithMaxTurns(maxTurns), episode.WithStale(episode.StaleActions)}
	if judge {
		all = append(all, episode.WithEvaluator(Judge{c}))
	}
	return episode.Play(ctx, c.Scene(), agents, append(all, opts...)...)
}

// Play plays every case with the player and has it judged. Episodes come in the
// order of the cases.
func Play(ctx context.Context, cases []Case, p Player, opts ...episode.Option) ([]*episode.Episode, error) {
	episodes := make([]*episode.Episode, len(cases))
	for i, c := range cases {
		e, err := PlayCase(ctx, c, p(c), true, opts...)
		if err != nil {
			return nil, err
		}
		episodes[i] = e
	}
	return episodes, nil
}
