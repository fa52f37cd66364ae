package policy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/tokenizer"
)

// Local is a policy as a chat model, an [episode.LLM]: what an [episode.LLMAgent]
// plays with. Calls that arrive while others run join them: all share the batches of
// one [Session], and its cache. The prompt of a call stays in the cache until the
// next call that begins like it, so that a turn of an episode costs what is new
// since the agent's last one, however many episodes run.
//
//	local, err := policy.NewLocal(p, policy.LocalOptions{})
//	defer local.Close()
//	agent := &episode.LLMAgent{LLM: local, Seed: 1}
//
// A reply depends on the messages, the options and the seed of its request alone.
// A JSON schema is kept to, as by [Vocabulary.JSONSchema]: a reply to a request with
// one is complete within its tokens, or the call fails because none fits.
//
// A Local may be used by any number of goroutines. It computes in one of its own
// while calls run; nobody else may use the policy's engine then, but for those that
// share Lock.
type Local struct {
	p    *Policy
	tok  *tokenizer.Tokenizer
	o    LocalOptions
	idle sync.WaitGroup

	mu      sync.Mutex
	waiting []*localCall
	running bool
	closed  bool
	stats   LocalStats

	// Of the goroutine that computes.
	session     *Session
	live        map[int]*localCall
	kept        []keptPrompt
	constraints map[string]Constraint
}

// LocalOptions are what a request does not say.
type LocalOptions struct {
	// Sampling holds the defaults of a request; what the request says goes before.
	// MaxTokens 0 stands for 512; N, Tokenizer and Constraint are not used.
	Sampling SamplingOptions
	// Window bounds the tokens of prompt and reply; 0 stands for the model's
	// positions. The oldest turns of a longer prompt are left out; a prompt that is
	// too long without them is an error that wraps [ErrTooLong].
	Window int
	// Keep is how many prompts stay in the cache between calls: two for each
	// episode that is played at once, if an agent is to find its last one. 0 stands
	// for 64.
	Keep int
	// Lock is held while the engine computes. Policies on one engine share one; nil
	// is one of this Local's own.
	Lock sync.Locker
}

// LocalStats count what a [Local] did.
type LocalStats struct {
	Calls        int // that were answered
	PromptTokens int
	CachedTokens int // of these, found in the cache
	ReplyTokens  int
	Steps        int // batches that were computed
	MostLive     int // replies that were drawn together at most
}

// NewLocal returns the chat model of a policy whose base has a tokenizer with a chat
// template. Close it to give its memory back.
func NewLocal(p *Policy, o LocalOptions) (*Local, error) {
	tok := p.Base().Tokenizer()
	if tok == nil {
		return nil, errors.New("policy: the base model has no tokenizer")
	}
	if p.net.head == nil {
		return nil, errNoVocabulary
	}
	if o.Sampling.MaxTokens == 0 {
		o.Sampling.MaxTokens = 512
	}
	if o.Window == 0 {
		o.Window = p.base.cfg.MaxPositions
	}
	if o.Keep == 0 {
		o.Keep = 64
	}
	if o.Lock == nil {
		o.Lock = &sync.Mutex{}
	}
	o.Sampling.N, o.Sampling.Tokenizer, o.Sampling.Constraint = 1, tok, nil
	if o.Sampling.StopTokens == nil {
		o.Sampling.StopTokens = p.base.EndTokens()
	}
	if err := o.Sampling.check(); err != nil {
		return nil, err
	}
	return &Local{p: p, tok: tok, o: o, live: map[int]*localCall{}, constraints: map[string]Constraint{}}, nil
}

// Stats returns what was done so far.
func (l *Local) Stats() LocalStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

var errLocalClosed = errors.New("policy: the local model is closed")

// Chat implements [episode.LLM].
func (l *Local) Chat(ctx context.Context, r episode.Request) (episode.Reply, error) {
	c, err := l.call(ctx, r)
	if err != nil {
		return episode.Reply{}, err
	}
	if err := l.enter(c); err != nil {
		return episode.Reply{}, err
	}
	select {
	case <-c.done:
		return c.result()
	case <-ctx.Done(): // the computing goroutine drops the call at its next step
		return episode.Reply{}, ctx.Err()
	}
}

// call makes a request ready to be computed.
func (l *Local) call(ctx context.Context, r episode.Request) (*localCall, error) {
	if len(r.Messages) == 0 {
		return nil, errors.New("policy: the request has no messages")
	}
	o := l.o.Sampling
	if r.Temperature != nil {
		o.Temperature = *r.Temperature
	}
	if r.TopP != 0 {
		o.TopP = r.TopP
	}
	if r.MaxTokens != 0 {
		o.MaxTokens = r.MaxTokens
	}
	if r.Stop != nil {
		o.Stop = r.Stop
	}
	if r.Seed != nil {
		o.Seed = uint64(*r.Seed)
	}
	o.forbidEnd(l.p.base)
	constraint, err := l.constraint(r)
	if err != nil {
		return nil, err
	}
	if o.Constraint = constraint; constraint != nil {
		o.MinTokens = 0
	}
	prompt, err := l.prompt(r.Messages, o.MaxTokens)
	if err != nil {
		return nil, err
	}
	c := &localCall{ctx: ctx, o: o, prompt: prompt, done: make(chan struct{})}
	c.reply = &reply{Completion: &c.completion, decoder: l.tok.Decoder(tokenizer.SkipSpecial)}
	return c, o.check()
}

// constraint returns what a request's reply must keep to, nil for nothing.
func (l *Local) constraint(r episode.Request) (Constraint, error) {
	if r.Schema == nil && !r.JSON {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.constraints[string(r.Schema)]; ok {
		return c, nil
	}
	v, err := l.p.base.Vocabulary()
	if err != nil {
		return nil, err
	}
	var c Constraint
	if r.Schema == nil {
		c, err = v.JSONObject()
	} else {
		c, err = v.JSONSchema(r.Schema)
	}
	if err == nil {
		l.constraints[string(r.Schema)] = c
	}
	return c, err
}

// prompt renders and encodes messages, without the oldest turns where they are too
// many.
func (l *Local) prompt(messages []episode.Message, reply int) ([]int, error) {
	chat := make([]tokenizer.Message, len(messages))
	for i, m := range messages {
		chat[i] = tokenizer.Message{Role: m.Role, Content: m.Content}
	}
	last := &chat[len(chat)-1]
	for {
		text, err := l.tok.Render(chat, tokenizer.GenerationPrompt())
		if err != nil {
			return nil, err
		}
		ids := l.tok.Encode(text)
		most := l.o.Window - reply
		if l.o.Window == 0 || len(ids) <= most {
			return ids, nil
		}
		shorter, ok := dropOldestTurn(last.Content)
		if !ok {
			return nil, fmt.Errorf("%w: %d of the prompt, more than %d beside a reply of %d", ErrTooLong, len(ids), most, reply)
		}
		last.Content = shorter
	}
}

// enter queues a call and sees that somebody computes.
func (l *Local) enter(c *localCall) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errLocalClosed
	}
	l.waiting = append(l.waiting, c)
	if !l.running {
		l.running = true
		l.idle.Go(l.run)
	}
	return nil
}

// Close waits for calls that run, refuses later ones, and gives the memory of the
// cache back. The policy stays.
func (l *Local) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.idle.Wait()
	l.o.Lock.Lock()
	defer l.o.Lock.Unlock()
	l.reset()
}
