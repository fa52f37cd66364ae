package policy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// owner is the goroutine that uses the engine.
type owner struct {
	*Server
	queue  []*choice      // not begun, first come first served
	active []*servedModel // with replies under way
	live   int            // replies under way
	cached int            // tokens that they may come to
}

// run carries out commands, begins replies as there is room, and computes one step of
// each model in turn.
func (o *owner) run() {
	defer close(o.stopped)
	defer o.release()
	for {
		if len(o.queue)+len(o.active) == 0 {
			select {
			case f := <-o.commands:
				f()
			case <-o.quit:
				return
			}
		}
		if !o.obey() {
			return
		}
		o.begin()
		for _, m := range slices.Clone(o.active) {
			o.step(m)
		}
		o.stats.live.Set(float64(o.live))
		o.stats.queued.Set(float64(len(o.queue)))
	}
}

// obey runs the commands that wait; it reports false at the end.
func (o *owner) obey() bool {
	for {
		select {
		case <-o.quit:
			return false
		case f := <-o.commands:
			f()
		default:
			return true
		}
	}
}

// release gives the memory of all models back.
func (o *owner) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.models {
		m.close()
	}
	for _, m := range o.active {
		m.close()
	}
}

// begin adds waiting replies to their sessions while there is room.
func (o *owner) begin() {
	for len(o.queue) > 0 {
		c := o.queue[0]
		if o.live >= o.cfg.MaxLive || o.live > 0 && o.cached+c.need > o.cfg.MaxCache {
			break
		}
		o.queue = o.queue[1:]
		if err := o.start(c); err != nil {
			o.fail(c.job, err)
		}
	}
}

func (o *owner) start(c *choice) (err error) {
	m := c.job.model
	if m.removed {
		return noModel(m.name)
	}
	if m.session == nil {
		const work = 4096 // rows beside those of kept prompts, before the cache grows
		m.session = m.policy.newSession(o.cfg.Keep + work)
		m.session.MaxRows, m.session.spare = o.cfg.PromptRows, m.letGo
		m.live = map[int]*choice{}
	}
	m.session.makeRoom(len(c.prompt))
	if c.id, err = m.session.Add(c.prompt, c.o, uint32(c.index)); err != nil {
		return err
	}
	o.begun(c.job)
	if len(m.live) == 0 {
		o.active = append(o.active, m)
	}
	m.live[c.id] = c
	o.live++
	o.cached += c.need
	if c.first {
		o.stats.promptTokens.Add(float64(len(c.prompt)))
		o.stats.cachedTokens.Add(float64(m.session.cachedBefore(c.id)))
	}
	return nil
}

// begun notes that a job has left the queue.
func (o *owner) begun(j *job) {
	if !j.begun {
		j.begun = true
		o.waiting.Add(-1)
	}
}

// step computes one step of a model.
func (o *owner) step(m *servedModel) {
	tokens, err := m.session.Step(context.Background())
	if err != nil {
		for _, c := range m.live {
			o.fail(c.job, err)
		}
		m.reset()
		return
	}
	o.stats.steps.Inc()
	o.stats.replyTokens.Add(float64(len(tokens)))
	for _, t := range tokens {
		c := m.live[t.ID]
		e := c.take(t)
		if c.tokens == 1 {
			o.stats.firstToken.Observe(time.Since(c.job.came).Seconds())
		}
		if e.finish != "" {
			o.end(c, c.first)
		}
		c.job.box.put(e)
	}
}

// end takes a reply that is under way out of its session. Its prompt may be kept: the
// next turn of a chat begins with it.
func (o *owner) end(c *choice, keep bool) {
	m := c.job.model
	if keep {
		m.keep(heldPrompt{m.session.hold(c.id), len(c.prompt)}, o.cfg.Keep)
	} else {
		m.session.Remove(c.id)
	}
	delete(m.live, c.id)
	o.live--
	o.cached -= c.need
	if len(m.live) > 0 {
		return
	}
	o.active = slices.DeleteFunc(o.active, func(a *servedModel) bool { return a == m })
	if m.removed {
		m.close()
	}
}

