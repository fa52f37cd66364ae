// Command bench measures how fast a model is computed on this machine, and what that
// is of what the machine can do.
//
//	bench -model Qwen2.5-0.5B
//	bench -model Qwen2.5-0.5B -kind bf16,int8,nf4 -rows decode
//	bench -model Qwen2.5-0.5B -rows "sft|grpo" -data items.jsonl -json bench.json
//
// The rows: products of matrices of the model's shapes, reading prompts, decoding one
// stream and the branches of one prompt, a gradient pass over the turns of an episode
// and the update of a GRPO group, each with shared beginnings and without, and a whole
// GRPO step phase by phase. The limits are measured first, so that the machine's state
// is that of the rows. Prompts are random tokens; weights come from memory where a row
// does not say otherwise. What is done first of a row does not count: a repetition, or
// -warmup steps of training, which touch memory that a run holds from then on.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("bench", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, measure)
}

// settings are the parsed flags.
type settings struct {
	model, device, data, json, rows string
	kindList, vocabKind             string

	kinds                 []lora.Kind
	loading               []policy.LoadOption
	pattern               *regexp.Regexp
	group, prompt, reply  int // of GRPO
	read, tokens, square  int // of the other rows
	branches, rank, turns int
	rowBudget             int
	memory                cli.Bytes
	reps, steps, warmup   int
	time                  time.Duration
	seed                  uint64
	list                  bool
}

const synopsis = `Usage: bench -model DIR [flags]

Measures how fast a model is computed, and what that is of what the machine can do.`

// parse reads the flags and prints the effective configuration.
func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("bench", synopsis)
	fs.StringVar(&s.model, "model", "", "Hugging Face model `directory` (required)")
	fs.StringVar(&s.device, "device", "cpu", cli.DeviceUsage)
	fs.StringVar(&s.kindList, "kind", "bf16", "comma-separated `kinds` of weights; rows of training take the first")
	fs.StringVar(&s.vocabKind, "vocab", "", "`kind` of embedding and output matrix; default -kind, or as stored under nf4 and int8")
	fs.StringVar(&s.rows, "rows", "", "measure only rows that this regular `expression` matches; kernels are called \"gemm ...\", the others \"prefill\", \"decode\", \"sft\", \"update\", \"grpo\"")
	fs.BoolVar(&s.list, "list", false, "print the names of the rows and measure nothing")
	fs.StringVar(&s.data, "data", "", "`file` of training items; those of the first episode make the row \"sft\"; without it a made-up episode does")
	fs.IntVar(&s.turns, "turns", 10, "turns of the made-up episode")
	fs.IntVar(&s.group, "group", 8, "replies to the prompt of the row \"grpo\"; the row \"update\" has twice as many")
	fs.IntVar(&s.prompt, "prompt", 900, "tokens of the prompt in rows \"update\" and \"grpo\"")
	fs.IntVar(&s.reply, "reply", 80, "tokens of each reply in rows \"update\" and \"grpo\"")
	fs.IntVar(&s.read, "read", 512, "tokens of the prompt in rows \"prefill\" and \"decode\", and rows of large products")
	fs.IntVar(&s.tokens, "tokens", 16, "tokens that a repetition of row \"decode\" draws in each stream")
	fs.IntVar(&s.branches, "branches", 16, "streams of row \"decode branches\"")
	fs.IntVar(&s.square, "square", 2048, "size of the square product")
	fs.IntVar(&s.rank, "rank", 8, "of the adapter on q and v that training rows train")
	fs.IntVar(&s.reps, "reps", 3, "fewest repetitions of kernels, prefill and decoding")
	fs.DurationVar(&s.time, "time", time.Second, "`time` that their repetitions take at least")
	fs.IntVar(&s.steps, "steps", 1, "repetitions of rows \"sft\", \"update\" and \"grpo\" that count")
	fs.IntVar(&s.warmup, "warmup", 1, "repetitions of these rows that come first and do not count")
	fs.IntVar(&s.rowBudget, "budget", 0, "most distinct tokens computed at a time in row \"sft\"; 0 is no bound")
	fs.Var(&s.memory, "memory", "most `memory` of activations in rows \"sft\", \"update\" and \"grpo\", such as 2GB: they are computed in smaller parts, and as many blocks again, as that takes; 0 is no bound")
	fs.StringVar(&s.json, "json", "", "`file` to write the results to, after each row")
	fs.Uint64Var(&s.seed, "seed", 1, "of tokens and adapters")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("model", s.model); err != nil {
		return err
	}
	for _, n := range []struct {
		flag       string
		value, min int
	}{
		{"group", s.group, 2}, {"prompt", s.prompt, 2}, {"reply", s.reply, 1}, {"read", s.read, 1}, {"tokens", s.tokens, 1},
		{"branches", s.branches, 1}, {"square", s.square, 1}, {"rank", s.rank, 1}, {"reps", s.reps, 1}, {"steps", s.steps, 1}, {"warmup", s.warmup, 0}, {"turns", s.turns, 1}, {"budget", s.rowBudget, 0},
	} {
		if n.value < n.min {
			return cli.Usagef("-%s is %d, want at least %d", n.flag, n.value, n.min)
		}
	}
	var err error
	if s.pattern, err = regexp.Compile(s.rows); err != nil {
		return cli.Usagef("-rows: %v", err)
	}
	if s.kinds, err = parseKinds("kind", s.kindList); err != nil {
		return err
	}
	if len(s.kinds) == 0 {
		return cli.Usagef("-kind names no kind of weights")
	}
	vocab, err := parseKinds("vocab", s.vocabKind)
	if len(vocab) > 1 {
		return cli.Usagef("-vocab has %q, want one kind", s.vocabKind)
	}
	for _, kind := range vocab {
		s.loading = append(s.loading, policy.WithVocabularyKind(kind))
	}
	return err
}

func parseKinds(flag, list string) ([]lora.Kind, error) {
	var kinds []lora.Kind
	for _, name := range cli.Split(list) {
		i := slices.IndexFunc(lora.Kinds(), func(k lora.Kind) bool { return k.String() == name })
		if i < 0 {
			return nil, cli.Usagef("-%s has %q, want one of %s", flag, name, strings.Trim(fmt.Sprint(lora.Kinds()), "[]"))
		}
		kinds = append(kinds, lora.Kinds()[i])
	}
	return kinds, nil
}

// measure measures row after row.
func measure(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	b := &bench{settings: s, out: io.Out, err: io.Err}
	jobs, err := b.jobs()
	if err != nil {
		return err
	}
	if s.list {
		for _, j := range jobs {
			fmt.Fprintln(io.Out, j.title())
		}
		return nil
	}
	defer b.close()
	return b.run(ctx, jobs)
}
