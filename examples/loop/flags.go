package main

import (
	"flag"
	"io"
	"maps"
	"path/filepath"

	"github.com/socialrl/socialrl/examples/internal/arena"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/credit"
)

// settings are the parsed flags.
type settings struct {
	out         string
	rounds      int
	seed        uint64
	scenarios   int
	episodes    int
	evaluations int
	keepOf      int
	concurrency int
	sftSteps    int
	rewardSteps int
	grpoSteps   int

	model                     cli.Model // its folder is empty in the miniature world
	adapter                   string
	profilesDir, task         string
	partner, judge, annotator string
	maxTurns, maxTokens       int
	credit                    credit.Methods

	sizes sizes
}

const synopsis = `Play, judge, attribute, train, and play again.`

func parse(args []string, s cli.Streams, size func(seed uint64) sizes) (settings, error) {
	var f settings
	fs := cli.NewFlags("loop", synopsis)
	fs.StringVar(&f.out, "out", filepath.Join("runs", "loop"), "`directory` for everything that is made; what is finished there is not made again")
	fs.IntVar(&f.rounds, "rounds", 3, "`number` of rounds")
	fs.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn")
	fs.IntVar(&f.scenarios, "scenarios", 0, "most scenarios to learn from, and most to evaluate on; 0: all there are")
	fs.IntVar(&f.episodes, "episodes", 0, "episodes of each scenario in a round; 0: as the world needs")
	fs.IntVar(&f.evaluations, "evaluations", 0, "episodes of each scenario in an evaluation; 0: as the world needs")
	fs.IntVar(&f.keepOf, "keep-of", 0, "of every so many episodes of a scenario the best one is cloned; 0: as the world needs")
	fs.IntVar(&f.concurrency, "concurrency", 8, "attributions that run at once")
	fs.IntVar(&f.sftSteps, "sft-steps", 0, "most steps of behaviour cloning in a round; 0: as the world needs")
	fs.IntVar(&f.rewardSteps, "reward-steps", 0, "most steps of the reward model in a round; 0: as the world needs")
	fs.IntVar(&f.grpoSteps, "grpo-steps", 0, "steps of GRPO in a round; 0: as the world needs")
	f.defineSocial(fs)
	err := cli.Parse(fs, args, s, f.check)
	if err != nil {
		return f, err
	}
	f.complete(size)
	return f, nil
}

// defineSocial defines the flags of the world of SOTOPIA.
func (f *settings) defineSocial(fs *flag.FlagSet) {
	fs.StringVar(&f.model.Dir, "model", "", "Hugging Face model `directory` of the policy; without it the loop runs in the miniature world, and the flags named with -model do nothing")
	fs.StringVar(&f.model.Device, "device", "cpu", cli.DeviceUsage)
	fs.StringVar(&f.model.DType, "dtype", "bf16", "with -model, `type` of the frozen weights: f32, bf16, nf4 or int8")
	fs.StringVar(&f.adapter, "adapter", "", "with -model, adapter `directory` to start from; default a new one, of rank 8 on q_proj and v_proj")
	fs.StringVar(&f.profilesDir, "profiles", arena.World, "with -model, `where` profiles are: a directory (agents.jsonl, environments.jsonl, ...), a redis:// URL, or world for the people of the miniature world")
	fs.StringVar(&f.task, "task", "all", "with -model, `list` of scenarios: all, hard, or the NAME of a NAME_env_ids.txt; the last quarter is held out")
	fs.StringVar(&f.partner, "partner", selfPlay, "with -model, whom the policy plays with: self, or a `model`: a name at OpenAI's endpoint, or custom/NAME@http://HOST:PORT/v1")
	fs.StringVar(&f.judge, "judge", "", "with -model, `model` that judges, named likewise (required)")
	fs.StringVar(&f.annotator, "annotator", "", "with -model, `model` that attributes; default the judge")
	fs.IntVar(&f.maxTurns, "max-turns", 20, "with -model, actions after which an episode ends")
	fs.IntVar(&f.maxTokens, "max-tokens", 128, "with -model, most tokens of an action")
	f.credit.Define(fs)
}

func (f *settings) check() error {
	for _, n := range []struct {
		flag       string
		value, min int
	}{
		{"rounds", f.rounds, 0}, {"scenarios", f.scenarios, 0}, {"episodes", f.episodes, 0}, {"evaluations", f.evaluations, 0},
		{"keep-of", f.keepOf, 0}, {"concurrency", f.concurrency, 1}, {"sft-steps", f.sftSteps, 0},
		{"reward-steps", f.rewardSteps, 0}, {"grpo-steps", f.grpoSteps, 0},
	} {
		if n.value < n.min {
			return cli.Usagef("-%s is %d, want at least %d", n.flag, n.value, n.min)
		}
	}
	if f.seed == 0 {
		return cli.Usagef("-seed is 0, want 1 or more")
	}
	if f.model.Dir != "" {
		if err := f.checkSocial(); err != nil {
			return err
		}
	}
	return cli.Required("out", f.out)
}

// complete fills in what the flags leave to the world.
func (f *settings) complete(size func(seed uint64) sizes) {
	f.sizes = size(f.seed)
	if f.model.Dir != "" {
		f.sizes = published(f.seed)
		f.sizes.grpo.MaxCompletion = f.maxTokens
	}
	for _, n := range []struct {
		flag, size *int
	}{
		{&f.episodes, &f.sizes.episodes}, {&f.evaluations, &f.sizes.evaluations}, {&f.keepOf, &f.sizes.keepOf},
		{&f.sftSteps, &f.sizes.sft.MaxSteps}, {&f.rewardSteps, &f.sizes.reward.MaxSteps}, {&f.grpoSteps, &f.sizes.grpo.MaxSteps},
	} {
		if *n.flag == 0 {
			*n.flag = *n.size
		}
		*n.size = *n.flag
	}
}

// pinned is what a run must not change when it goes on.
func (f *settings) pinned() map[string]any {
	p := map[string]any{
		"seed": f.seed, "scenarios": f.scenarios, "episodes": f.episodes, "evaluations": f.evaluations, "keep_of": f.keepOf,
		"sft_steps": f.sftSteps, "reward_steps": f.rewardSteps, "grpo_steps": f.grpoSteps,
	}
	if f.model.Dir != "" {
		maps.Copy(p, map[string]any{
			"model": f.model.Dir, "dtype": f.model.DType, "adapter": f.adapter, "profiles": f.profilesDir, "task": f.task,
			"partner": f.partner, "judge": f.judge, "annotator": f.annotator, "max_turns": f.maxTurns, "max_tokens": f.maxTokens,
			"method": f.credit.Names, "dimensions": f.credit.Dimensions, "scale": f.credit.Scale,
		})
	}
	return p
}

// ground opens the place that the flags name.
func (f settings) ground(log io.Writer) (ground, error) {
	if f.model.Dir != "" {
		return newSocial(f, log)
	}
	return newMiniature(f, log)
}
