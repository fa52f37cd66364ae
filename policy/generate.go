package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/socialrl/socialrl/tokenizer"
)

// SamplingOptions says how replies are drawn. The order of the steps is that of
// lora.Sampling.
type SamplingOptions struct {
	N                 int     // replies a prompt; 0 stands for 1
	MaxTokens         int     // most tokens of a reply, end token included; at least 1
	MinTokens         int     // no end token is drawn before so many tokens
	Temperature       float64 // 0: greedy
	TopK              int     // 0: all
	TopP              float64 // 0 or 1: all
	MinP              float64 // 0: all
	RepetitionPenalty float64 // over prompt and reply, as transformers does; 0 or 1: none
	Seed              uint64

	StopTokens []int                // end tokens; nil stands for the model's own
	Stop       []string             // strings that end a reply; they need Tokenizer
	Tokenizer  *tokenizer.Tokenizer // fills in Completion.Text; nil leaves it empty

	// Constraint restricts the tokens of each reply, see [Vocabulary.JSONSchema]; nil
	// does not. A reply ends with an end token when it is complete, and is complete
	// within MaxTokens. Sampling filters see the tokens that are allowed; Stop still
	// ends a reply wherever it occurs. MinTokens must be 0.
	Constraint Constraint

	// TopLogProbs has a [Session] report so many of the most probable tokens at each
	// place, under the same distribution as the token drawn. Generate does not return
	// them.
	TopLogProbs int

	MaxLive int // sequences decoded at a time; 0 stands for 64

	noEnd []uint64 // mask without the end tokens, while they are not allowed
}

func (o SamplingOptions) check() error {
	switch {
	case o.MaxTokens < 1:
		return fmt.Errorf("policy: MaxTokens is %d, want at least 1", o.MaxTokens)
	case o.TopLogProbs < 0:
		return fmt.Errorf("policy: TopLogProbs is %d, want 0 or more", o.TopLogProbs)
	case o.N < 0 || o.TopK < 0 || o.MinTokens < 0 || o.MaxLive < 0:
		return fmt.Errorf("policy: N %d, TopK %d, MinTokens %d, MaxLive %d: none may be negative", o.N, o.TopK, o.MinTokens, o.MaxLive)
	case !(o.Temperature >= 0):
		return fmt.Errorf("policy: temperature is %v, want 0 or more", o.Temperature)
	case !(o.TopP >= 0 && o.TopP <= 1), !(o.MinP >= 0 && o.MinP <= 1):
		return fmt.Errorf("policy: TopP %v, MinP %v: want 0 to 1", o.TopP, o.MinP)
	case !(o.RepetitionPenalty >= 0):
		return fmt.Errorf("policy: repetition penalty is %v, want 0 or more", o.RepetitionPenalty)
	case o.Constraint != nil && o.MinTokens > 0:
		return errors.New("policy: MinTokens and Constraint exclude each other")
	case len(o.Stop) > 0 && o.Tokenizer == nil:
		return errors.New("policy: stop strings need a tokenizer")
	}
	return nil
}

// forbidEnd makes the mask of the tokens before MinTokens, once for all sequences.
func (o *SamplingOptions) forbidEnd(base *Base) {
	if o.MinTokens == 0 {
		return
	}
	ends := o.StopTokens
	if ends == nil {
		ends = base.EndTokens()
	}
	o.noEnd = forbid(base.cfg.VocabSize, ends)
}

// allowed returns the mask of tokens for the next token of a reply; nil allows all.
func (o *SamplingOptions) allowed(length int) []uint64 {
	if length < o.MinTokens {
		return o.noEnd
	}
	return nil
}

// forbid returns a mask of a vocabulary without the given tokens.
func forbid(vocab int, tokens []int) []uint64 {
	mask := make([]uint64, (vocab+63)/64)
	for i := range mask {
		mask[i] = ^uint64(0)
	}
	for _, t := range tokens {
		if 0 <= t && t < vocab {
			mask[t/64] &^= 1 << (t % 64)
		}
	}
	return mask
}

// Completion is one sampled reply.
type Completion struct {
	Tokens    []int     // as drawn, with the end token where one was
	LogProbs  []float64 // of each token under soft-max(logits/temperature), unfiltered
	Text      string    // decoded, without end token and without the stop string
	Truncated bool      // MaxTokens was reached before an end
}

