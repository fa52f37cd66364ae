package main

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/policy"
)

// prefill measures how fast a prompt is read, up to the first token of the reply. No
// prompt begins like one before.
func (b *bench) prefill(ctx context.Context, j job) ([]line, error) {
	p, err := policy.New(b.base, nil)
	if err != nil {
		return nil, err
	}
	seconds, err := b.repeat(ctx, func() error {
		s := p.NewSession()
		defer s.Close()
		if _, err := s.Add(b.sequence(b.read), b.greedy(1), 0); err != nil {
			return err
		}
		_, err := s.Step(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	limit := float64(b.read) * b.arithmetic() / b.forward(sequenceWork(b.read))
	l := newLine(fmt.Sprintf("prefill %d", b.read), "tokens/s", rates(float64(b.read), seconds), limit, ofArithmetic)
	l.Bytes = b.streamed()
	return []line{l}, nil
}

// greedy returns options of a reply of n tokens that nothing ends early.
func (b *bench) greedy(n int) policy.SamplingOptions {
	return policy.SamplingOptions{MaxTokens: n, StopTokens: []int{}}
}

func (b *bench) decodeOne(ctx context.Context, j job) ([]line, error) {
	return b.decode(ctx, fmt.Sprintf("decode 1 stream after %d", b.read), 1)
}

func (b *bench) decodeBranches(ctx context.Context, j job) ([]line, error) {
	return b.decode(ctx, fmt.Sprintf("decode %d branches of %d", b.branches, b.read), b.branches)
}

// decode measures the drawing of tokens in several streams after one prompt, all of
// them in one batch. Reading the prompt is not part of it.
func (b *bench) decode(ctx context.Context, name string, streams int) ([]line, error) {
	p, err := policy.New(b.base, nil)
	if err != nil {
		return nil, err
	}
	d := &decoder{b: b, p: p, streams: streams}
	defer d.close()
	seconds, err := b.repeat(ctx, func() error { return d.steps(ctx, b.tokens) })
	if err != nil {
		return nil, err
	}
	work := work{rows: streams, targets: streams, pairs: streams * b.read}
	limit, of := b.arithmetic()/b.forward(work), ofArithmetic
	if memory := b.report.Limits.Read / float64(b.streamed()); memory < limit {
		limit, of = memory, ofRead
	}
	l := newLine(name, "tokens/s", rates(float64(streams*b.tokens), seconds), limit*float64(streams), of)
	l.Bytes = b.streamed()
	return []line{l}, nil
}

// decoder holds a session whose streams have room for more tokens.
type decoder struct {
	b       *bench
	p       *policy.Policy
	streams int
	session *policy.Session
	left    int // tokens that each stream has room for
}

func (d *decoder) close() {
	if d.session != nil {
		d.session.Close()
		d.session = nil
	}
}

// room returns the number of tokens after which the streams of a session end.
func (d *decoder) room() int { return max(256, d.b.tokens+1) }

// steps draws n tokens in each stream.
func (d *decoder) steps(ctx context.Context, n int) error {
	if d.left < n {
		if err := d.begin(ctx); err != nil {
			return err
		}
	}
	d.left -= n
	for range n {
		if _, err := d.session.Step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin reads a new prompt and draws each stream's first token.
func (d *decoder) begin(ctx context.Context) error {
	d.close()
	d.session, d.left = d.p.NewSession(), d.room()-1
	prompt := d.b.sequence(d.b.read)
	for i := range d.streams {
		if _, err := d.session.Add(prompt, d.b.greedy(d.room()), uint32(i)); err != nil {
			return err
		}
	}
	_, err := d.session.Step(ctx)
	return err
}
