package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/tokenizer"
)

// SFTConfig configures SFT: behaviour cloning.
type SFTConfig struct {
	FitConfig

	MaxLength  int  // most tokens of an item (4096); longer ones are left out and counted
	DropOldest bool // shorten long items by their oldest turns instead
}

// SFTResult says how SFT ended.
type SFTResult struct {
	FitResult
	Items   int // items used
	TooLong int // items left out because of their length
}

// SFT clones behaviour: it trains the policy's adapter to give each item's output in
// reply to its input, by cross entropy on the reply's tokens. The prompt is the
// input as one user message in the model's chat template; the reply's tokens include
// the end of the turn and what the template writes after it. Items of one episode
// stay together in splits and batches, so that their common history is computed
// once.
func SFT(ctx context.Context, p *Policy, items []episode.Item, cfg SFTConfig) (SFTResult, error) {
	if cfg.MaxLength == 0 {
		cfg.MaxLength = 4096
	}
	enc, err := NewEncoder(p.base.tok, cfg.MaxLength, cfg.DropOldest)
	if err != nil {
		return SFTResult{}, err
	}
	var o Objective
	res := SFTResult{}
	for i, item := range items {
		e, err := enc.Reply(item.Input, item.Output)
		if errors.Is(err, ErrTooLong) {
			res.TooLong++
			continue
		}
		if err != nil {
			return res, fmt.Errorf("policy: item %d: %w", i, err)
		}
		o.Examples = append(o.Examples, e)
		o.Groups = append(o.Groups, GroupOf(item, i))
	}
	o.Loss = func([]int) Loss { return CrossEntropy{} }
	o.Evaluate = meanCrossEntropy
	res.Items = len(o.Examples)
	res.FitResult, err = Fit(ctx, p, o, cfg.FitConfig)
	return res, err
}

// GroupOf returns the group of an item: its episode, or the item itself where the
// episode is not known.
func GroupOf(item episode.Item, index int) string {
	if item.EpisodeID != "" {
		return item.EpisodeID
	}
	return fmt.Sprintf("item %d", index)
}

// meanCrossEntropy is the mean over all held-out target tokens.
func meanCrossEntropy(_ []int, out [][]float64) map[string]float64 {
	sum, n := 0.0, 0
	for _, lps := range out {
		for _, lp := range lps {
			sum -= lp
		}
		n += len(lps)
	}
	return map[string]float64{"loss": sum / float64(max(1, n))}
}

// ErrTooLong says that an item has more tokens than allowed.
var ErrTooLong = errors.New("item has too many tokens")

// Encoder turns prompts and replies into tokens by a model's chat template: one user
// message, one assistant message. Prompt and reply are encoded each on its own, so
// that a reply in training has the tokens that sampling after the prompt would give.
type Encoder struct {
	tok        *tokenizer.Tokenizer
	max        int
	dropOldest bool
}

// NewEncoder returns an encoder for items of at most max tokens (0: no bound).
func NewEncoder(tok *tokenizer.Tokenizer, max int, dropOldest bool) (*Encoder, error) {
	if tok == nil {
		return nil, errors.New("policy: the base model has no tokenizer")
	}
	return &Encoder{tok: tok, max: max, dropOldest: dropOldest}, nil
}

// Prompt returns the tokens that a reply to input is sampled after.
func (e *Encoder) Prompt(input string) ([]int, error) {
	text, err := e.tok.Render([]tokenizer.Message{{Role: "user", Content: input}}, tokenizer.GenerationPrompt())
	if err != nil {
		return nil, err
	}
	return e.tok.Encode(text), nil
}

// Reply returns prompt and reply as one example whose targets are the reply's tokens
// with all that the template writes after it.
func (e *Encoder) Reply(input, output string) (Example, error) { return e.fit(input, output, false) }

// Scored returns prompt and reply as one example without targets whose last token is
// the end of the turn: the form in which a reward model reads them.
func (e *Encoder) Scored(input, output string) (Example, error) { return e.fit(input, output, true) }

// fit encodes, dropping the oldest turns as far as allowed and needed.
func (e *Encoder) fit(input, output string, scored bool) (Example, error) {
	for {
		ex, err := e.encode(input, output, scored)
		if err != nil || e.max == 0 || len(ex.Tokens) <= e.max {
			return ex, err
		}
		shorter, ok := dropOldestTurn(input)
		if !e.dropOldest || !ok {
			return Example{}, fmt.Errorf("%w: %d, more than %d", ErrTooLong, len(ex.Tokens), e.max)
		}
		input = shorter
	}
}

func (e *Encoder) encode(input, output string, scored bool) (Example, error) {
	user := []tokenizer.Message{{Role: "user", Content: input}}
	prompt, err := e.tok.Render(user, tokenizer.GenerationPrompt())
	if err != nil {
		return Example{}, err
	}
	whole, err := e.tok.Render(append(user, tokenizer.Message{Role: "assistant", Content: output}))
	if err != nil {
		return Example{}, err
	}
	reply, ok := strings.CutPrefix(whole, prompt)
	if !ok {
		return Example{}, errors.New("the chat template does not continue the prompt with the reply")
	}
	if scored {
		reply = strings.TrimSuffix(reply, "\n")
	}
	tokens := e.tok.Encode(prompt)
	first := len(tokens)
	tokens = e.tok.AppendEncode(tokens, reply)
	if scored {
		first = len(tokens)
	}
	switch {
	case first == 0:
		return Example{}, errors.New("empty prompt")
	case !scored && first == len(tokens):
		return Example{}, errors.New("the chat template writes nothing of the reply")
	}
	return Example{Tokens: tokens, First: first}, nil
}

// dropOldestTurn removes the oldest line of the history that a turn added: the
// first line that begins with "Turn #", with the lines up to the next such line. It
// reports false where only one is left.
func dropOldestTurn(input string) (string, bool) {
	const mark = "\nTurn #"
	first := strings.Index(input, mark)
	if first < 0 {
		return input, false
	}
	next := strings.Index(input[first+1:], mark)
	if next < 0 {
		return input, false
	}
	return input[:first] + input[first+1+next:], true
}
