package policy

import (
	"context"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/lora"
)

// Policy is a base model seen through an adapter. Policies over one base share its
// weights, whatever their number.
//
// One goroutine at a time may use the policies of one engine.
type Policy struct {
	// Recompute trades time for memory: a backward pass keeps only each block's
	// input and computes the block again.
	Recompute bool
	// Memory bounds the bytes of activations of a backward pass, as StepMemory counts
	// them.
	//
	// A forest of many rows is computed in parts, depth first: a beginning that several
	// examples share, then each of them forward and backward, then the beginning
	// backward. So much memory is saved for nothing. Where what is left exceeds the
	// bound, parts become smaller, and as few blocks as possible are computed again;
	// where nothing suffices, the pass takes as little as it can. 0 is no bound: nothing
	// is computed again, and parts are as large as the engine needs them for its speed.
	//
	// The forest's shape, the bound and the kind of engine alone decide on the parts.
	// Within one way to cut, gradients are the same bit for bit; between two they
	// differ by the rounding of sums. In parts the loss sees the examples some at a
	// time: see [Loss] and [WithWhole].
	Memory int64

	partRows []int // rows of parts that are tried; nil: those of partSizes
	base     *Base
	adapter  *lora.Adapter
	net      *net
	bound    bool // net knows the adapter's gradients
	dropout  dropout
}

// New returns the policy of a base and an adapter of that base. A nil adapter
// stands for the bare base, which cannot be trained.
func New(base *Base, adapter *lora.Adapter) (*Policy, error) {
	if adapter != nil && adapter.Engine() != base.eng {
		return nil, errors.New("policy: the adapter lives on another engine than the base")
	}
	p := &Policy{base: base, adapter: adapter, net: newNet(base, adapter)}
	if adapter != nil {
		p.dropout.rate = adapter.Config.Dropout
	}
	return p, nil
}

// Base returns the base model.
func (p *Policy) Base() *Base { return p.base }

// Adapter returns the adapter, or nil for the bare base.
func (p *Policy) Adapter() *lora.Adapter { return p.adapter }

// Engine returns the engine that computes.
func (p *Policy) Engine() lora.Engine { return p.base.eng }

// SetDropout replaces the dropout rate of the adapter's configuration in Step; 0
// turns it off. LogProbs, Scores and sampling never drop anything.
func (p *Policy) SetDropout(rate float64) { p.dropout.rate = rate }

// BeginStep starts the dropout masks of an optimiser step. Masks depend on the
// seed, the step and the order of the step's distinct tokens only.
func (p *Policy) BeginStep(seed uint64, step int) {
	p.dropout.seed, p.dropout.step, p.dropout.rows = seed, uint32(step), 0
}

var errNoVocabulary = errors.New("policy: a sequence-classification model has no vocabulary head")

// Option modifies a forward pass.
type Option func(*options)

type options struct {
	temperature float64
	entropy     bool
	total       int
	whole       bool
}

// WithTemperature divides the logits in Step; LogProbs takes it as an argument.
func WithTemperature(t float64) Option { return func(o *options) { o.temperature = t } }

// WithEntropy asks for the entropies of the targets' distributions.
func WithEntropy() Option { return func(o *options) { o.entropy = true } }

// WithTotal tells the loss the number of targets of the whole optimiser step, where
// that has more than this forest.
func WithTotal(n int) Option { return func(o *options) { o.total = n } }

// WithWhole has Step compute the forest as a whole, so that the loss sees all its examples
// at once; what does not fit into Policy.Memory is then computed again.
func WithWhole() Option { return func(o *options) { o.whole = true } }

