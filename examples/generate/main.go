// Command generate draws replies of a chat model, with or without an adapter.
//
//	generate -model Qwen2.5-7B-Instruct -adapter runs/bc/adapter -prompt "Good morning!"
//	generate -model Qwen2.5-7B-Instruct -n 4 -temperature 0.7 -logprobs < prompt.txt
//
// The prompt is one user message in the model's chat template, or the text itself with
// -raw. It comes from -prompt, from the file of -prompt-file or from standard input. The
// same seed gives the same replies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("generate", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, generate)
}

// settings are the parsed flags.
type settings struct {
	model              cli.Model
	adapter            string
	prompt, promptFile string
	promptGiven        bool
	raw, logProbs      bool
	sampling           policy.SamplingOptions
}

const synopsis = `Usage: generate -model DIR [-adapter DIR] [-prompt TEXT | -prompt-file FILE] [flags]

Draws replies of a chat model to a prompt, which is read from standard input where no
flag gives one.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	o := &s.sampling
	fs := cli.NewFlags("generate", synopsis)
	s.model.Define(fs)
	fs.StringVar(&s.adapter, "adapter", "", "`directory` of an adapter; the bare model if empty")
	fs.StringVar(&s.prompt, "prompt", "", "`text` of the prompt")
	fs.StringVar(&s.promptFile, "prompt-file", "", "`file` with the prompt")
	fs.BoolVar(&s.raw, "raw", false, "take the prompt as it is, behind the tokenizer's begin token if it adds one, without the chat template")
	fs.BoolVar(&s.logProbs, "logprobs", false, "print each reply as a line of JSON with its tokens and their log-probabilities in nats")
	fs.IntVar(&o.N, "n", 1, "replies to draw")
	fs.Float64Var(&o.Temperature, "temperature", 1, "what the logits are divided by; 0 takes the most probable token")
	fs.IntVar(&o.TopK, "top-k", 0, "keep only the `k` most probable tokens; 0 keeps all")
	fs.Float64Var(&o.TopP, "top-p", 1, "keep only the most probable tokens that reach this `probability` together; 1 keeps all")
	fs.Float64Var(&o.MinP, "min-p", 0, "keep only tokens of at least this `share` of the most probable one's probability; 0 keeps all")
	fs.Float64Var(&o.RepetitionPenalty, "repetition-penalty", 1, "what the logits of tokens that occurred are divided by (multiplied, where negative); 1 changes nothing")
	fs.IntVar(&o.MaxTokens, "max-tokens", 256, "most tokens of a reply")
	fs.Var((*texts)(&o.Stop), "stop", "`text` that ends a reply and is not part of it; may be given several times")
	fs.Uint64Var(&o.Seed, "seed", 42, "of the draw")
	return s, cli.Parse(fs, args, io, func() error {
		fs.Visit(func(f *flag.Flag) { s.promptGiven = s.promptGiven || f.Name == "prompt" })
		return s.check()
	})
}

// texts is a flag that may be given several times.
type texts []string

func (t *texts) String() string { return strings.Join(*t, " ") }

func (t *texts) Set(text string) error {
	if text == "" {
		return errors.New("empty text")
	}
	*t = append(*t, text)
	return nil
}

func (s *settings) check() error {
	o := &s.sampling
	switch {
	case s.model.Dir == "":
		return cli.Usagef("-model is missing")
	case s.promptGiven && s.promptFile != "":
		return cli.Usagef("-prompt and -prompt-file exclude each other")
	case o.N < 1:
		return cli.Usagef("-n is %d, want at least 1", o.N)
	case o.MaxTokens < 1:
		return cli.Usagef("-max-tokens is %d, want at least 1", o.MaxTokens)
	case !(o.Temperature >= 0):
		return cli.Usagef("-temperature is %v, want 0 or more", o.Temperature)
	case o.TopK < 0:
		return cli.Usagef("-top-k is %d, want 0 or more", o.TopK)
	case !(o.TopP > 0 && o.TopP <= 1):
		return cli.Usagef("-top-p is %v, want above 0 and at most 1", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return cli.Usagef("-min-p is %v, want 0 to 1", o.MinP)
	case !(o.RepetitionPenalty > 0):
		return cli.Usagef("-repetition-penalty is %v, want more than 0", o.RepetitionPenalty)
	}
	return s.model.Check()
}

func generate(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	text, err := s.read(io.In)
	if err != nil {
		return err
	}
	p, closePolicy, err := s.model.OpenPolicy(s.adapter)
	if err != nil {
		return err
	}
	defer closePolicy()
	tok := p.Base().Tokenizer()
	if tok == nil {
		return fmt.Errorf("%s: the model has no tokenizer.json", s.model.Dir)
	}
	tokens, err := s.encode(tok, text)
	if err != nil {
		return fmt.Errorf("%s: %w", s.model.Dir, err)
	}
	s.sampling.Tokenizer = tok
	replies, err := p.Generate(ctx, [][]int{tokens}, s.sampling)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return s.print(io.Out, tok, replies[0])
}

// read returns the prompt.
func (s *settings) read(stdin io.Reader) (string, error) {
	if s.promptGiven {
		return s.prompt, nil
	}
	var text []byte
	var err error
	if s.promptFile != "" {
		text, err = os.ReadFile(s.promptFile)
	} else if text, err = io.ReadAll(stdin); err != nil {
		err = fmt.Errorf("standard input: %w", err)
	}
	if s.raw {
		return string(text), err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}

func (s *settings) encode(tok *tokenizer.Tokenizer, text string) ([]int, error) {
	if !s.raw {
		enc, err := policy.NewEncoder(tok, 0, false)
		if err != nil {
			return nil, err
		}
		return enc.Prompt(text)
	}
	tokens := tok.Encode(text, tokenizer.AddSpecial)
	if len(tokens) == 0 {
		return nil, errors.New("the prompt is empty")
	}
	return tokens, nil
}