// Generate draws o.N replies to each prompt. Prompts that begin alike are computed
// together; a prompt is computed once for all its replies. Reply j of prompt i has
// the random stream i·N+j of the seed and depends on nothing else in the call.
func (p *Policy) Generate(ctx context.Context, prompts [][]int, o SamplingOptions) ([][]Completion, error) {
	g, err := p.newGeneration(prompts, o)
	if err != nil {
		return nil, err
	}
	defer g.session.Close()
	for more := true; more && err == nil; {
		more, err = g.step(ctx)
	}
	return g.out, err
}

// newGeneration prepares a call of Generate. Its session is to be closed.
func (p *Policy) newGeneration(prompts [][]int, o SamplingOptions) (*generation, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.N = max(1, o.N)
	if o.MaxLive == 0 {
		o.MaxLive = 64
	}
	if o.StopTokens == nil {
		o.StopTokens = p.base.EndTokens()
	}
	o.forbidEnd(p.base)
	g := &generation{o: o, session: p.newSession(o.cacheRows(prompts)), prompts: prompts, replies: map[int]*reply{}}
	g.out = make([][]Completion, len(prompts))
	for i := range g.out {
		g.out[i] = make([]Completion, o.N)
	}
	return g, nil
}

// cacheRows bounds the rows that the sequences which start together take, prompts
// that follow each other sharing what they begin with.
func (o *SamplingOptions) cacheRows(prompts [][]int) int {
	live := min(o.MaxLive, len(prompts)*o.N)
	rows := live * o.MaxTokens
	var before []int
	for _, p := range prompts[:min(len(prompts), (live+o.N-1)/o.N)] {
		rows += len(p) - commonPrefix(before, p)
		before = p
	}
	return max(rows, 1)
}

// generation is one call of Generate.
type generation struct {
	o       SamplingOptions
	session *Session
	prompts [][]int
	next    int            // the next reply to start, i·N+j
	replies map[int]*reply // by the session's number
	out     [][]Completion
}

// reply is a completion under way.
type reply struct {
	*Completion
	decoder *tokenizer.Decoder // nil without a tokenizer
}

// step draws a token of every reply under way, and reports whether there were any.
func (g *generation) step(ctx context.Context) (more bool, err error) {
	if err := g.refill(); err != nil {
		return false, err
	}
	if g.session.Len() == 0 {
		return false, nil
	}
	tokens, err := g.session.Step(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range tokens {
		if g.replies[t.ID].take(t, &g.o) {
			g.session.Remove(t.ID)
			delete(g.replies, t.ID)
		}
	}
	return true, nil
}

// refill starts replies while there is room. The replies of one prompt start
// together, so that the prompt is in the cache once.
func (g *generation) refill() error {
	n := g.o.N
	for g.next < len(g.prompts)*n && g.session.Len() < g.o.MaxLive {
		i, j := g.next/n, g.next%n
		id, err := g.session.Add(g.prompts[i], g.o, uint32(g.next))
		if err != nil {
			return fmt.Errorf("prompt %d: %w", i, err)
		}
		r := &reply{Completion: &g.out[i][j]}
		if g.o.Tokenizer != nil {
			r.decoder = g.o.Tokenizer.Decoder(tokenizer.SkipSpecial)
		}
		g.replies[id] = r
		g.next++
	}
	return nil
}

// take adds a token to the reply and reports whether that ended it.
func (r *reply) take(t Token, o *SamplingOptions) bool {
	r.Tokens = append(r.Tokens, t.Token)
	r.LogProbs = append(r.LogProbs, t.LogProb)
	for _, end := range o.StopTokens {
		if t.Token == end {
			r.flush()
			return true
		}
	}
	if r.decoder != nil {
		r.Text += r.decoder.Push(t.Token)
		if r.cutAtStop(o.Stop) {
			return true
		}
	}
	r.Truncated = len(r.Tokens) == o.MaxTokens
	if r.Truncated {
		r.flush()
	}
	return r.Truncated
}

func (r *reply) flush() {
	if r.decoder != nil {
		r.Text += r.decoder.Flush()
	}
}

// cutAtStop cuts the text before the earliest stop string in it.
func (r *reply) cutAtStop(stops []string) bool {
	first := -1
	for _, s := range stops {
		if at := strings.Index(r.Text, s); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	if first >= 0 {
		r.Text = r.Text[:first]
	}
	return first >= 0
}
