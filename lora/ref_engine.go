package lora

import (
	"fmt"

	"gorgonia.org/tensor"
)

// refEngine is the float64 engine: every operation is the loop that its
// documentation states, one thread, no cleverness. It defines what the other
// engines compute.
type refEngine struct {
	tensor.StdEng
	hostMemory[float64]
	layout treeLayout
}

var _ Engine = (*refEngine)(nil)

func newRefEngine() *refEngine { return &refEngine{hostMemory: hostMemory[float64]{size: 8}} }

// Name returns "float64".
func (e *refEngine) Name() string { return "float64" }

// Sync does nothing: every operation is done when it returns.
func (e *refEngine) Sync() error { return nil }

// Close releases all memory.
func (e *refEngine) Close() error {
	e.release()
	return nil
}

// refWeight is a weight of the float64 engine: a view, owned or not.
type refWeight struct {
	view  View
	kind  Kind
	owner *refEngine // nil for a weight made of a view
}

func (w *refWeight) Out() int   { return w.view.Rows }
func (w *refWeight) In() int    { return w.view.Cols }
func (w *refWeight) Kind() Kind { return w.kind }

func (w *refWeight) Bytes() int64 {
	if w.owner == nil {
		return 0
	}
	return 8 * int64(w.view.Len())
}

func (w *refWeight) Release() {
	if w.owner != nil {
		w.owner.weights -= w.Bytes()
	}
	*w = refWeight{}
}

// NewWeight converts the tensor to the numbers that the kind keeps of it.
func (e *refEngine) NewWeight(t Tensor, kind Kind) (Weight, error) {
	out, in, err := weightShape(t, kind)
	if err != nil {
		return nil, err
	}
	values, kind, err := keptNumbers(t, kind)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	data := make([]float64, len(values))
	for i, x := range values {
		data[i] = float64(x)
	}
	w := &refWeight{
		view:  View{Buf: &buffer[float64]{data}, Rows: out, Cols: in, Stride: in},
		kind:  kind,
		owner: e,
	}
	e.weights += w.Bytes()
	return w, nil
}

// keptNumbers returns the numbers that a weight of the kind stands for, and the kind
// that it has: of the two in 4 bits, the one that the tensor is stored in.
func keptNumbers(t Tensor, kind Kind) ([]float32, Kind, error) {
	switch kind {
	case NF4, NF4Single:
		q, err := QuantizeNF4(t, kind == NF4)
		if err != nil {
			return nil, kind, err
		}
		values, err := q.Floats()
		return values, q.NF4.kind(), err
	case Int8:
		values, err := roundInt8(t)
		return values, kind, err
	}
	values, err := t.Floats()
	if kind == BF16 {
		for i, x := range values {
			values[i] = roundBF16(x)
		}
	}
	return values, kind, err
}

// ViewWeight makes a weight of a view.
func (e *refEngine) ViewWeight(v View) Weight { return &refWeight{view: v} }

// refRow returns row i of v.
func refRow(v View, i int) []float64 { return rowOf[float64](v, i) }

// refMatrix returns the view that holds w.
func refMatrix(w Weight) View {
	r, ok := w.(*refWeight)
	require(ok, "lora: weight of another engine")
	return r.view
}
