package arena

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// Players opens players and models by name, each once.
type Players struct {
	s         Settings
	in        io.Reader
	out       io.Writer
	endpoints episode.Endpoints

	engine   sync.Mutex // held while the engine computes
	base     *policy.Base
	closing  []func() // in the order of opening
	local    map[string]episode.LLM
	specs    map[string]string // what players were opened by, by their names
	scorer   episode.ActionScorer
	template *episode.PromptTemplate
	human    bool // somebody plays at the terminal
}

func newPlayers(s Settings, in io.Reader, out io.Writer) *Players {
	p := &Players{s: s, in: in, out: out, local: map[string]episode.LLM{}, specs: map[string]string{}}
	p.endpoints = episode.Endpoints{URL: s.URL, Limit: s.Limit, Options: []episode.RemoteOption{episode.WithTimeout(s.Timeout)}}
	return p
}

// Close frees everything.
func (p *Players) Close() {
	for len(p.closing) > 0 {
		last := len(p.closing) - 1
		p.closing[last]()
		p.closing = p.closing[:last]
	}
}

// The names of players that are no endpoints.
const (
	localName  = "local"
	humanName  = "human"
	bestPrefix = "best"
)

// parseSpec takes [NAME=][bestN:]MODEL apart. Without a name the whole is the name.
func parseSpec(spec string) (name string, n int, model string, err error) {
	name, model, named := strings.Cut(spec, "=")
	if !named || strings.Contains(name, "://") { // it stands in a URL
		name, model = spec, spec
	}
	if rest, ok := strings.CutPrefix(model, bestPrefix); ok {
		count, after, found := strings.Cut(rest, ":")
		if k, err := strconv.Atoi(count); found && err == nil {
			if k < 1 {
				return "", 0, "", fmt.Errorf("player %q: best of %d", spec, k)
			}
			n, model = k, after
		}
	}
	if name == "" || model == "" {
		return "", 0, "", fmt.Errorf("player %q: want [NAME=][bestN:]MODEL", spec)
	}
	return name, n, model, nil
}

// Open returns the player that a flag names.
func (p *Players) Open(spec string) (episode.Player, error) {
	name, n, model, err := parseSpec(spec)
	if err != nil {
		return episode.Player{}, err
	}
	p.specs[name] = spec
	if p.s.Redis != "" {
		return p.elsewhere(name, model)
	}
	if model == humanName {
		return p.person(name)
	}
	agent, err := p.agent(model)
	if err != nil {
		return episode.Player{}, fmt.Errorf("player %s: %w", name, err)
	}
	if n == 0 {
		return episode.Player{Model: name, New: func() episode.Agent { return agent }}, nil
	}
	scorer, err := p.rewardModel()
	if err != nil {
		return episode.Player{}, fmt.Errorf("player %s: %w", name, err)
	}
	best := &episode.BestOfN{Agent: agent, Scorer: scorer, N: n}
	return episode.Player{Model: name, New: func() episode.Agent { return best }}, nil
}

// person returns the player at the terminal, of whom there is one.
func (p *Players) person(name string) (episode.Player, error) {
	if p.human {
		return episode.Player{}, cli.Usagef("both players are human, and there is one terminal")
	}
	p.human = true
	h := &episode.Human{In: p.in, Out: p.out}
	return episode.Player{Model: name, New: func() episode.Agent { return h }}, nil
}

// elsewhere returns a player that is on other machines.
func (p *Players) elsewhere(name, model string) (episode.Player, error) {
	if model == humanName {
		return episode.Player{}, cli.Usagef("a human cannot play on other machines; leave -redis out")
	}
	return episode.Player{Model: name, New: func() episode.Agent { return nil }}, nil
}

// agent returns the agent of a model.
func (p *Players) agent(model string) (*episode.LLMAgent, error) {
	llm, err := p.Model(model)
	if err != nil {
		return nil, err
	}
	template, err := p.promptTemplate()
	if err != nil {
		return nil, err
	}
	a := &episode.LLMAgent{
		LLM: llm, Template: template, Temperature: new(p.s.Sampling.Temperature), MaxTokens: p.s.Sampling.MaxTokens,
		Seed: p.s.Seed, FreeText: p.s.FreeText, Reformat: llm,
	}
	if p.s.Sampling.TopP < 1 {
		a.TopP = p.s.Sampling.TopP
	}
	if p.s.Reformat != "" {
		if a.Reformat, err = p.Model(p.s.Reformat); err != nil {
			return nil, fmt.Errorf("-reformat: %w", err)
		}
	}
	return a, nil
}

func (p *Players) promptTemplate() (*episode.PromptTemplate, error) {
	if p.s.Template == "" || p.template != nil {
		return p.template, nil
	}
	var err error
	p.template, err = episode.LoadPromptTemplate(cli.Split(p.s.Template)...)
	return p.template, err
}

// Model returns the chat model of a name: local, local:DIR, or that of an endpoint.
func (p *Players) Model(name string) (episode.LLM, error) {
	dir, adapted := strings.CutPrefix(name, localName+":")
	if name != localName && !adapted {
		return p.endpoints.Open(name)
	}
	if llm, ok := p.local[name]; ok {
		return llm, nil
	}
	if !adapted {
		dir = ""
	}
	llm, err := p.openLocal(dir)
	if err != nil {
		return nil, err
	}
	p.local[name] = llm
	return llm, nil
}

// openBase loads the model of -model.
func (p *Players) openBase() (*policy.Base, error) {
	if p.base != nil {
		return p.base, nil
	}
	if p.s.Model.Dir == "" {
		return nil, cli.Usagef("-model is missing, which a local player needs")
	}
	base, closeBase, err := p.s.Model.Open()
	if err != nil {
		return nil, err
	}
	p.base = base
	p.closing = append(p.closing, closeBase)
	return base, nil
}

// openLocal returns the model with the adapter in a directory, or without one.
func (p *Players) openLocal(dir string) (episode.LLM, error) {
	base, err := p.openBase()
	if err != nil {
		return nil, err
	}
	var adapter *lora.Adapter
	if dir != "" {
		if adapter, err = cli.LoadAdapter(base, dir); err != nil {
			return nil, err
		}
		p.closing = append(p.closing, func() { adapter.Close() })
	}
	q, err := policy.New(base, adapter)
	if err != nil {
		return nil, err
	}
	o := policy.LocalOptions{Keep: 2 * p.s.Concurrency, Lock: &p.engine}
	o.Sampling.MaxTokens = p.s.Sampling.MaxTokens
	l, err := policy.NewLocal(q, o)
	if err != nil {
		return nil, err
	}
	p.closing = append(p.closing, l.Close)
	return l, nil
}

// rewardModel returns what chooses among proposals.
func (p *Players) rewardModel() (episode.ActionScorer, error) {
	if p.scorer != nil {
		return p.scorer, nil
	}
	if p.s.RewardModel == "" {
		return nil, cli.Usagef("-reward-model is missing, which the best of several needs")
	}
	base, err := p.openBase()
	if err != nil {
		return nil, err
	}
	m, err := reward.Load(base, p.s.RewardModel)
	if err != nil {
		return nil, err
	}
	p.scorer = episode.ActionScorerFunc(func(ctx context.Context, _ episode.Observation, all []episode.Proposal) ([]float64, error) {
		samples := make([]reward.Sample, len(all))
		for i, proposal := range all {
			samples[i] = reward.Sample{Item: episode.Item{Input: proposal.Prompt}, Text: proposal.Reply}
		}
		p.engine.Lock()
		defer p.engine.Unlock()
		return m.Score(ctx, samples)
	})
	return p.scorer, nil
}
