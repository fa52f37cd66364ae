package policy

import (
	"context"
	"errors"
	"slices"

	"github.com/socialrl/socialrl/episode"
)

// localCall is a call of a [Local] under way.
type localCall struct {
	ctx        context.Context
	o          SamplingOptions
	prompt     []int
	completion Completion
	reply      *reply
	err        error
	done       chan struct{} // closed when completion or err is there
}

func (c *localCall) finish(err error) {
	c.err = err
	close(c.done)
}

func (c *localCall) result() (episode.Reply, error) {
	if c.err != nil {
		return episode.Reply{}, c.err
	}
	finish := "stop"
	if c.completion.Truncated {
		finish = "length"
	}
	return episode.Reply{
		Text: c.completion.Text, FinishReason: finish,
		Usage: episode.Usage{PromptTokens: len(c.prompt), CompletionTokens: len(c.completion.Tokens)},
	}, nil
}

// keptPrompt is a prompt that stays in the cache.
type keptPrompt struct {
	tokens []int
	end    *twig
}

// run computes until no call is left.
func (l *Local) run() {
	for {
		calls, more := l.take()
		if !more {
			return
		}
		l.o.Lock.Lock()
		l.step(calls)
		l.o.Lock.Unlock()
	}
}

// take returns the calls that wait, as far as there is room; more is false where
// nothing is left to do, and the goroutine is to end.
func (l *Local) take() (calls []*localCall, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 && len(l.live) == 0 {
		l.running = false
		return nil, false
	}
	room := l.o.Sampling.MaxLive
	if room == 0 {
		room = 64
	}
	n := max(0, min(len(l.waiting), room-len(l.live)))
	calls, l.waiting = l.waiting[:n], l.waiting[n:]
	return calls, true
}

// step takes new calls in and extends all replies by a token.
func (l *Local) step(calls []*localCall) {
	for _, c := range calls {
		l.admit(c)
	}
	for id, c := range l.live {
		if err := c.ctx.Err(); err != nil {
			l.session.Remove(id)
			l.leave(id, err)
		}
	}
	if len(l.live) == 0 {
		return
	}
	l.mu.Lock()
	l.stats.Steps++
	l.stats.MostLive = max(l.stats.MostLive, len(l.live))
	l.mu.Unlock()
	tokens, err := l.session.Step(context.Background())
	if err != nil {
		l.fail(err)
		return
	}
	for _, t := range tokens {
		if c := l.live[t.ID]; c.reply.take(t, &c.o) {
			l.keep(c.prompt, l.session.hold(t.ID))
			l.leave(t.ID, nil)
		}
	}
}

// admit adds a call to the session. The prompt that it goes on from need not be kept
// any longer.
func (l *Local) admit(c *localCall) {
	if l.session == nil {
		l.session = l.p.NewSession()
	}
	at := l.predecessor(c.prompt)
	id, err := l.session.Add(c.prompt, c.o, 0)
	if err != nil {
		c.finish(err)
		return
	}
	l.live[id] = c
	cached := 0
	for t := l.session.live[id].at; t != nil; t = t.parent {
		cached += t.done
	}
	if at >= 0 {
		l.session.release(l.kept[at].end)
		l.kept = slices.Delete(l.kept, at, at+1)
	}
	l.mu.Lock()
	l.stats.PromptTokens += len(c.prompt)
	l.stats.CachedTokens += cached
	l.mu.Unlock()
}

// predecessor returns which kept prompt another one goes on from: the one with most
// tokens in common, if that is half of it; -1 for none.
func (l *Local) predecessor(prompt []int) int {
	best, most := -1, 0
	for i, k := range l.kept {
		n := commonPrefix(k.tokens, prompt)
		if n > most && 2*n >= len(k.tokens) {
			best, most = i, n
		}
	}
	return best
}

// keep notes a prompt that is held in the cache, and lets the oldest one go where
// they are too many.
func (l *Local) keep(prompt []int, end *twig) {
	l.kept = append(l.kept, keptPrompt{prompt, end})
	if len(l.kept) > l.o.Keep {
		l.session.release(l.kept[0].end)
		l.kept = slices.Delete(l.kept, 0, 1)
	}
}

// leave ends a call that is no longer in the session.
func (l *Local) leave(id int, err error) {
	c := l.live[id]
	delete(l.live, id)
	l.mu.Lock()
	l.stats.ReplyTokens += len(c.completion.Tokens)
	if err == nil {
		l.stats.Calls++
	}
	l.mu.Unlock()
	c.finish(err)
}

// fail ends all calls and begins anew: after an error the cache is not what the
// session takes it for.
func (l *Local) fail(err error) {
	for id := range l.live {
		l.leave(id, errors.Join(errors.New("policy: the engine failed"), err))
	}
	l.reset()
}

func (l *Local) reset() {
	if l.session != nil {
		l.session.Close()
	}
	l.session, l.kept = nil, nil
}

// hold ends a sequence whose prompt is computed, gives the rows of its reply back and
// keeps those of its prompt until release.
func (s *Session) hold(id int) *twig {
	q := s.live[id]
	delete(s.live, id)
	q.leave()
	prompt := q.at
	if q.own != nil {
		prompt = q.own.parent
	}
	prompt.keeps++
	q.at.prune(s.cache)
	return prompt
}

// release lets go of a prompt that is held.
func (s *Session) release(prompt *twig) {
	prompt.keeps--
	prompt.prune(s.cache)
}
