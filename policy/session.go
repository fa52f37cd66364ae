package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/socialrl/socialrl/lora"
)

// Session decodes. Sequences are added and removed at any time; a step computes what
// is new of their prompts and extends every sequence whose prompt is complete by one
// token, all in one batch, until it has MaxTokens of them. Beginnings that prompts share are computed once, kept
// once, and read by all.
//
// A token that is drawn depends on its sequence alone (tokens, options, seed, index),
// not on what else is in the session.
//
// A session belongs to the goroutine that uses its engine.
type Session struct {
	// MaxRows bounds the rows of prompts in one step, so that long prompts are computed
	// in pieces between which every reply under way gets its token; 0 stands for 4096.
	MaxRows int

	p      *Policy
	cache  *cache
	root   *twig
	live   map[int]*sequence
	nextID int
	spare  func() bool // lets one prompt go that is held; nil where none are
	serial uint64      // tells sessions apart
}

// sessions counts the sessions made so far.
var sessions atomic.Uint64

// sequence is a prompt with the reply so far.
type sequence struct {
	id     int
	o      SamplingOptions
	index  uint32
	at     *twig   // ends with the sequence's last token
	own    *twig   // the reply; nil before the first token
	seen   []int32 // all tokens so far, where a penalty needs them
	length int     // of the reply

	constraint ConstraintState // nil: none
}

// Token is one step's result for one sequence.
type Token struct {
	ID      int     // of the sequence
	Token   int     // drawn
	LogProb float64 // under soft-max(logits/temperature), unfiltered

	Top []TokenLogProb // the most probable tokens, see SamplingOptions.TopLogProbs
}

// TokenLogProb is a token with its log-probability.
type TokenLogProb struct {
	Token   int
	LogProb float64
}

// NewSession returns an empty session. Close it to give its memory back.
func (p *Policy) NewSession() *Session { return p.newSession(256) }

// newSession returns a session whose cache begins with a number of rows.
func (p *Policy) newSession(rows int) *Session {
	return &Session{p: p, cache: newCache(p.net, rows), root: &twig{}, live: map[int]*sequence{}, serial: sessions.Add(1)}
}

// Close gives the session's memory back.
func (s *Session) Close() { s.cache.close() }

// Len returns the number of sequences.
func (s *Session) Len() int { return len(s.live) }

// Add adds a sequence and returns its number. index tells sequences of one seed
// apart. Nothing is computed before the next Step.
func (s *Session) Add(prompt []int, o SamplingOptions, index uint32) (int, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	if len(prompt) == 0 {
		return 0, errors.New("policy: empty prompt")
	}
	tokens := make([]int32, len(prompt))
	for i, t := range prompt {
		if t < 0 || t >= s.p.base.cfg.VocabSize {
			return 0, fmt.Errorf("policy: prompt token %d is %d, outside the vocabulary of %d", i, t, s.p.base.cfg.VocabSize)
		}
		tokens[i] = int32(t)
	}
	if o.MinTokens > 0 && o.noEnd == nil {
		o.forbidEnd(s.p.base)
	}
	q := &sequence{id: s.nextID, o: o, index: index}
	if err := q.constrain(s.p.base); err != nil {
		return 0, err
	}
	q.at = s.root.insert(tokens, s.cache)
	if o.RepetitionPenalty != 0 && o.RepetitionPenalty != 1 {
		q.seen = tokens
	}
	q.at.ends = append(q.at.ends, q)
	s.live[q.id] = q
	s.nextID++
	return q.id, nil
}

// makeRoom has spare give rows back until n lie together or there is no more to give,
// when the cache will grow.
func (s *Session) makeRoom(n int) {
	for s.spare != nil && !s.cache.fits(n) && s.spare() {
	}
}

// cachedBefore returns how many tokens of a sequence's prompt are in the cache.
func (s *Session) cachedBefore(id int) (n int) {
	for t := s.live[id].at; t != nil; t = t.parent {
		n += t.done
	}
	return n
}

// Remove ends a sequence and frees what only it used. Unknown numbers are ignored.
func (s *Session) Remove(id int) {
	q := s.live[id]
	if q == nil {
		return
	}
	delete(s.live, id)
	q.leave()
	q.at.prune(s.cache)
}

// Step computes one batch and returns the tokens that were drawn, in the order of
// the sequences' numbers. It returns none where all work went into prompts.
func (s *Session) Step(ctx context.Context) ([]Token, error) {
	if len(s.live) == 0 {
		return nil, nil
	}
	b := s.collect()
	eng := s.p.base.eng
	defer eng.Reset(eng.Mark())
	recorder, ok := eng.(lora.Recorder)
	if !ok || !b.decodes() {
		return s.compute(ctx, b)
	}
	var tokens []Token
	var err error
	recorder.Record(b.key(s.serial), func() { tokens, err = s.compute(ctx, b) })
	return tokens, err
}

// compute computes one batch and draws the tokens that it gives.
func (s *Session) compute(ctx context.Context, b *stepBatch) ([]Token, error) {
	eng := s.p.base.eng
	s.p.net.setDropout(0, 0, 0, 0, 0)
	run := newPass(s.p.net, b.positions, b.tree, b.readRows)
	run.cache, run.cacheAt = s.cache, b.cacheAt
	x, err := run.infer(ctx, b.tokens)
	if err != nil {
		return nil, err
	}
	for t, done := range b.done {
		t.done = done
	}
	if len(b.readers) == 0 {
		return nil, eng.Sync()
	}
	return s.draw(run, x, b)
}

