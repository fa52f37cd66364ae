// Command grpo trains a policy by group relative policy optimisation against a
// reward model, scripted rewards, or both.
//
//	grpo -model Qwen2.5-0.5B-Instruct -adapter sft/adapter -reward-model rm/adapter \
//	    -data items.json -out grpo
//
// The prompts are training items, as for cloning, or the turns of episodes; the
// outputs are not used. The trained adapter is in OUT/adapter, the metrics in OUT/metrics.jsonl, the
// replies with their rewards in OUT/completions.jsonl. Started again with the same
// flags the run continues where it stopped.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("grpo", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, train)
}

func train(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckDirs(s.cfg.Dir); err != nil {
		return err
	}
	items, base, closeBase, err := s.input.Open()
	if err != nil {
		return err
	}
	defer closeBase()
	p, err := s.policy(base)
	if err != nil {
		return err
	}
	defer p.Adapter().Close()
	scorers, closeScorers, err := s.scorers(base)
	if err != nil {
		return err
	}
	defer closeScorers()
	if err := cli.Pin(filepath.Join(s.cfg.Dir, "grpo.json"), s.pinned(p)); err != nil {
		return err
	}
	return s.train(ctx, p, scorers, items, io)
}

// train splits the items, trains, and reports on it.
func (s *settings) train(ctx context.Context, p *policy.Policy, scorers []reward.Weighted, items []episode.Item, io cli.Streams) error {
	rest, held := grpo.Split(items, s.held, s.cfg.Seed)
	if s.cfg.EvalEvery > 0 {
		s.cfg.EvalItems = held[:min(len(held), s.evalItems)]
	}
	bar := &cli.Progress{Name: "grpo", W: io.Err}
	defer bar.Close()
	s.cfg.OnStep = func(step, total int, m grpo.Metrics) { report(bar, step, total, m) }
	t, err := grpo.NewGRPOTrainer(p, scorers, s.cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	fmt.Fprintf(io.Out, "items %d, held out %d, evaluated on %d\n", len(rest), len(held), len(s.cfg.EvalItems))
	err = t.Train(ctx, grpo.Items(rest))
	bar.Close()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.Out, "steps %d\nadapter %s\n", t.Step(), filepath.Join(s.cfg.Dir, "adapter"))
	return err
}

// report draws a step, or tells an evaluation.
func report(bar *cli.Progress, step, total int, m grpo.Metrics) {
	if r, ok := m["eval_reward"]; ok {
		bar.Logf("grpo: step %d: reward of held-out items %.4g, %.1f words a reply", step, r, m["eval_completions/mean_words"])
		return
	}
	note := fmt.Sprintf("loss %.3g", m["loss"])
	if r, ok := m["reward"]; ok {
		note += fmt.Sprintf(", reward %.4g, %.1f words", r, m["completions/mean_words"])
	}
	if kl, ok := m["kl"]; ok {
		note += fmt.Sprintf(", kl %.3g", kl)
	}
	if memory, ok := m["forest/memory"]; ok {
		note += fmt.Sprintf(", %.2f times fewer tokens, %s", m["forest/saving"], cli.Size(int64(memory)))
	}
	bar.Set(step, total, note)
}

// policy returns the policy that training starts from.
func (s *settings) policy(base *policy.Base) (*policy.Policy, error) {
	var a *lora.Adapter
	var err error
	if s.start != "" {
		a, err = cli.LoadAdapter(base, s.start)
	} else {
		config := s.adapter.Config()
		config.BaseModel = s.input.Model.Dir
		a, err = policy.NewAdapter(base, config, s.cfg.Seed)
	}
	if err != nil {
		return nil, err
	}
	p, err := policy.New(base, a)
	if err == nil {
		p.Recompute, p.Memory = s.recompute, int64(s.memory)
	}
	return p, err
}

// scorers returns what the flags reward.
func (s *settings) scorers(base *policy.Base) (scorers []reward.Weighted, close func(), err error) {
	done := func() {}
	if s.rewardModel != "" {
		scorer, closeModel, err := s.openRewardModel(base)
		if err != nil {
			return nil, nil, err
		}
		done = closeModel
		scorers = append(scorers, reward.Weighted{Scorer: scorer, Weight: s.rewardWeight, Name: "reward_model"})
	}
	if s.wordsWeight != 0 {
		scorers = append(scorers, reward.Weighted{Scorer: reward.WordsOver(s.wordsLimit), Weight: s.wordsWeight, Name: "words_over"})
	}
	if s.actionWeight != 0 {
		scorers = append(scorers, reward.Weighted{Scorer: reward.IsAction, Weight: s.actionWeight, Name: "is_action"})
	}
	return scorers, done, nil
}

// openRewardModel loads the reward model over the policy's base, or over one of its
// own, which then reads replies as text.
func (s *settings) openRewardModel(base *policy.Base) (reward.Scorer, func(), error) {
	over, done := base, func() {}
	if s.rewardBase != "" {
		var err error
		m := s.input.Model
		m.Dir = s.rewardBase
		if over, done, err = m.Open(); err != nil {
			return nil, nil, err
		}
	}
	rm, err := reward.Load(over, s.rewardModel, reward.WithBudget(max(1, s.cfg.Budget)))
	if err != nil {
		done()
		return nil, nil, err
	}
	var scorer reward.Scorer = rm
	if s.rewardBase != "" {
		scorer = reward.ByText(rm)
	}
	return scorer, func() { rm.Close(); done() }, nil
}