func newOptions(f *Forest, opts []Option) options {
	o := options{temperature: 1, total: f.Targets()}
	if f.Targets() == 0 {
		o.total = f.Examples()
	}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// LogProbs returns the log-probability of every target of the forest under
// soft-max(logits/temperature). Nothing is dropped and nothing is kept.
func (p *Policy) LogProbs(ctx context.Context, f *Forest, temperature float64, opts ...Option) (Targets, error) {
	o := newOptions(f, opts)
	o.temperature = temperature
	if err := p.check(f, o); err != nil {
		return Targets{}, err
	}
	return p.inferTargets(ctx, f, o)
}

// Scores returns the scalar head's output at the last token of every example.
func (p *Policy) Scores(ctx context.Context, f *Forest) (Targets, error) {
	o := newOptions(f, nil)
	if err := p.check(f, o); err != nil {
		return Targets{}, err
	}
	if f.Targets() > 0 {
		return Targets{}, errors.New("policy: the forest asks for log-probabilities, not for scores")
	}
	return p.inferTargets(ctx, f, o)
}

func (p *Policy) inferTargets(ctx context.Context, f *Forest, o options) (Targets, error) {
	eng := p.base.eng
	defer eng.Reset(eng.Mark())
	p.net.setDropout(0, 0, 0, 0, 0)
	run := newPass(p.net, f.positions, f.tree, f.headRows)
	x, err := run.infer(ctx, f.tokens)
	if err != nil {
		return Targets{}, err
	}
	e := &end{pass: run, f: f, o: o}
	return e.targets(x)
}

// Step runs the forest forward, asks the loss for its derivatives, and runs
// backward: gradients are added to the adapter's. It returns the loss.
//
// A forest with targets gives the loss log-probabilities; one without gives it
// scores. On an error or when ctx ends, the gradients are undefined: zero them
// before the next step.
func (p *Policy) Step(ctx context.Context, f *Forest, loss Loss, opts ...Option) (float64, error) {
	o := newOptions(f, opts)
	if err := p.checkTrainable(f, o); err != nil {
		return 0, err
	}
	eng := p.base.eng
	defer eng.Reset(eng.Mark())
	plan := p.plan(f, o)
	eng.Reserve(plan.bytes)
	s := &stepper{n: p.net, f: f, o: o, plan: plan, loss: loss, mask: p.dropout}
	p.dropout.rows += uint64(f.Rows())
	if err := s.run(ctx, plan.parts, nil); err != nil {
		return 0, err
	}
	return s.value, eng.Sync()
}

func (p *Policy) check(f *Forest, o options) error {
	if !(o.temperature > 0) {
		return fmt.Errorf("policy: temperature is %v, want more than 0", o.temperature)
	}
	for _, t := range f.tokens {
		if t < 0 || int(t) >= p.base.cfg.VocabSize {
			return fmt.Errorf("policy: token %d is outside the vocabulary of %d", t, p.base.cfg.VocabSize)
		}
	}
	for _, t := range f.targets {
		if t.Token < 0 || int(t.Token) >= p.base.cfg.VocabSize {
			return fmt.Errorf("policy: target token %d is outside the vocabulary of %d", t.Token, p.base.cfg.VocabSize)
		}
	}
	if f.Targets() > 0 && p.net.head == nil {
		return errNoVocabulary
	}
	if f.Targets() == 0 && p.net.score.W == nil {
		return errors.New("policy: the forest asks for scores but neither adapter nor base has a scalar head")
	}
	return nil
}

func (p *Policy) checkTrainable(f *Forest, o options) error {
	if p.adapter == nil {
		return errors.New("policy: the bare base cannot be trained")
	}
	p.bind()
	return p.check(f, o)
}

// bind makes gradients for the adapter, and the net know them.
func (p *Policy) bind() {
	if !p.bound && p.adapter != nil {
		p.adapter.MakeTrainable()
		p.net, p.bound = newNet(p.base, p.adapter), true
	}
}

// Logits returns the logits over the vocabulary after each token of a sequence,
// [len(tokens)][V]. It is meant for inspection: training and scoring never hold
// them all.
func (p *Policy) Logits(ctx context.Context, tokens []int) ([][]float32, error) {
	if p.net.head == nil {
		return nil, errNoVocabulary
	}
	f, err := NewForest([]Example{{Tokens: tokens, First: len(tokens)}})
	if err != nil {
		return nil, err
	}
	eng := p.base.eng
	defer eng.Reset(eng.Mark())
	p.net.setDropout(0, 0, 0, 0, 0)
	run := newPass(p.net, f.positions, f.tree, nil)
	x, err := run.infer(ctx, f.tokens)
	if err != nil {
		return nil, err
	}
	normed := run.final(x)
	logits := eng.Temp(normed.Rows, p.base.cfg.VocabSize)
	eng.Linear(logits, normed, &lora.Linear{W: p.net.head}, lora.View{})
	flat := make([]float32, logits.Len())
	if err := eng.Read(flat, logits); err != nil {
		return nil, err
	}
	out := make([][]float32, normed.Rows)
	for i := range out {
		out[i] = flat[i*logits.Cols : (i+1)*logits.Cols]
	}
	return out, nil
}
