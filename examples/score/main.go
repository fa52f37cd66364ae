// Command score has a reward model score replies.
//
//	score -model Qwen2.5-0.5B-Instruct -reward-model rm/adapter -data items.json -out scored.json
//
// The replies are the outputs of training items, or what the agents of episodes did.
// The output file holds prompts and replies with the model's value. Where the data
// have values too, the agreement with them is printed.
package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("score", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, score)
}

// settings are the parsed flags.
type settings struct {
	input                    cli.Input
	rewardModel, out         string
	maxLength, budget, chunk int
	drop                     bool
	tokens, computed         int // of what was scored, unshared and distinct
}

const synopsis = `Usage: score -model DIR -reward-model DIR -data FILE -out FILE [flags]

Scores replies with a reward model.`

// parse reads the flags and prints the effective configuration.
func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("score", synopsis)
	s.input.Define(fs, "to score")
	fs.StringVar(&s.rewardModel, "reward-model", "", "`directory` of the reward model's adapter (required)")
	fs.StringVar(&s.out, "out", "", "JSON `file` to write, whole or not at all (required)")
	fs.IntVar(&s.maxLength, "max-length", 4096, "most tokens of prompt and reply; longer ones are left out and counted")
	fs.BoolVar(&s.drop, "drop-oldest", false, "shorten long prompts by their oldest turns instead")
	fs.IntVar(&s.budget, "budget", 8192, "most distinct tokens computed at a time")
	fs.IntVar(&s.chunk, "chunk", 256, "replies scored between two reports of progress")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("model", s.input.Model.Dir, "reward-model", s.rewardModel, "data", s.input.Data, "out", s.out); err != nil {
		return err
	}
	if s.chunk < 1 || s.maxLength < 1 || s.budget < 1 {
		return cli.Usagef("-chunk is %d, -max-length %d, -budget %d: want at least 1", s.chunk, s.maxLength, s.budget)
	}
	if err := s.input.Model.Check(); err != nil {
		return err
	}
	return s.input.Items.Check()
}

func score(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckFiles(s.out); err != nil {
		return err
	}
	items, base, closeBase, err := s.input.Open()
	if err != nil {
		return err
	}
	defer closeBase()
	opts := []reward.Option{reward.WithMaxLength(s.maxLength), reward.WithBudget(s.budget), reward.WithOnPack(func(p *policy.Packed) {
		s.tokens, s.computed = s.tokens+p.Flat, s.computed+p.Rows
	})}
	if s.drop {
		opts = append(opts, reward.WithDropOldest())
	}
	rm, err := reward.Load(base, s.rewardModel, opts...)
	if err != nil {
		return err
	}
	defer rm.Close()
	values, err := s.score(ctx, rm, items, io)
	if err != nil {
		return err
	}
	return s.write(items, values, io)
}

// score scores chunk after chunk.
func (s *settings) score(ctx context.Context, rm *reward.RewardModel, items []episode.Item, io cli.Streams) ([]float64, error) {
	bar := &cli.Progress{Name: "score", W: io.Err}
	defer bar.Close()
	var values []float64
	for lo := 0; lo < len(items); lo += s.chunk {
		var samples []reward.Sample
		for _, it := range items[lo:min(lo+s.chunk, len(items))] {
			samples = append(samples, reward.Sample{Item: it, Text: it.Output})
		}
		part, err := rm.Score(ctx, samples)
		if err != nil {
			return nil, err
		}
		values = append(values, part...)
		bar.Set(len(values), len(items), "")
	}
	return values, nil
}

// write writes the scored records and prints what can be said of them.
func (s *settings) write(items []episode.Item, values []float64, io cli.Streams) error {
	var recs []reward.Record
	var predicted, truth []float64
	for i, it := range items {
		if math.IsNaN(values[i]) {
			continue
		}
		recs = append(recs, reward.NewRecord(it, values[i]))
		if v, ok := it.Value(); ok {
			predicted, truth = append(predicted, values[i]), append(truth, v)
		}
	}
	if err := reward.WriteRecords(s.out, recs); err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "scored %d, too long %d\n", len(recs), len(items)-len(recs))
	fmt.Fprintf(io.Out, "tokens %d, computed %d (%.2f times fewer)\n", s.tokens, s.computed, float64(s.tokens)/float64(max(1, s.computed)))
	if len(truth) > 0 {
		e := reward.Evaluate(predicted, truth)
		fmt.Fprintf(io.Out, "with a value %d: mse %.6g, pearson %.3f, spearman %.3f\n", e.N, e.MSE, e.Pearson, e.Spearman)
	}
	return nil
}
