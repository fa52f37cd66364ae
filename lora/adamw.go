package lora

import (
	"fmt"
	"math"
	"strconv"
)

// AdamWConfig holds the constants of the optimiser. The zero value of a field
// stands for the default in parentheses.
type AdamWConfig struct {
	Beta1       float64 // decay of the first moment (0.9)
	Beta2       float64 // decay of the second moment (0.999)
	Eps         float64 // beside the root of the second moment (1e-8)
	WeightDecay float64 // decoupled, on every parameter (0: none)
	Clip        float64 // largest norm of the whole gradient (0: no clipping)
}

func (c AdamWConfig) withDefaults() AdamWConfig {
	if c.Beta1 == 0 {
		c.Beta1 = 0.9
	}
	if c.Beta2 == 0 {
		c.Beta2 = 0.999
	}
	if c.Eps == 0 {
		c.Eps = 1e-8
	}
	return c
}

// AdamW trains an adapter: Loshchilov and Hutter, "Decoupled weight decay
// regularization", 2019, with the gradient clipped to a global norm.
type AdamW struct {
	cfg     AdamWConfig
	adapter *Adapter
	m, v    []View // moments, one a parameter
	step    int    // steps taken
}

// NewAdamW makes the adapter trainable and returns an optimiser for it with zero
// moments.
func NewAdamW(a *Adapter, cfg AdamWConfig) *AdamW {
	a.MakeTrainable()
	o := &AdamW{cfg: cfg.withDefaults(), adapter: a}
	for _, p := range a.params {
		o.m = append(o.m, a.eng.NewView(p.Value.Rows, p.Value.Cols))
		o.v = append(o.v, a.eng.NewView(p.Value.Rows, p.Value.Cols))
	}
	return o
}

// Step clips the accumulated gradients, updates the parameters at a learning rate
// and zeroes the gradients. It returns the gradient's norm before clipping. A norm
// that is not finite is an error, and then neither parameters nor moments have
// changed; the gradients are zeroed all the same.
//
//	clip factor = min(1, Clip / (norm + 1e-6))
func (o *AdamW) Step(lr float64) (norm float64, err error) {
	defer o.adapter.ZeroGrad()
	norm, err = o.GradNorm()
	if err != nil {
		return 0, err
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, &NonFiniteError{What: "gradient norm", Value: norm}
	}
	o.step++
	s := AdamWStep{LR: lr, Beta1: o.cfg.Beta1, Beta2: o.cfg.Beta2, Eps: o.cfg.Eps,
		WeightDecay: o.cfg.WeightDecay, GradScale: o.clipFactor(norm), Step: o.step}
	for i, p := range o.adapter.params {
		o.adapter.eng.AdamWStep(p.Value, p.Grad, o.m[i], o.v[i], s)
	}
	return norm, nil
}

// GradNorm returns the Euclidean norm of all gradients together.
func (o *AdamW) GradNorm() (float64, error) {
	sum := 0.0
	for _, p := range o.adapter.params {
		s, err := o.adapter.eng.SumSquares(p.Grad)
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return math.Sqrt(sum), nil
}

func (o *AdamW) clipFactor(norm float64) float64 {
	if o.cfg.Clip == 0 {
		return 1
	}
	return min(1, o.cfg.Clip/(norm+1e-6))
}

// Steps returns the number of steps taken.
func (o *AdamW) Steps() int { return o.step }

// State copies the moments out, named exp_avg.NAME and exp_avg_sq.NAME, with the
// number of steps as metadata "step".
func (o *AdamW) State() ([]Tensor, map[string]string, error) {
	var out []Tensor
	for i, p := range o.adapter.params {
		for _, moment := range []struct {
			prefix string
			view   View
		}{{"exp_avg.", o.m[i]}, {"exp_avg_sq.", o.v[i]}} {
			t, err := readTensor(o.adapter.eng, moment.prefix+p.Name, p.Shape, moment.view)
			if err != nil {
				return nil, nil, err
			}
			out = append(out, t)
		}
	}
	return out, map[string]string{"step": strconv.Itoa(o.step)}, nil
}

// SetState takes over what State returned, for an adapter with the same parameters.
func (o *AdamW) SetState(tensors []Tensor, metadata map[string]string) error {
	step, err := strconv.Atoi(metadata["step"])
	if err != nil || step < 0 {
		return fmt.Errorf("lora: optimiser state: step is %q, want a whole number", metadata["step"])
	}
	shadow := &Adapter{eng: o.adapter.eng, byName: map[string]*Param{}}
	for i, p := range o.adapter.params {
		shadow.adopt("exp_avg."+p.Name, p.Shape, o.m[i])
		shadow.adopt("exp_avg_sq."+p.Name, p.Shape, o.v[i])
	}
	if err := shadow.SetTensors(tensors); err != nil {
		return fmt.Errorf("lora: optimiser state: %w", err)
	}
	o.step = step
	return nil
}

// adopt lists a view that somebody else owns as a parameter.
func (a *Adapter) adopt(name string, shape []int, v View) {
	p := &Param{Name: name, Shape: shape, Value: v}
	a.params = append(a.params, p)
	a.byName[name] = p
}

// Close gives the moments' memory back.
func (o *AdamW) Close() {
	for i := range o.m {
		o.adapter.eng.FreeView(o.m[i])
		o.adapter.eng.FreeView(o.v[i])
	}
	o.m, o.v = nil, nil
}

// NonFiniteError says that a number which training depends on is NaN or infinite.
type NonFiniteError struct {
	What  string
	Value float64
}

// Error names the number and its value.
func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("lora: %s is %v", e.What, e.Value)
}