// draw samples a token for every reader and appends it.
func (s *Session) draw(run *pass, x lora.View, b *stepBatch) ([]Token, error) {
	eng := s.p.base.eng
	normed := run.final(x)
	rows := eng.Temp(len(b.readRows), s.p.base.cfg.VocabSize)
	eng.Linear(rows, normed, &lora.Linear{W: s.p.net.head}, lora.View{})
	logits := rows
	if len(b.readers) > len(b.readRows) {
		logits = eng.Temp(len(b.readers), rows.Cols)
		eng.Pick(logits, rows, b.readAt)
	}
	tokens, logProbs := make([]int32, len(b.readers)), make([]float64, len(b.readers))
	how := make([]lora.Sampling, len(b.readers))
	for i, q := range b.readers {
		how[i] = q.sampling()
		how[i].Allowed = padMask(how[i].Allowed, logits.Cols)
	}
	err := eng.Sample(tokens, logProbs, logits, how)
	if err != nil {
		return nil, err
	}
	out := make([]Token, len(b.readers))
	for i, q := range b.readers {
		s.extend(q, tokens[i])
		out[i] = Token{ID: q.id, Token: int(tokens[i]), LogProb: logProbs[i]}
		if q.o.TopLogProbs > 0 {
			if out[i].Top, err = topLogProbs(eng, logits.RowRange(i, i+1), &q.o); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out, func(a, b Token) int { return a.ID - b.ID })
	return out, nil
}

// leave takes a sequence off the twig that it ends with.
func (q *sequence) leave() {
	q.at.ends = slices.DeleteFunc(q.at.ends, func(e *sequence) bool { return e == q })
}

func (q *sequence) sampling() lora.Sampling {
	o := q.o
	return lora.Sampling{Temperature: o.Temperature, TopK: o.TopK, TopP: o.TopP, MinP: o.MinP,
		Penalty: o.RepetitionPenalty, Seen: q.seen, Allowed: q.allowed(),
		Key: lora.Key{Seed: o.Seed, Purpose: lora.ForSampling, Index: q.index, Step: uint32(q.length)}}
}

// extend appends a drawn token to a sequence.
func (s *Session) extend(q *sequence, token int32) {
	if q.own == nil {
		s.makeRoom(q.o.MaxTokens)
		q.own = q.at.grow(nil, q.o.MaxTokens, s.cache)
		q.own.reply = true
		q.leave()
		q.own.ends = []*sequence{q}
		q.at = q.own
	}
	if q.seen != nil {
		q.seen = append(q.seen, token)
	}
	if q.constraint != nil {
		q.constraint.Advance(int(token))
	}
	if q.length++; q.length == q.o.MaxTokens {
		q.own.ends = nil // complete: nothing more is drawn
		return
	}
	q.own.tokens = append(q.own.tokens, token)
}

// stepBatch is what one step computes.
type stepBatch struct {
	tokens, positions, cacheAt []int32
	tree                       lora.Tree
	done                       map[*twig]int // tokens in the cache after the step
	readers                    []*sequence   // sequences that draw a token
	readRows                   []int32       // distinct rows that are read
	readAt                     []int32       // reader -> index into readRows
}

// decodes reports whether the step extends replies and does nothing else, so that the next
// is likely to compute the same for other tokens.
func (b *stepBatch) decodes() bool { return len(b.tokens) > 0 && len(b.tokens) == len(b.readRows) }

// key tells steps of decoding apart that differ in what they compute.
func (b *stepBatch) key(session uint64) uint64 {
	return session<<40 | uint64(len(b.tokens))<<20 | uint64(len(b.readers))
}

// collect walks the trie depth first and takes what is not in the cache yet, up to
// the bound on rows.
func (s *Session) collect() *stepBatch {
	left := s.MaxRows
	if left == 0 {
		left = 4096
	}
	b := &stepBatch{done: map[*twig]int{}, readRows: []int32{}}
	for _, c := range s.root.children {
		b.visit(c, -1, 0, &left)
	}
	return b
}

func (b *stepBatch) visit(t *twig, parent int32, depth int, left *int) {
	n := len(t.tokens) - t.done
	if n > 1 && !t.reply {
		n = min(n, *left)
		*left -= n
	}
	if t.done+n == 0 {
		return
	}
	q := int32(len(b.tokens))
	b.tree = append(b.tree, lora.Node{Parent: parent, KV: int32(t.kv), Len: int32(t.done + n), Q: q, Rows: int32(n)})
	self := int32(len(b.tree) - 1)
	for i := t.done; i < t.done+n; i++ {
		b.tokens = append(b.tokens, t.tokens[i])
		b.positions = append(b.positions, int32(depth+i))
		b.cacheAt = append(b.cacheAt, int32(t.kv+i))
	}
	b.done[t] = t.done + n
	if b.done[t] < len(t.tokens) {
		return
	}
	if n > 0 && len(t.ends) > 0 {
		b.read(t.ends, int32(len(b.tokens)-1))
	}
	for _, c := range t.children {
		b.visit(c, self, depth+len(t.tokens), left)
	}
	if len(b.tokens) == int(q) {
		b.tree = b.tree[:self] // nothing below is computed
	}
}

func (b *stepBatch) read(ends []*sequence, row int32) {
	for _, q := range ends {
		b.readers = append(b.readers, q)
		b.readAt = append(b.readAt, int32(len(b.readRows)))
	}
	b.readRows = append(b.readRows, row)
}
