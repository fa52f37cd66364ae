package policy

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/internal/oneline"
	"github.com/socialrl/socialrl/lora"
)

// Workload is what a GRPO run keeps and computes, as far as its memory goes: see [Plan].
type Workload struct {
	Model      Config       // shape of the model; its DType is how an unquantised matrix is stored
	Kind       lora.Kind    // of the matrices inside the blocks
	Vocabulary *lora.Kind   // of embedding and output matrix; nil: as [LoadBase] keeps them
	Adapter    lora.Config  // that is trained, with its dropout
	Reference  bool         // keep a frozen copy of the adapter, and compare with it
	Reward     *lora.Config // adapter of a reward model over the same base; nil: none

	Prompts    int // of a step; 0 stands for 1
	Group      int // replies to each prompt
	Prompt     int // tokens of a prompt
	Completion int // tokens of a reply
	Rows       int // most distinct tokens computed at a time in reference and update; 0: no bound
	RewardRows int // the same of the reward model; 0 stands for 8192

	Recompute bool // compute all blocks again in the update: see [Policy]
	// Budget is the bytes that the device has for all of it: the update is computed in
	// smaller parts, and as few blocks again, as it asks for. 0 is no bound.
	Budget int64
}

// Usage is the memory that a [Workload] takes on its engine, in bytes.
type Usage struct {
	Weights   int64 // frozen matrices of the base
	Vectors   int64 // its norms and biases
	Adapter   int64 // parameters that are trained
	Gradients int64 // theirs
	Moments   int64 // of the optimiser, two a parameter
	Reference int64 // the frozen copy of the adapter
	Reward    int64 // the reward model's adapter
	Cache     int64 // keys and values while a step samples
	Staging   int64 // of the device for transfers and libraries

	// What each phase of a step takes in the arena for its activations. Update is what
	// Policy.Memory has to be for the update to take no more.
	Sampling, Scoring, Comparing, Update int64

	Again int // blocks that the update computes again, in the part that does so with the most
}

// Arena returns the most that is in the arena at a time, over all phases.
func (u Usage) Arena() int64 { return max(u.Sampling, u.Scoring, u.Comparing, u.Update) }

// Trained returns what belongs to the adapter that is trained: parameters, gradients
// and moments.
func (u Usage) Trained() int64 { return u.Adapter + u.Gradients + u.Moments }

// Resident returns what stays from step to step, without the arena.
func (u Usage) Resident() int64 {
	return u.Weights + u.Vectors + u.Trained() + u.Reference + u.Reward + u.Staging
}

// Total returns the most that is held at a time. An arena keeps its highest size, so
// that from the second step on the caches come on top of all of it.
func (u Usage) Total() int64 { return u.Resident() + u.Cache + u.Arena() }

// Fits reports whether so many bytes are enough.
func (u Usage) Fits(bytes int64) bool { return u.Total() <= bytes }

// Plan says what a workload takes on the engine of a name, which need not be there, nor
// any weights: the steps are gone through without computing them. The numbers are those
// that engines account for, to the byte, when prompts have nothing in common and
// neither have replies; what is shared saves memory. (Where the arena of a host grows
// piece by piece, ends of pieces that are skipped count as used there.) What a driver
// keeps for itself, some hundred megabytes for a CUDA context, is not part of it.
//
// The error names what of the workload makes no sense. That it does not fit is none:
// ask [Usage.Fits].
func Plan(engine string, w Workload) (Usage, error) {
	if err := w.check(); err != nil {
		return Usage{}, err
	}
	r, err := newRehearsal(engine, &w)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Weights: r.eng.Stats().Weights, Vectors: r.eng.Stats().Views, Staging: r.eng.Stats().Staging}
	if err := r.keep(&u); err != nil {
		return Usage{}, err
	}
	for _, phase := range []func(*rehearsal, *Usage) error{(*rehearsal).sample, (*rehearsal).score, (*rehearsal).compare, (*rehearsal).update} {
		if r, err = newRehearsal(engine, &w); err == nil {
			err = phase(r, &u)
		}
		if err != nil {
			return Usage{}, err
		}
	}
	return u, nil
}

// LargestGroup returns the largest group, of at most 1024 replies, with which the
// workload fits into its budget, and what that takes. 0 says that not even one does.
func LargestGroup(engine string, w Workload) (group int, u Usage, err error) {
	if w.Budget <= 0 {
		return 0, u, fmt.Errorf("policy: Budget is %d, want the bytes that there are", w.Budget)
	}
	for low, high := 1, 1024; low <= high; {
		w.Group = (low + high) / 2
		now, err := Plan(engine, w)
		switch {
		case err != nil:
			return 0, u, err
		case now.Fits(w.Budget):
			group, u, low = w.Group, now, w.Group+1
		default:
			high = w.Group - 1
		}
	}
	return group, u, nil
}

