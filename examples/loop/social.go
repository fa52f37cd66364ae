package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/arena"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// social is the world of SOTOPIA: a policy over a model of the user's plays itself or a
// partner on profiles, and models behind endpoints judge and attribute.
type social struct {
	settings
	log       io.Writer
	base      *policy.Base
	closeBase func()
	endpoints episode.Endpoints

	profiles       *episode.Profiles
	train, heldOut []*episode.EnvironmentProfile
}

func newSocial(s settings, log io.Writer) (*social, error) {
	g := &social{settings: s, log: log}
	g.endpoints.Limit = s.concurrency
	if err := g.choose(); err != nil {
		return nil, err
	}
	var err error
	g.base, g.closeBase, err = s.model.Open()
	return g, err
}

// choose reads the profiles and divides the scenarios: of the list the last quarter is
// held out.
func (g *social) choose() error {
	var err error
	if g.profiles, err = arena.LoadProfiles(context.Background(), g.profilesDir); err != nil {
		return err
	}
	all, err := g.profiles.Benchmark(g.task)
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return fmt.Errorf("%s: -task %s has %d scenarios, want at least 2: some are held out", g.profilesDir, g.task, len(all))
	}
	held := len(all) - max(1, len(all)/4)
	g.train, g.heldOut = all[:held], all[held:]
	if n := g.scenarios; n > 0 {
		g.train, g.heldOut = g.train[:min(n, len(g.train))], g.heldOut[:min(n, len(g.heldOut))]
	}
	return nil
}

func (g *social) close() { g.closeBase() }

func (g *social) untrained() (*policy.Policy, error) {
	var a *lora.Adapter
	var err error
	if g.adapter != "" {
		a, err = cli.LoadAdapter(g.base, g.adapter)
	} else {
		a, err = policy.NewAdapter(g.base, g.lora(64), g.seed)
	}
	if err != nil {
		return nil, err
	}
	return policy.New(g.base, a)
}

// lora is a new adapter of Sotopia-RL's rank and layers.
func (g *social) lora(alpha float64) lora.Config {
	return lora.Config{Rank: 8, Alpha: alpha, Targets: lora.QV, BaseModel: g.model.Dir}
}

func (g *social) valuer(*policy.Policy) (*reward.RewardModel, error) {
	return reward.New(g.base, g.lora(32), reward.WithSeed(g.seed), reward.WithDropOldest())
}

// demonstrate has nothing to show: the model knows how to speak.
func (g *social) demonstrate(context.Context, string) (string, error) { return "", nil }

func (g *social) template() *episode.PromptTemplate { return nil }

func (g *social) methods() ([]attribution.Attributor, error) {
	var all []attribution.Attributor
	for _, one := range g.credit.Each() {
		m, err := one.Attributor(func() (episode.LLM, error) { return g.endpoints.Open(g.annotator) })
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// play plays all matches at once, so that the policy answers in batches. Each episode is
// kept in a folder beside the file as soon as it ends.
func (g *social) play(ctx context.Context, p *policy.Policy, b billing, path string) error {
	judge, err := g.endpoints.Open(g.judge)
	if err != nil {
		return err
	}
	local, err := policy.NewLocal(p, policy.LocalOptions{Sampling: policy.SamplingOptions{MaxTokens: g.maxTokens, Temperature: 1}})
	if err != nil {
		return err
	}
	defer local.Close()
	matches, err := g.matches(local, b)
	if err != nil {
		return err
	}
	store, err := episode.OpenDir(strings.TrimSuffix(path, ".jsonl"))
	if err != nil {
		return err
	}
	defer store.Close()
	bar := &cli.Progress{Name: "episodes", W: g.log}
	defer bar.Close()
	done := 0
	batch := episode.Batch{
		Store: store, Concurrency: g.concurrency,
		Evaluator: reward.KeepFailures(reward.Judge{LLM: judge}),
		OnEpisode: func(r episode.MatchResult) {
			done++
			bar.Set(done, len(matches), fmt.Sprintf("%d tokens drawn", local.Stats().ReplyTokens))
		},
	}
	results, err := batch.Play(ctx, matches)
	if err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error {
		for _, r := range results {
			if err := episode.WriteJSONL(w, r.Episode); err != nil {
				return err
			}
		}
		return nil
	})
}

// matches returns what is played: in self-play one episode of each pair of agents, and two
// with a partner, one in each seat.
func (g *social) matches(local episode.LLM, b billing) ([]episode.Match, error) {
	environments, n, seed := g.train, g.episodes, g.seed
	if b.evaluate {
		environments, n = g.heldOut, g.evaluations
	}
	self := episode.Player{Model: b.name(), New: func() episode.Agent {
		return &episode.LLMAgent{LLM: local, Seed: g.seed, MaxTokens: g.maxTokens}
	}}
	partner, err := g.other(self)
	if err != nil {
		return nil, err
	}
	options := []episode.Option{episode.WithMaxTurns(g.maxTurns)}
	var matches []episode.Match
	for _, env := range environments {
		pairs, err := g.profiles.PairingsFor(env, n, seed)
		if err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			scene, err := g.profiles.PairingScene(pair)
			if err != nil {
				return nil, err
			}
			both := episode.BothSeats([]episode.Scene{scene}, g.judge, self, partner, b.tag, options...)
			if g.partner == selfPlay {
				both = both[:1]
			}
			matches = append(matches, both...)
		}
	}
	return matches, nil
}

