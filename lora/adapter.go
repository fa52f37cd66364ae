package lora

import (
	"fmt"
	"maps"
	"slices"
)

// Param is one trained matrix: its value and, once there is one, its gradient.
type Param struct {
	Name  string // the name it has in files
	Shape []int  // as files have it: [rows, cols] or [cols]
	Value View
	Grad  View // the zero View until the adapter is made trainable
}

// Adapter holds everything that training changes: low-rank branches of linear
// layers, a scalar head, or private copies of the base's weights. A base model and
// an adapter together are a policy; the base itself is never written.
//
// Parameter gradients live with the adapter and accumulate until ZeroGrad.
type Adapter struct {
	Config Config

	eng    Engine
	params []*Param
	byName map[string]*Param
}

// NewAdapter returns an adapter without parameters on an engine.
func NewAdapter(eng Engine, cfg Config) *Adapter {
	return &Adapter{Config: cfg, eng: eng, byName: map[string]*Param{}}
}

// Engine returns the engine that holds the adapter's parameters.
func (a *Adapter) Engine() Engine { return a.eng }

// Add makes a parameter of zeros with a shape of one or two dimensions. It panics
// where the adapter has one of that name.
func (a *Adapter) Add(name string, shape ...int) *Param {
	if a.byName[name] != nil {
		panic("lora: parameter added twice")
	}
	rows, cols := 1, shape[len(shape)-1]
	if len(shape) == 2 {
		rows = shape[0]
	}
	p := &Param{Name: name, Shape: slices.Clone(shape), Value: a.eng.NewView(rows, cols)}
	a.byName[name] = p
	at, _ := slices.BinarySearchFunc(a.params, name, func(q *Param, n string) int { return compareNames(q.Name, n) })
	a.params = slices.Insert(a.params, at, p)
	return p
}

// Param returns the parameter of a name, or nil.
func (a *Adapter) Param(name string) *Param { return a.byName[name] }

// Params returns the parameters in the order of their names. The slice is the
// adapter's own.
func (a *Adapter) Params() []*Param { return a.params }

// Size returns the number of trained elements.
func (a *Adapter) Size() int {
	n := 0
	for _, p := range a.params {
		n += p.Value.Len()
	}
	return n
}

// MakeTrainable gives every parameter a gradient of zeros. It does nothing where
// there is one.
func (a *Adapter) MakeTrainable() {
	for _, p := range a.params {
		if p.Grad.IsNone() {
			p.Grad = a.eng.NewView(p.Value.Rows, p.Value.Cols)
		}
	}
}

// ZeroGrad sets all gradients to zero.
func (a *Adapter) ZeroGrad() {
	for _, p := range a.params {
		if !p.Grad.IsNone() {
			a.eng.Zero(p.Grad)
		}
	}
}

// Clone returns a copy of the parameters without gradients, for example the frozen
// reference of a policy.
func (a *Adapter) Clone() *Adapter {
	c := NewAdapter(a.eng, a.Config)
	for _, p := range a.params {
		a.eng.Copy(c.Add(p.Name, p.Shape...).Value, p.Value)
	}
	return c
}

// Close gives the parameters' and gradients' memory back.
func (a *Adapter) Close() {
	for _, p := range a.params {
		a.eng.FreeView(p.Value)
		a.eng.FreeView(p.Grad)
	}
	a.params, a.byName = nil, map[string]*Param{}
}

// Tensors copies the parameters out, as float32 tensors under their own names.
func (a *Adapter) Tensors() ([]Tensor, error) {
	out := make([]Tensor, 0, len(a.params))
	for _, p := range a.params {
		t, err := readTensor(a.eng, p.Name, p.Shape, p.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// SetTensors copies tensors into the parameters of the same names. Every parameter
// must be given and every tensor must have a place; the error lists what does not
// fit, and then nothing has been changed.
func (a *Adapter) SetTensors(tensors []Tensor) error {
	given := make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		given[t.Name] = t
	}
	if err := a.match(given); err != nil {
		return err
	}
	values := make(map[string][]float32, len(given))
	for name, t := range given {
		v, err := t.Floats()
		if err != nil {
			return err
		}
		values[name] = v
	}
	for _, p := range a.params {
		a.eng.Write(p.Value, values[p.Name])
	}
	return a.eng.Sync()
}

func (a *Adapter) match(given map[string]Tensor) error {
	var missing, unknown, misshaped []string
	for _, p := range a.params {
		t, ok := given[p.Name]
		switch {
		case !ok:
			missing = append(missing, p.Name)
		case !slices.Equal(t.Shape, p.Shape):
			misshaped = append(misshaped, fmt.Sprintf("%s: %v, want %v", p.Name, t.Shape, p.Shape))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if a.byName[name] == nil {
			unknown = append(unknown, name)
		}
	}
	return MismatchError("lora: adapter", missing, unknown, misshaped)
}

// readTensor copies a view out of an engine as a float32 tensor.
func readTensor(eng Engine, name string, shape []int, v View) (Tensor, error) {
	buf := make([]float32, v.Len())
	if err := eng.Read(buf, v); err != nil {
		return Tensor{}, fmt.Errorf("lora: reading %s: %w", name, err)
	}
	return NewF32(name, shape, buf), nil
}

// compareNames orders names as people count: runs of digits by their value.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			if c := compareDigits(a[:da], b[:db]); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func compareDigits(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
