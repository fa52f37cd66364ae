package main

import (
	"context"
	"io"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/learner"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// miniature is the miniature world: its partners and its judge follow rules, and credit is
// what can be read in the dialogues.
type miniature struct {
	settings
	log  io.Writer
	eng  lora.Engine
	base *policy.Base

	train, heldOut []world.Scenario
}

func newMiniature(s settings, log io.Writer) (*miniature, error) {
	m := &miniature{settings: s, log: log}
	m.train, m.heldOut = world.Split(world.Scenarios(), s.seed)
	if n := s.scenarios; n > 0 {
		m.train, m.heldOut = m.train[:min(n, len(m.train))], m.heldOut[:min(n, len(m.heldOut))]
	}
	var err error
	if m.eng, err = lora.Open(s.model.Device); err != nil {
		return nil, err
	}
	if m.base, err = learner.NewBase(m.eng, s.seed); err != nil {
		m.eng.Close()
		return nil, err
	}
	return m, nil
}

func (m *miniature) close() {
	m.base.Close()
	m.eng.Close()
}

func (m *miniature) untrained() (*policy.Policy, error) { return learner.Fresh(m.base) }

// demonstrate has scripted players of mixed skill play: a policy that has never seen the
// world has nothing to say in it, and only who has seen good and bad knows one from the
// other.
func (m *miniature) demonstrate(ctx context.Context, path string) (string, error) {
	cases := world.Cases(m.train, m.sizes.startEpisodes, ^m.seed)
	player := world.Noisy(m.seed)
	episodes := make([]*episode.Episode, len(cases))
	for i, c := range cases {
		var err error
		if episodes[i], err = world.PlayCase(ctx, c, player(c), true, episode.WithTag("start")); err != nil {
			return "", err
		}
	}
	return scriptedPlayer, write(path, cases, episodes, scriptedPlayer)
}

// write names the models of played cases and writes the episodes.
func write(path string, cases []world.Case, episodes []*episode.Episode, player string) error {
	for i, e := range episodes {
		e.Models = []string{scriptedJudge, scriptedPartner, scriptedPartner}
		e.Models[1+cases[i].Seat] = player
	}
	return writeFile(path, func(w io.Writer) error { return episode.WriteJSONL(w, episodes...) })
}

// The names of whom there is beside policies.
const (
	scriptedPlayer  = "scripted player"
	scriptedJudge   = "scripted judge"
	scriptedPartner = "scripted partner"
)

// cases returns what is played: in every round something else, and in every evaluation
// the same.
func (m *miniature) cases(b billing) []world.Case {
	if b.evaluate {
		return world.Cases(m.heldOut, m.evaluations, m.seed)
	}
	return world.Cases(m.train, m.episodes, m.seed+uint64(b.round)+1)
}

// play plays all cases in step, so that the policy answers in batches.
func (m *miniature) play(ctx context.Context, p *policy.Policy, b billing, path string) error {
	seed := 2*uint64(b.round) + 1
	if b.evaluate {
		seed--
	}
	s, err := learner.NewSampler(p, m.seed<<8+seed, m.sizes.grpo.MaxCompletion)
	if err != nil {
		return err
	}
	cases := m.cases(b)
	episodes, err := world.Lockstep(ctx, cases, true, s.Reply, episode.WithTag(b.tag))
	if err != nil {
		return err
	}
	return write(path, cases, episodes, b.name())
}

func (m *miniature) methods() ([]attribution.Attributor, error) {
	var all []attribution.Attributor
	for _, d := range []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge} {
		all = append(all, attribution.Evidence{Dimension: d, Func: world.Evidence(d)})
	}
	return all, nil
}

func (m *miniature) template() *episode.PromptTemplate { return world.Template() }

func (m *miniature) valuer(p *policy.Policy) (*reward.RewardModel, error) { return learner.Valuer(p) }