// selfPlay is what -partner says where the policy plays with itself.
const selfPlay = "self"

// other returns whom the policy plays with.
func (g *social) other(self episode.Player) (episode.Player, error) {
	if g.partner == selfPlay {
		return self, nil
	}
	llm, err := g.endpoints.Open(g.partner)
	return episode.Player{Model: g.partner, New: func() episode.Agent {
		return &episode.LLMAgent{LLM: llm, Reformat: llm, Seed: g.seed, MaxTokens: g.maxTokens}
	}}, err
}

// rollout has GRPO sample what the policy plays with: actions.
func (g *social) rollout(p *policy.Policy, cfg grpo.Config) func(ctx context.Context, prompts [][]int, n int) ([][]policy.Completion, error) {
	return func(ctx context.Context, prompts [][]int, n int) ([][]policy.Completion, error) {
		v, err := g.base.Vocabulary()
		if err != nil {
			return nil, err
		}
		actions, err := v.JSONSchema(episode.ExactActionSchema())
		if err != nil {
			return nil, err
		}
		return p.Generate(ctx, prompts, policy.SamplingOptions{
			N: n, MaxTokens: cfg.MaxCompletion, Temperature: cfg.Temperature, TopK: cfg.TopK, TopP: cfg.TopP,
			Seed: drawSeed(cfg.Seed, prompts), Constraint: actions, Tokenizer: g.base.Tokenizer(),
		})
	}
}

// drawSeed depends on the prompts of a step, so that a resumed run repeats it.
func drawSeed(seed uint64, prompts [][]int) uint64 {
	h := fnv.New64a()
	for _, p := range prompts {
		for _, token := range p {
			binary.Write(h, binary.LittleEndian, uint32(token))
		}
	}
	return h.Sum64() ^ seed
}

// checkSocial checks the flags that only matter with -model.
func (f *settings) checkSocial() error {
	if err := cli.Required("profiles", f.profilesDir, "judge", f.judge, "partner", f.partner); err != nil {
		return err
	}
	if f.maxTokens < 16 || f.maxTurns < 1 {
		return cli.Usagef("-max-tokens is %d and -max-turns %d, want at least 16 and 1", f.maxTokens, f.maxTurns)
	}
	if f.annotator == "" {
		f.annotator = f.judge
	}
	for _, name := range []string{f.judge, f.annotator, f.partner} {
		if _, _, err := episode.SplitModel(name); err != nil {
			return cli.Usagef("%w", err)
		}
	}
	if err := errors.Join(f.credit.Check(), f.model.Check()); err != nil {
		return cli.Usagef("%w", err)
	}
	return nil
}
