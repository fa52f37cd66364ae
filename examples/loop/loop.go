package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// ground is where a policy lives: whom it plays with and what about, who judges it, and
// how its utterances are credited. The episodes that it plays name the policy as the
// model of the agents that it played; these are who is credited and learned from.
type ground interface {
	// untrained returns the policy before it has learned anything here.
	untrained() (*policy.Policy, error)
	// demonstrate writes judged episodes of others to a file, from which the first policy
	// is cloned, and returns the name of the model that shows how it is done; "" where
	// there is none, and no file.
	demonstrate(ctx context.Context, path string) (model string, err error)
	// play has a policy play, and the episodes judged. They are written to a file of JSON
	// lines, which exists only when all of them are in it.
	play(ctx context.Context, p *policy.Policy, b billing, path string) error
	// methods credit utterances, one method for each dimension.
	methods() ([]attribution.Attributor, error)
	// template makes the prompts that a policy acts on.
	template() *episode.PromptTemplate
	// valuer returns an untrained reward model over the base of a policy.
	valuer(p *policy.Policy) (*reward.RewardModel, error)
	close()
}

// billing says which policy plays, and what for.
type billing struct {
	round    int    // rounds that the policy was trained in
	evaluate bool   // nothing is learned from the episodes
	tag      string // of the episodes
}

// name is the policy's name.
func (b billing) name() string { return policyName(b.round) }

func policyName(round int) string { return fmt.Sprintf("policy-%d", round) }

// loop is one run of the program.
type loop struct {
	settings
	ground
	cli.Streams
	parts []reward.Part // of all episodes so far
}

func (l *loop) run(ctx context.Context) error {
	p, err := l.untrained()
	if err != nil {
		return err
	}
	defer func() { p.Adapter().Close() }()
	if err := cli.Pin(filepath.Join(l.out, "loop.json"), l.pinned()); err != nil {
		return err
	}
	if err := l.start(ctx, p); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := l.evaluate(ctx, p, 0); err != nil {
		return err
	}
	for round := 1; round <= l.rounds; round++ {
		next, err := l.round(ctx, p, round)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		p.Adapter().Close()
		p = next
		if err := l.evaluate(ctx, p, round); err != nil {
			return err
		}
	}
	return l.report()
}

// start teaches the first policy what others demonstrate, if they do.
func (l *loop) start(ctx context.Context, p *policy.Policy) error {
	dir := filepath.Join(l.out, "start")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	model, err := l.demonstrate(ctx, filepath.Join(dir, "episodes.jsonl"))
	if err != nil || model == "" {
		return err
	}
	lessons, err := l.study(ctx, dir, model)
	if err != nil {
		return err
	}
	return l.clone(ctx, p, lessons, l.sizes.start, filepath.Join(dir, "sft"))
}

// study credits a model's utterances in the episodes of a folder and makes lessons of
// them, which join those of the folders before.
func (l *loop) study(ctx context.Context, dir, player string) (lessons, error) {
	if err := l.attribute(ctx, dir, player); err != nil {
		return lessons{}, err
	}
	return l.prepare(dir, player)
}

// evaluate has the policy after a round play what nothing is learned from.
func (l *loop) evaluate(ctx context.Context, p *policy.Policy, round int) error {
	l.say("policy-%d plays the evaluation", round)
	return l.playOnce(ctx, p, billing{round, true, "evaluation"}, l.evaluationFile(round))
}

func (l *loop) evaluationFile(round int) string {
	return filepath.Join(l.out, "evaluation", policyName(round)+".jsonl")
}

// playOnce plays unless it was done.
func (l *loop) playOnce(ctx context.Context, p *policy.Policy, b billing, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.play(ctx, p, b, path)
}

func (l *loop) say(format string, args ...any) { fmt.Fprintf(l.Err, "loop: "+format+"\n", args...) }

// round plays, judges, attributes and trains once, and returns the policy that comes out.
func (l *loop) round(ctx context.Context, p *policy.Policy, round int) (*policy.Policy, error) {
	dir := filepath.Join(l.out, fmt.Sprintf("round-%d", round))
	l.say("round %d: %s plays", round, policyName(round-1))
	b := billing{round - 1, false, fmt.Sprintf("round-%d", round)}
	if err := l.playOnce(ctx, p, b, filepath.Join(dir, "episodes.jsonl")); err != nil {
		return nil, err
	}
	lessons, err := l.study(ctx, dir, b.name())
	if err != nil {
		return nil, err
	}
	return l.teach(ctx, p, lessons, dir)
}

// attribute credits the policy's utterances. What is credited stands in the file in the
// order of the episodes, in whatever order it was done.
func (l *loop) attribute(ctx context.Context, dir, player string) error {
	methods, err := l.methods()
	if err != nil {
		return err
	}
	episodes, path := filepath.Join(dir, "episodes.jsonl"), filepath.Join(dir, "annotations.jsonl")
	bar := &cli.Progress{Name: "attribution", W: l.Err}
	defer bar.Close()
	_, err = attribution.Annotate(ctx, judged(episode.ReadFile(episodes)), methods, attribution.AnnotateOptions{
		Path: path, Concurrency: l.concurrency,
		Agents:     func(e *episode.Episode) []string { return seatsOf(e, player) },
		OnProgress: func(s attribution.Summary) { bar.Set(s.Done, 0, fmt.Sprintf("%d calls", s.Usage.Calls)) },
	})
	if err != nil {
		return err
	}
	return sortCredits(path, episodes)
}

// judged leaves out episodes that have no scores.
func judged(episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[*episode.Episode, error] {
	return func(yield func(*episode.Episode, error) bool) {
		for e, err := range episodes {
			if (err != nil || !e.Failed()) && !yield(e, err) {
				return
			}
		}
	}
}

// seatsOf returns the agents that a model played, by seat.
func seatsOf(e *episode.Episode, model string) []string {
	var agents []string
	for seat, agent := range e.Agents() {
		if len(e.Models) == 3 && e.Models[1+seat] == model {
			agents = append(agents, agent)
		}
	}
	return agents
}

// writeFile writes a file that is whole or not there.
func writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, 0o644, write)
}
