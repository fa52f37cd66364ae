package grpo

import (
	"math"
	"reflect"
	"sync"
	"unsafe"

	"github.com/socialrl/socialrl/grpo/internal/ptx"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// device computes advantages and losses with kernels. The functions of the host say what
// they compute.
type device struct {
	lora.Launcher
	advantages, losses lora.Kernel

	// The arguments of the last loss, kept for the next.
	completions []deviceCompletion
	old, ref    []float64
	out         []float64
}

// deviceKernels makes the kernels known, once for all engines.
var deviceKernels struct {
	sync.Mutex
	known []lora.Kernel
}

// deviceOf returns the device of an engine that runs kernels, and nil for others.
func deviceOf(eng lora.Engine) *device {
	l, ok := eng.(lora.Launcher)
	if !ok {
		return nil
	}
	deviceKernels.Lock()
	defer deviceKernels.Unlock()
	if deviceKernels.known == nil {
		known, err := l.Kernels(ptx.Module, ptx.Source, ptx.Advantages, ptx.Losses)
		if err != nil {
			return nil
		}
		deviceKernels.known = known
	}
	return &device{Launcher: l, advantages: deviceKernels.known[0], losses: deviceKernels.known[1]}
}

// deviceScales holds the number that the kernel knows each scale by.
var deviceScales = map[Scale]uint64{ScaleGroup: 0, ScaleBatch: 1, ScaleNone: 2}

// groupAdvantages is [advantages] on the device.
func (d *device) groupAdvantages(rewards []float64, group int, scale Scale, eps float64) ([]float64, error) {
	out := make([]float64, len(rewards))
	groups := (len(rewards) + group - 1) / group
	err := d.Launch(d.advantages, groups, ptx.Threads, bytesOf(out), [][]byte{bytesOf(rewards)},
		uint64(len(rewards)), uint64(group), deviceScales[scale], math.Float64bits(eps))
	return out, err
}

// deviceCompletion is a completion as the kernel reads it.
type deviceCompletion struct {
	advantage, weight  float64
	first, tokens, has int32
	_                  int32
}

// What a completion has.
const (
	deviceHasOld = 1 << iota
	deviceHasRef
)

// The forms of the loss that the kernel knows.
const (
	deviceTruncated = 1 << iota
	deviceSequence
	deviceRatioKL
)

// deviceForm returns the objective's form of loss, where the kernel knows it: that of a
// surrogate of one's own it does not.
func (o *Objective) deviceForm() (form uint64, known bool) {
	switch reflect.ValueOf(o.Surrogate).Pointer() { // functions cannot be compared otherwise
	case reflect.ValueOf(Clipped).Pointer():
	case reflect.ValueOf(Truncated).Pointer():
		form |= deviceTruncated
	default:
		return 0, false
	}
	if o.Level == SequenceLevel {
		form |= deviceSequence
	}
	if o.RatioKL {
		form |= deviceRatioKL
	}
	return form, o.Level == SequenceLevel || o.Level == TokenLevel
}

// evaluate is [Loss.evaluate] on the device.
func (d *device) evaluate(l *Loss, dst []float64, t policy.Targets) ([]evaluated, error) {
	form, _ := l.objective.deviceForm()
	d.load(l, t)
	rows := len(d.completions)
	d.out = resized(d.out, 4*rows+len(dst))
	o := &l.objective
	in := [][]byte{bytesOf(d.completions), bytesOf(t.LogProb), bytesOf(d.old), bytesOf(d.ref)}
	err := d.Launch(d.losses, rows, ptx.Threads, bytesOf(d.out), in, form,
		math.Float64bits(o.Clip.Low), math.Float64bits(o.Clip.High), math.Float64bits(o.Beta))
	if err != nil {
		return nil, err
	}
	copy(dst, d.out[4*rows:])
	each := make([]evaluated, rows)
	for k := range each {
		sums, n := d.out[4*k:], int(d.completions[k].tokens)
		each[k] = evaluated{sums[0], TokenStats{Tokens: n, Units: float64(n), KL: sums[1], Low: sums[2], High: sums[3]}}
		if levels[o.Level].whole {
			each[k].stats.average()
		}
	}
	return each, nil
}

// load lays out what the kernel reads of the completions of a forest.
func (d *device) load(l *Loss, t policy.Targets) {
	d.completions = resized(d.completions, len(t.Index))
	d.old, d.ref = resized(d.old, len(t.LogProb)), resized(d.ref, len(t.LogProb))
	for k, index := range t.Index {
		r, span := l.rows[l.examples[index]], t.Spans[k]
		c := deviceCompletion{advantage: r.Advantage, weight: r.Weight, first: int32(span.Start), tokens: int32(span.Len())}
		r.check(span.Len())
		if r.Old != nil {
			c.has |= deviceHasOld
			copy(d.old[span.Start:], r.Old)
		}
		if r.Ref != nil && l.objective.Beta != 0 {
			c.has |= deviceHasRef
			copy(d.ref[span.Start:], r.Ref)
		}
		d.completions[k] = c
	}
}

// resized returns s with n elements of any value, in its own memory where there is room.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// bytesOf returns the memory of numbers.
func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}