func (w *Workload) check() error {
	var errs []error
	for _, n := range []struct {
		field      string
		value, min int64
	}{
		{"Prompts", int64(w.Prompts), 0}, {"Group", int64(w.Group), 1}, {"Prompt", int64(w.Prompt), 1}, {"Completion", int64(w.Completion), 1},
		{"Rows", int64(w.Rows), 0}, {"RewardRows", int64(w.RewardRows), 0}, {"Budget", w.Budget, 0}, {"Adapter.Rank", int64(w.Adapter.Rank), 1},
	} {
		if n.value < n.min {
			errs = append(errs, fmt.Errorf("policy: %s is %d, want at least %d", n.field, n.value, n.min))
		}
	}
	if w.Model.Classifier {
		errs = append(errs, errNoVocabulary)
	}
	return oneline.Join(append(errs, w.Model.Validate())...)
}

// rehearsal is a base and a policy of it on an engine that only counts.
type rehearsal struct {
	w      *Workload
	eng    lora.Engine
	base   *Base
	policy *Policy
}

func newRehearsal(engine string, w *Workload) (*rehearsal, error) {
	eng, err := lora.OpenDry(engine)
	if err != nil {
		return nil, err
	}
	base, err := newBase(eng, w.Model, kindsOf{blocks: w.Kind, vocabulary: w.Vocabulary}, w.tensor)
	return &rehearsal{w: w, eng: eng, base: base}, err
}

// over makes the policy of an adapter, and returns that.
func (r *rehearsal) over(cfg lora.Config) (*lora.Adapter, error) {
	a, err := emptyAdapter(r.base, cfg)
	if err == nil {
		r.policy, err = New(r.base, a)
	}
	return a, err
}

// keep counts what stays from step to step beside the base.
func (r *rehearsal) keep(u *Usage) error {
	before := r.eng.Stats().Views
	since := func() int64 {
		now := r.eng.Stats().Views
		defer func() { before = now }()
		return now - before
	}
	a, err := r.over(r.w.Adapter)
	if err != nil {
		return err
	}
	u.Adapter = since()
	a.MakeTrainable()
	u.Gradients = since()
	lora.NewAdamW(a, lora.AdamWConfig{})
	u.Moments = since()
	if r.w.Reference {
		a.Clone()
	}
	u.Reference = since()
	if r.w.Reward != nil {
		_, err = r.over(r.w.reward())
	}
	u.Reward = since()
	return err
}

// sample goes through the sampling of a step.
func (r *rehearsal) sample(u *Usage) error {
	if _, err := r.over(r.w.Adapter); err != nil {
		return err
	}
	before := r.eng.Stats().Views
	g, err := r.policy.newGeneration(r.w.prompts(), SamplingOptions{N: r.w.Group, MaxTokens: r.w.Completion, StopTokens: []int{}})
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		u.Cache = max(u.Cache, r.eng.Stats().Views-before)
		more, err = g.step(context.Background())
	}
	u.Sampling = r.eng.Stats().ArenaPeak
	return err
}

// score goes through the reward model's reading of the replies, each with the token
// that ends it.
func (r *rehearsal) score(u *Usage) error {
	if r.w.Reward == nil {
		return nil
	}
	if _, err := r.over(r.w.reward()); err != nil {
		return err
	}
	examples := r.w.examples(1)
	rows := r.w.RewardRows
	if rows == 0 {
		rows = 8192
	}
	for i := range examples {
		examples[i].First = len(examples[i].Tokens)
		rows = max(rows, len(examples[i].Tokens))
	}
	_, err := r.policy.Outputs(context.Background(), examples, rows)
	u.Scoring = r.eng.Stats().ArenaPeak
	return err
}

// compare goes through the reference's reading of the replies.
func (r *rehearsal) compare(u *Usage) error {
	if !r.w.Reference {
		return nil
	}
	if _, err := r.over(r.w.Adapter); err != nil {
		return err
	}
	_, err := r.policy.Outputs(context.Background(), r.w.examples(0), r.w.Rows)
	u.Comparing = r.eng.Stats().ArenaPeak
	return err
}

// update goes through the update, with as many blocks computed again as the budget asks
// for.
func (r *rehearsal) update(u *Usage) error {
	if _, err := r.over(r.w.Adapter); err != nil {
		return err
	}
	r.policy.bind()
	r.policy.Recompute = r.w.Recompute
	if r.w.Budget > 0 {
		r.policy.Memory = max(1, r.w.Budget-u.Resident()-u.Cache)
	}
	packed, err := Pack(r.w.examples(0), r.w.Rows)
	if err != nil {
		return err
	}
	for _, f := range packed.Forests {
		plan := r.policy.plan(f, newOptions(f, nil))
		u.Again, u.Update = max(u.Again, plan.stems, plan.leaves), max(u.Update, plan.bytes)
	}
	return nil
}
