package lora

import (
	"github.com/socialrl/socialrl/lora/internal/gemm"
	"github.com/socialrl/socialrl/lora/internal/vec"
	"gorgonia.org/tensor"
)

// cpuEngine is the float32 engine on the host's processor.
//
// An operation checks its arguments, keeps them in args, and runs a function over
// rows or heads on the pool: functions without closures, so that a call allocates
// nothing. Pieces write disjoint elements, and what is summed over rows is summed in
// the order of the rows, so that neither the number of workers nor the cut into
// pieces shows in a result.
type cpuEngine struct {
	tensor.StdEng
	hostMemory[float32]
	pool    *gemm.Pool
	vec     vec.Kernels
	workers []cpuWorker
	run     func(worker, lo, hi int) // runs body; made once
	body    cpuBody
	args    cpuArgs
	layout  treeLayout
	units   []keyBlock  // trees, or blocks of keys, in AttentionBack
	spans   []splitSpan // of trees, by root, there
	sums    []float64   // partial sums of SumSquares
	targets targetIndex
	states  []running // of each row in LogProbs
	angles  angles    // of RotaryTable

	reserved     [2]int // packed rows and head size that workers have room for
	reservedBack [2]int // head size and heads for which they have room for tiles of gradients

	reservedAttend [2]int // packed rows and their width that workers have room for as split factors
	reservedSplit  int    // head size for which they have room for split tiles
}

var _ Engine = (*cpuEngine)(nil)

// cpuBody computes pieces [lo, hi) of the operation whose arguments are in e.args.
type cpuBody func(e *cpuEngine, worker, lo, hi int)

// cpuArgs are the arguments of the operation in progress.
type cpuArgs struct {
	v       [10]View
	s       [2]float32
	eps     float64
	n       int
	flag    bool
	ids     []int32
	freq    []float32
	weight  *cpuWeight
	drop    Dropout
	adamw   vec.AdamW
	tree    Tree
	shape   HeadShape
	back    backViews
	rows    []Sampling
	tokens  []int32
	numbers [2][]float64
	out     *HeadOutput
	head    headPart
	targets []HeadTarget
}

// cpuWorker is what one worker of the pool owns.
type cpuWorker struct {
	gemm   *gemm.Pool // of one worker: products inside a piece
	attend attendScratch
	tile   tileScratch
	split  splitScratch
	task   backTask
	sample sampleScratch
}

// newCPUEngine makes an engine of a number of workers, 0 for one per processor.
func newCPUEngine(variant string, workers int) (*cpuEngine, error) {
	pool, err := gemm.NewPool(workers, variant)
	if err != nil {
		return nil, err
	}
	e := &cpuEngine{hostMemory: hostMemory[float32]{size: 4}, pool: pool, vec: pool.Vec()}
	e.run = func(worker, lo, hi int) { e.body(e, worker, lo, hi) }
	e.workers = make([]cpuWorker, pool.Workers())
	for i := range e.workers {
		if e.workers[i].gemm, err = gemm.NewPool(1, pool.Variant()); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// openCPU is Open's entry for the family "cpu".
func openCPU(variant string) (Engine, error) {
	e, err := newCPUEngine(variant, 0)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Name returns "cpu" and the variant.
func (e *cpuEngine) Name() string { return "cpu " + e.pool.Variant() }

// room knows what operations take for themselves.
func (e *cpuEngine) room() cpuRoom { return cpuRoom{split: e.pool.Splits()} }

// Sync does nothing: every operation is done when it returns.
func (e *cpuEngine) Sync() error { return nil }

// Close ends the workers and releases all memory.
func (e *cpuEngine) Close() error {
	e.pool.Close()
	for i := range e.workers {
		e.workers[i].gemm.Close()
	}
	e.workers = nil
	e.release()
	return nil
}

// pieceSize is the number of elements that is worth handing to a worker.
const pieceSize = 1 << 13

// each runs body over [0, n), in pieces of some pieceSize elements, of which every
// index has width. It clears the arguments afterwards.
func (e *cpuEngine) each(n, width int, body cpuBody) {
	e.body = body
	e.pool.For(n, max(1, pieceSize/max(width, 1)), e.run)
	e.body, e.args = nil, cpuArgs{}
}

// eachColumn runs body over columns [0, n), in pieces wide enough for the caches.
func (e *cpuEngine) eachColumn(n int, body cpuBody) {
	e.body = body
	e.pool.For(n, 64, e.run)
	e.body, e.args = nil, cpuArgs{}
}

// row returns row i of v.
func row(v View, i int) []float32 { return rowOf[float32](v, i) }

// dense returns v as the matrix products take it.
func dense(v View) gemm.Dense {
	return gemm.Dense{Data: elements[float32](v), Rows: v.Rows, Cols: v.Cols, Stride: max(v.Stride, v.Cols)}
}

// ViewWeight makes a weight of a view.
func (e *cpuEngine) ViewWeight(v View) Weight { return &cpuWeight{view: v, owner: e} }

// cpuMatrix returns w as a weight of this kind of engine.
func cpuMatrix(w Weight) *cpuWeight {
	c, ok := w.(*cpuWeight)
	require(ok, "lora: weight of another engine")
	return c
}

// mulT sets y = alpha·x·w[v0:v1]ᵀ + beta·y. v0 is a multiple of gemm.NR.
func (e *cpuEngine) mulT(y, x View, w *cpuWeight, v0, v1 int, alpha, beta float32) {
	if w.packed == nil {
		gemm.Gemm(false, true, alpha, dense(x), dense(w.view.RowRange(v0, v1)), beta, dense(y), e.pool)
		return
	}
	gemm.MulTRange(dense(y), dense(x), w.packed, v0, v1, alpha, beta, e.pool)
}

// mul sets dx = dy·w[v0:v1] + beta·dx. v0 is a multiple of gemm.NR.
func (e *cpuEngine) mul(dx, dy View, w *cpuWeight, v0, v1 int, beta float32) {
	if w.packed == nil {
		gemm.Gemm(false, false, 1, dense(dy), dense(w.view.RowRange(v0, v1)), beta, dense(dx), e.pool)
		return
	}
	gemm.MulRange(dense(dx), dense(dy), w.packed, v0, v1, 1, beta, e.pool)
}

// gemm sets c = alpha·op(a)·op(b) + beta·c.
func (e *cpuEngine) gemm(transA, transB bool, alpha float32, a, b View, beta float32, c View) {
	gemm.Gemm(transA, transB, alpha, dense(a), dense(b), beta, dense(c), e.pool)
}