// drop ends all replies of a job, begun or not.
func (o *owner) drop(j *job) {
	o.queue = slices.DeleteFunc(o.queue, func(c *choice) bool { return c.job == j })
	o.begun(j)
	for _, c := range j.choices {
		if j.model.live[c.id] == c {
			o.end(c, false)
		}
	}
}

func (o *owner) fail(j *job, err error) {
	o.drop(j)
	j.box.put(event{err: err})
}

// job is the replies that one request asks for.
type job struct {
	model   *servedModel
	choices []*choice
	box     mailbox
	came    time.Time
	begun   bool
}

// mailbox hands events to the goroutine of a request without ever holding up the owner
// of the engine. What it holds is bounded by the tokens of the job.
type mailbox struct {
	mu     sync.Mutex
	events []event
	ready  chan struct{}
}

func (b *mailbox) put(e event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

func (b *mailbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}

// drawing is what a request asks to be drawn.
type drawing struct {
	model   *servedModel
	prompts [][]int
	o       SamplingOptions // N to each prompt
}

// draw has replies drawn and gives their events to each, in order, some at a time. It
// returns once all have ended; when ctx ends or each fails the rest is dropped. Reply j
// of prompt i has the index i·N+j.
func (s *Server) draw(ctx context.Context, d drawing, each func([]event) error) error {
	j, err := s.newJob(d)
	if err != nil {
		return err
	}
	if s.waiting.Add(1) > int64(s.cfg.MaxQueue) {
		s.waiting.Add(-1)
		return errFull
	}
	select {
	case s.commands <- func() { s.owner.queue = append(s.owner.queue, j.choices...) }:
	case <-ctx.Done():
		s.waiting.Add(-1)
		return context.Cause(ctx)
	case <-s.quit:
		s.waiting.Add(-1)
		return errShutdown
	}
	if err := s.follow(ctx, j, each); err != nil {
		select {
		case s.commands <- func() { s.owner.drop(j) }:
		case <-s.quit:
		}
		return err
	}
	return nil
}

// newJob makes the job of a drawing.
func (s *Server) newJob(d drawing) (*job, error) {
	if n := len(d.prompts) * d.o.N; n > s.cfg.MaxReplies {
		return nil, invalid("n", "%d prompts with n %d make %d replies, more than %d", len(d.prompts), d.o.N, n, s.cfg.MaxReplies)
	}
	if c := d.o.Constraint; c != nil {
		if _, err := c.Start(d.o.MaxTokens, d.o.StopTokens); err != nil {
			return nil, invalid("max_tokens", "%v", err)
		}
	}
	j := &job{model: d.model, came: time.Now(), box: mailbox{ready: make(chan struct{}, 1)}}
	for i, p := range d.prompts {
		for k := range d.o.N {
			c := newChoice(j, i*d.o.N+k, p, d.o)
			c.first, c.need = k == 0, d.o.MaxTokens
			if c.first {
				c.need += len(p)
			}
			if c.need > s.cfg.MaxCache {
				return nil, invalid("max_tokens", "prompt and reply of up to %d tokens are more than the %d that the server holds", c.need, s.cfg.MaxCache)
			}
			j.choices = append(j.choices, c)
		}
	}
	return j, nil
}

// follow passes events on until all replies have ended.
func (s *Server) follow(ctx context.Context, j *job, each func([]event) error) error {
	for left := len(j.choices); left > 0; {
		select {
		case <-j.box.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.stopped:
			return errShutdown
		}
		events := j.box.take()
		for _, e := range events {
			if e.err != nil {
				return e.err
			}
			if e.finish != "" {
				left--
			}
		}
		if err := each(events); err != nil {
			return err
		}
	}
	return nil
}
