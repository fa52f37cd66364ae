package lora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/lora/internal/gemm"
	"gorgonia.org/tensor"
)

// OpenDry returns an engine that holds and computes nothing, and counts what the engine
// of a name would hold: Stats says what the weights, views and temporary matrices of the
// same calls take there. It needs no device, and of a tensor that becomes a weight no
// more than name, shape and form: Data may be nil. Numbers that operations return are 0.
//
// Names are those of [Open], and those of engines that do not open here. The variant
// amxbf16 of the CPU makes a difference to the others ("cpu" is what Open makes of it
// here), and so does the precision on a GPU; a GPU's number makes none.
func OpenDry(name string) (Engine, error) {
	family, variant, colon := strings.Cut(name, ":")
	f, known := dryFamilies[family]
	switch {
	case family == "cuda":
		_, f32, err := cudaVariant(variant)
		if err != nil {
			return nil, fmt.Errorf("lora: engine %q: %w", name, err)
		}
		f, known = cudaFamily(!f32), true
	case colon:
		known = known && slices.Contains(f.variants, variant)
	}
	if known && f.needsOf != nil {
		f.needs = f.needsOf(variant)
	}
	if !known || colon && variant == "" {
		return nil, fmt.Errorf("lora: unknown engine %q, allowed are %s", name, engineNames)
	}
	return &dry{
		Engine: tensor.StdEng{}, holder: &ledger{size: f.size, weightBytes: f.weightBytes, staging: f.staging},
		arenaCount: arenaCount{size: f.size}, needs: f.needs, name: "dry " + name,
	}, nil
}

// dryFamily is what a family of engines needs for its work.
type dryFamily struct {
	variants    []string // that a name may have behind the colon
	size        int64    // bytes of an element
	staging     int64    // bytes that an engine holds whatever it computes
	weightBytes func(kind Kind, out, in int) int64
	needs       scratcher
	needsOf     func(variant string) scratcher // or nil: needs
}

// dryFamilies holds the families of engines on the host by the first part of their names.
var dryFamilies = map[string]dryFamily{
	"cpu": {variants: []string{"amxbf16", "avx512", "avx512bf16", "avx2", "generic"}, size: 4, weightBytes: packedBytes,
		needsOf: func(variant string) scratcher { return roomOf(variant) }},
	"float64": {size: 8, weightBytes: func(_ Kind, out, in int) int64 { return 8 * int64(out) * int64(in) }, needs: noScratch{}},
}

// ledger counts weights and views.
type ledger struct {
	size, staging  int64
	weights, views int64 // bytes
	weightBytes    func(kind Kind, out, in int) int64
}

// NewView counts a matrix.
func (l *ledger) NewView(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: NewView: negative shape")
	l.views += int64(rows) * int64(cols) * l.size
	return View{Buf: dryBuffer{}, Rows: rows, Cols: cols, Stride: cols}
}

// FreeView takes back what NewView counted.
func (l *ledger) FreeView(v View) { l.views -= int64(v.Len()) * l.size }

// NewWeight counts a weight.
func (l *ledger) NewWeight(t Tensor, kind Kind) (Weight, error) {
	out, in, err := weightShape(t, kind)
	if err != nil {
		return nil, err
	}
	if t.NF4 != nil && (kind == NF4 || kind == NF4Single) {
		kind = t.NF4.kind()
	}
	w := &dryWeight{out: out, in: in, kind: kind, bytes: l.weightBytes(kind, out, in), owner: l}
	l.weights += w.bytes
	return w, nil
}

// ViewWeight makes a weight of a view.
func (l *ledger) ViewWeight(v View) Weight { return &dryWeight{out: v.Rows, in: v.Cols, owner: l} }

// Stats returns what was counted.
func (l *ledger) Stats() MemoryStats {
	return MemoryStats{Weights: l.weights, Views: l.views, Staging: l.staging}
}

// dryWeight is a weight that a ledger counts.
type dryWeight struct {
	out, in int
	kind    Kind
	bytes   int64
	owner   *ledger
}

func (w *dryWeight) Out() int     { return w.out }
func (w *dryWeight) In() int      { return w.in }
func (w *dryWeight) Kind() Kind   { return w.kind }
func (w *dryWeight) Bytes() int64 { return w.bytes }

func (w *dryWeight) Release() {
	w.owner.weights -= w.bytes
	w.bytes = 0
}

// packedBytes returns what a weight of the CPU engine takes: its numbers or codes with
// both sizes rounded up to whole panels, and its scales.
func packedBytes(kind Kind, out, in int) int64 {
	padded := func(n int) int64 { return int64(n+gemm.NR-1) / gemm.NR * gemm.NR }
	numbers := padded(out) * padded(in)
	switch kind {
	case F32:
		return 4 * numbers
	case BF16:
		return 2 * numbers
	case Int8:
		return numbers + 4*padded(out)*int64(int8Blocks(in))
	}
	return numbers/2 + nf4ScaleBytes(kind, out, in)
}

// nf4ScaleBytes returns what the scales of a matrix in 4 bits take: with double
// quantisation a byte each, their own scales, and a map of 256 numbers.
func nf4ScaleBytes(kind Kind, out, in int) int64 {
	held := int64(gemm.ScalesHeld(out, in, kind == NF4))
	if kind == NF4Single {
		return 4 * held
	}
	blocks := (int64(out)*int64(in) + nf4Block - 1) / nf4Block
	return held + 4*((blocks+nf4NestedBlock-1)/nf4NestedBlock) + 4*256
}
