package enginetest

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// step is a piece of a training step on one engine: every operation that a model
// calls, on shapes large enough to be cut into pieces.
type step struct {
	e                                      lora.Engine
	x, y, z, gate, q, k, v, o, lse         lora.View
	dx, dy, dq, dk, dv, dw, cos, sin, norm lora.View
	h, p, m, mv, grad, logits              lora.View
	layer                                  *lora.Linear
	full                                   *lora.Linear
	w                                      lora.Weight
	tree                                   lora.Tree
	shape                                  lora.HeadShape
	out                                    *lora.HeadOutput
	targets                                []lora.HeadTarget
	d                                      []float64
	ids                                    []int32
	freq                                   []float32
	ways                                   []lora.Sampling
	tokens                                 []int32
	logProbs                               []float64
	sum                                    float64
}

// newStep makes the operands, the same for every engine.
func newStep(s *suite, e lora.Engine, rows, width, vocab int) *step {
	fill := func(r, c int) lora.View {
		v := e.NewView(r, c)
		e.Write(v, s.values(r*c))
		return v
	}
	w, err := e.NewWeight(tensorOf(lora.DTypeF32, vocab, width, s.values(vocab*width)), lora.F32)
	if err != nil {
		s.Fatal(err)
	}
	square, err := e.NewWeight(tensorOf(lora.DTypeF32, width, width, s.values(width*width)), lora.BF16)
	if err != nil {
		s.Fatal(err)
	}
	st := &step{
		e: e, w: w, shape: lora.HeadShape{Heads: width / 16, KVHeads: width / 32, HeadDim: 16, Relaxed: true},
		x: fill(rows, width), y: fill(rows, width), z: fill(rows, width), gate: fill(rows, width),
		q: fill(rows, width), k: fill(rows, width/2), v: fill(rows, width/2), o: fill(rows, width),
		dx: fill(rows, width), dy: fill(rows, width), dq: fill(rows, width), dk: fill(rows, width/2), dv: fill(rows, width/2),
		dw: fill(vocab, width), cos: fill(rows, 8), sin: fill(rows, 8), norm: fill(1, width), h: fill(rows, 8),
		p: fill(vocab, width), m: e.NewView(vocab, width), mv: e.NewView(vocab, width), grad: fill(1, width),
		logits: fill(rows, vocab), freq: []float32{1, .5, .25, .125, .06, .03, .01, .001},
		tokens: make([]int32, rows), logProbs: make([]float64, rows),
	}
	st.lse = e.NewView(rows, st.shape.Heads)
	drop := lora.Dropout{P: 0.1, Key: lora.Key{Seed: 3, Purpose: lora.ForDropout}}
	st.layer = &lora.Linear{W: square, Bias: fill(1, width), A: fill(8, width), B: fill(width, 8), Scale: 2, Drop: drop,
		DA: fill(8, width), DB: fill(width, 8), DBias: fill(1, width)}
	st.full = &lora.Linear{W: e.ViewWeight(fill(width, width)), DW: fill(width, width)}
	st.out = &lora.HeadOutput{LSE: make([]float64, rows), Entropy: make([]float64, rows)}
	half := int32(rows / 2)
	st.tree = lora.Tree{{Parent: -1, Len: half, Rows: half}, {Parent: 0, KV: half, Len: int32(rows) - half, Q: half, Rows: int32(rows) - half}}
	ways := s.samplings(vocab)
	for i := range rows {
		st.targets = append(st.targets, lora.HeadTarget{Row: int32(i), Token: int32(i * 7 % vocab)})
		st.ids = append(st.ids, int32(i*5%rows))
		st.d = append(st.d, s.rng.NormFloat64())
		way := ways[i%len(ways)]
		way.Key = lora.Key{Seed: 1, Purpose: lora.ForSampling, Index: uint32(i)}
		st.ways = append(st.ways, way)
	}
	st.out.LogProb = make([]float64, len(st.targets))
	return st
}

// run calls every operation once.
func (s *step) run() {
	e := s.e
	mark := e.Mark()
	t := e.Temp(s.x.Rows, s.x.Cols)
	e.RMSNorm(t, s.x, s.norm, 1e-6)
	e.Linear(s.y, t, s.layer, s.h)
	e.LinearBack(s.dx, s.dy, t, s.layer, s.h, true)
	e.Linear(s.z, t, s.full, lora.View{})
	e.LinearBack(s.dx, s.dy, t, s.full, lora.View{}, false)
	e.RMSNormBack(t, s.dy, s.x, s.norm, s.grad, 1e-6)
	e.RotaryTable(s.cos, s.sin, s.ids, s.freq)
	e.Rotary(s.q, s.cos, s.sin, s.shape.Heads, false)
	e.Attention(s.o, s.lse, s.q, s.k, s.v, s.tree, s.shape)
	e.AttentionBack(s.dq, s.dk, s.dv, s.dy, s.o, s.lse, s.q, s.k, s.v, s.tree, s.shape)
	e.SwiGLU(t, s.gate, s.z)
	e.SwiGLUBack(s.gate, s.z, s.dy, s.gate, s.z)
	e.Gather(t, s.w, s.ids[:t.Rows])
	e.ScatterAdd(s.dw, t, s.ids[:t.Rows])
	err := e.LogProbs(s.out, s.x, s.w, s.targets, 0.9)
	e.LogProbsBack(t, s.dw, s.x, s.w, s.targets, s.out.LSE, s.d, 0.9)
	e.Pick(t, s.o, s.ids)
	e.Accumulate(s.dx, t)
	e.AdamWStep(s.p, s.dw, s.m, s.mv, lora.AdamWStep{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, GradScale: 1, Step: 1})
	sum, err2 := e.SumSquares(s.dw)
	if err3 := e.Sample(s.tokens, s.logProbs, s.logits, s.ways); err != nil || err2 != nil || err3 != nil {
		panic(fmt.Sprint(err, err2, err3))
	}
	s.sum = sum
	e.Reset(mark)
}

// views are what run writes.
func (s *step) views() map[string]lora.View {
	return map[string]lora.View{
		"Linear": s.y, "Linear view": s.z, "Linear h": s.h, "dx": s.dx, "dA": s.layer.DA, "dB": s.layer.DB, "dBias": s.layer.DBias,
		"dW": s.full.DW, "norm": s.grad, "Rotary": s.q, "Attention": s.o, "lse": s.lse, "dq": s.dq, "dk": s.dk, "dv": s.dv,
		"SwiGLU": s.gate, "dw": s.dw, "AdamW": s.p,
	}
}

// testWorkers checks that one worker and several compute the same bits.
func testWorkers(t *testing.T, open func() (lora.Engine, error)) {
	var steps []*step
	var last *suite
	for _, procs := range []int{1, 2, 5} {
		s := newSuite(t, func() (lora.Engine, error) { return withProcs(t, procs, open), nil })
		st := newStep(s, s.got, 150, 64, 300)
		st.run()
		steps, last = append(steps, st), s
	}
	for _, st := range steps[1:] {
		for name, v := range steps[0].views() {
			last.sameBits(name, last.read(st.e, st.views()[name]), last.read(steps[0].e, v))
		}
		last.sameNumbers("LogProb", st.out.LogProb, steps[0].out.LogProb)
		last.sameNumbers("LSE", st.out.LSE, steps[0].out.LSE)
		last.sameNumbers("Entropy", st.out.Entropy, steps[0].out.Entropy)
		last.sameNumbers("Sample", st.logProbs, steps[0].logProbs)
		last.sameNumbers("SumSquares", []float64{st.sum}, []float64{steps[0].sum})
	}
}

// sameBits compares numbers bit for bit.
func (s *suite) sameBits(what string, got, want []float32) {
	s.Helper()
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			s.Fatalf("%s: element %d is %v, want the same bits as %v", what, i, got[i], want[i])
		}
	}
}

// sameRows compares rows computed alone with those of a batch: bit for bit, and on CUDA
// within twice the bound of either's error.
func (s *suite) sameRows(what string, got, want []float32, bound []float64) {
	s.Helper()
	if !s.onCUDA() {
		s.sameBits(what, got, want)
		return
	}
	for i := range got {
		s.number(fmt.Sprintf("%s: element %d", what, i), float64(got[i]), float64(want[i]), 2*bound[i])
	}
}

// sameHead compares a row's log-probabilities, denominator and entropy alone with those of
// a batch, given the bound of its logits' errors.
func (s *suite) sameHead(what string, vocab int, score float64, got, want []float64) {
	s.Helper()
	if !s.onCUDA() {
		s.sameNumbers(what, got, want)
		return
	}
	logProb, lse, entropy := headBounds(score, vocab, want[len(want)-2])
	bounds := []float64{logProb, lse, entropy}[3-len(want):]
	for i := range got {
		s.number(fmt.Sprintf("%s: number %d", what, i), got[i], want[i], 2*bounds[i])
	}
}

func (s *suite) sameNumbers(what string, got, want []float64) {
	s.Helper()
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			s.Fatalf("%s: number %d is %v, want the same bits as %v", what, i, got[i], want[i])
		}
	}
}

// testRowsAlone checks that a row computed alone is the same as in a batch.
func testRowsAlone(s *suite) {
	const rows, width = 70, 64
	st := newStep(s, s.got, rows, width, 300)
	e := s.got
	batch, h := e.NewView(rows, width), e.NewView(rows, 8)
	e.Linear(batch, st.x, st.layer, h)
	whole := &lora.HeadOutput{LogProb: nans(rows), LSE: nans(rows), Entropy: nans(rows)}
	if err := e.LogProbs(whole, st.x, st.w, st.targets, 1); err != nil {
		s.Fatal(err)
	}
	bound, scores := s.stepBounds(st)
	for _, r := range []int{0, 1, 33, rows - 1} {
		alone, h1 := e.NewView(1, width), e.NewView(1, 8)
		layer := *st.layer
		layer.Drop.Row0 = uint64(r)
		e.Linear(alone, st.x.RowRange(r, r+1), &layer, h1)
		s.sameRows("Linear alone", s.read(e, alone), s.read(e, batch.RowRange(r, r+1)), bound[r*width:])
		one := &lora.HeadOutput{LogProb: nans(1), LSE: nans(1), Entropy: nans(1)}
		target := []lora.HeadTarget{{Row: 0, Token: st.targets[r].Token}}
		if err := e.LogProbs(one, st.x.RowRange(r, r+1), st.w, target, 1); err != nil {
			s.Fatal(err)
		}
		s.sameHead("LogProbs alone", st.w.Out(), scores[r], []float64{one.LogProb[0], one.LSE[0], one.Entropy[0]},
			[]float64{whole.LogProb[r], whole.LSE[r], whole.Entropy[r]})
	}
	s.headAlone()
	s.eachShape(pathShape, s.branchesAlone)
	s.eachShape(pathShape, s.pathCut)
}

// stepBounds returns bounds of the errors of a step's layer, element by element, and of
// its logits, row by row.
func (s *suite) stepBounds(st *step) (linear, scores []float64) {
	e := s.ref
	positive := func(v lora.View) lora.View {
		to := e.NewView(v.Rows, v.Cols)
		e.Write(to, absolute(s.read(st.e, v)))
		return to
	}
	weight := func(w lora.Weight) lora.View {
		ids, all := make([]int32, w.Out()), st.e.NewView(w.Out(), w.In())
		for i := range ids {
			ids[i] = int32(i)
		}
		st.e.Gather(all, w, ids)
		return positive(all)
	}
	x, l := positive(st.x), st.layer
	layer := &lora.Linear{W: e.ViewWeight(weight(l.W)), Bias: positive(l.Bias), A: positive(l.A), B: positive(l.B), Scale: l.Scale, Drop: l.Drop}
	y := e.NewView(x.Rows, l.W.Out())
	e.Linear(y, x, layer, e.NewView(x.Rows, l.A.Rows))
	linear = s.scaled(y, eps*float64(x.Cols+l.A.Rows+8)+s.rounding(l.W.Kind()))

	z := e.NewView(x.Rows, st.w.Out())
	e.Linear(z, x, &lora.Linear{W: e.ViewWeight(weight(st.w))}, lora.View{})
	sizes := s.scaled(z, eps*float64(x.Cols+4)+s.rounding(st.w.Kind()))
	for row := range slices.Chunk(sizes, z.Cols) {
		scores = append(scores, slices.Max(row))
	}
	return linear, scores
}

// pathShape is that of the trees whose paths are cut.
var pathShape = lora.HeadShape{Heads: 6, KVHeads: 2, HeadDim: 24}

// pathCut checks that a row sees a path of keys in one way, into whatever nodes the
// path is cut.
func (s *suite) pathCut(shape lora.HeadShape) {
	e := s.got
	const rows = 300
	q, k, v := s.random(rows, 144).got, s.random(rows, 48).got, s.random(rows, 48).got
	attend := func(cuts ...int32) (o, lse []float32) {
		var tree lora.Tree
		at := int32(0)
		for _, end := range append(cuts, rows) {
			tree = append(tree, lora.Node{Parent: int32(len(tree)) - 1, KV: at, Len: end - at, Q: at, Rows: end - at})
			at = end
		}
		out, sums := e.NewView(rows, 144), e.NewView(rows, 6)
		e.Attention(out, sums, q, k, v, tree, shape)
		return s.read(e, out), s.read(e, sums)
	}
	o, lse := attend()
	for _, cuts := range [][]int32{{1}, {128}, {77}, {127, 129}, {5, 6, 200, 299}} {
		o1, lse1 := attend(cuts...)
		s.sameBits("a path that is cut", o1, o)
		s.sameBits("the denominators of a path that is cut", lse1, lse)
	}
}

// headAlone checks one row of the head alone and in a batch so large that the
// vocabulary is cut differently.
func (s *suite) headAlone() {
	const rows, vocab = 300, 5000
	c := s.headCase(rows, 3, vocab, 1, true, lora.F32)
	whole := &lora.HeadOutput{LSE: nans(rows), Entropy: nans(rows)}
	one := &lora.HeadOutput{LSE: nans(1), Entropy: nans(1)}
	if err := s.got.LogProbs(whole, c.h.got, c.got, nil, 1); err != nil {
		s.Fatal(err)
	}
	scores := c.scoreBounds()
	for _, r := range []int{0, rows - 1} {
		if err := s.got.LogProbs(one, c.h.got.RowRange(r, r+1), c.got, nil, 1); err != nil {
			s.Fatal(err)
		}
		s.sameHead("a row of a large head alone", vocab, scores[r], []float64{one.LSE[0], one.Entropy[0]}, []float64{whole.LSE[r], whole.Entropy[r]})
	}
}

// branchesAlone checks that a branch of a tree is the same with and without its siblings,
// and when its rows come one at a time, as in decoding.
func (s *suite) branchesAlone(shape lora.HeadShape) {
	e := s.got
	const root, leaf = 200, 90
	tree := lora.Tree{{Parent: -1, Len: root, Rows: root}}
	for i := range 3 {
		at := int32(root + i*leaf)
		tree = append(tree, lora.Node{Parent: 0, KV: at, Len: leaf, Q: at, Rows: leaf})
	}
	rows := root + 3*leaf
	qs, ks, vs := s.random(rows, 144), s.random(rows, 48), s.random(rows, 48)
	bound := s.attentionBounds(forest{tree, rows, rows}, shape, qs, ks, vs)[(root+leaf)*144:]
	q, k, v := qs.got, ks.got, vs.got
	o, lse := e.NewView(rows, 144), e.NewView(rows, 6)
	e.Attention(o, lse, q, k, v, tree, shape)
	want := o.RowRange(root+leaf, root+2*leaf)

	alone := lora.Tree{tree[0], {Parent: 0, KV: root + leaf, Len: leaf, Q: root, Rows: leaf}}
	both := e.NewView(root+leaf, 144)
	e.Copy(both.RowRange(0, root), q.RowRange(0, root))
	e.Copy(both.RowRange(root, root+leaf), q.RowRange(root+leaf, root+2*leaf))
	o1, lse1 := e.NewView(root+leaf, 144), e.NewView(root+leaf, 6)
	e.Attention(o1, lse1, both, k, v, alone, shape)
	s.sameRows("a branch without its siblings", s.read(e, o1.RowRange(root, root+leaf)), s.read(e, want), bound)

	for i := range int32(leaf) {
		decode := lora.Tree{{Parent: -1, Len: root}, {Parent: 0, KV: root + leaf, Len: i + 1, Rows: 1}}
		o2, lse2 := e.NewView(1, 144), e.NewView(1, 6)
		e.Attention(o2, lse2, q.RowRange(root+leaf+int(i), root+leaf+int(i)+1), k, v, decode, shape)
		s.sameRows("a decoded row", s.read(e, o2), s.read(e, want.RowRange(int(i), int(i)+1)), bound[int(i)*144:])
	}
}

// testAllocations checks that a step that has run before allocates nothing.
func testAllocations(s *suite) {
	st := newStep(s, s.got, 150, 64, 300)
	st.run()
	peak := s.got.Stats().ArenaPeak
	if n := testing.AllocsPerRun(5, st.run); n > 0 {
		s.Errorf("a step allocates %v times", n)
	}
	if s.got.Stats().ArenaPeak != peak {
		s.Error("the arena grows from step to step")
	}
	runtime.KeepAlive(st)
}

// testPanics checks that shapes that do not fit panic with the package's name.
func testPanics(s *suite) {
	e := s.got
	a, b, c := e.NewView(2, 3), e.NewView(3, 2), e.NewView(2, 3)
	w := e.ViewWeight(e.NewView(4, 3))
	shape := lora.HeadShape{Heads: 1, KVHeads: 1, HeadDim: 3}
	lse := e.NewView(2, 1)
	attend := func(t lora.Tree) func() {
		return func() { e.Attention(c, lse, a, a, a, t, shape) }
	}
	draw := func(how lora.Sampling) func() {
		return func() { _ = e.Sample(make([]int32, 2), nans(2), a, []lora.Sampling{{Temperature: 1}, how}) }
	}
	for name, f := range map[string]func(){
		"Copy":                    func() { e.Copy(a, b) },
		"Accumulate":              func() { e.Accumulate(a, b) },
		"Gather shape":            func() { e.Gather(a, w, []int32{0}) },
		"Gather row":              func() { e.Gather(a, w, []int32{0, 4}) },
		"ScatterAdd row":          func() { e.ScatterAdd(a, c, []int32{0, -1}) },
		"Pick":                    func() { e.Pick(a, b, []int32{0, 1}) },
		"Put row":                 func() { e.Put(a, c, []int32{0, 2}) },
		"RMSNorm":                 func() { e.RMSNorm(a, c, b, 1) },
		"Rotary":                  func() { e.Rotary(a, lse, lse, 1, false) },
		"SwiGLU":                  func() { e.SwiGLU(a, b, c) },
		"Linear":                  func() { e.Linear(a, c, &lora.Linear{W: w}, lora.View{}) },
		"Linear half a branch":    func() { e.Linear(e.NewView(2, 4), a, &lora.Linear{W: w, A: a}, lora.View{}) },
		"Attention heads":         func() { e.Attention(c, lse, a, a, a, nil, lora.HeadShape{Heads: 3, KVHeads: 2, HeadDim: 1}) },
		"Attention parent":        attend(lora.Tree{{Parent: 0, Len: 1, Rows: 1}}),
		"Attention rows":          attend(lora.Tree{{Parent: -1, Len: 1, Rows: 2}}),
		"Attention keys":          attend(lora.Tree{{Parent: -1, KV: 1, Len: 2, Rows: 1}}),
		"Attention one row twice": attend(lora.Tree{{Parent: -1, Len: 1, Rows: 1}, {Parent: -1, Len: 1, Rows: 1}}),
		"Attention order":         attend(lora.Tree{{Parent: -1, Len: 1, Q: 1, Rows: 1}, {Parent: 0, Len: 1, Q: 0, Rows: 1}}),
		"LogProbs token": func() {
			_ = e.LogProbs(&lora.HeadOutput{LogProb: nans(1), LSE: nans(2)}, a, w, []lora.HeadTarget{{Token: 4}}, 1)
		},
		"LogProbs temperature": func() { _ = e.LogProbs(&lora.HeadOutput{LSE: nans(2)}, a, w, nil, 0) },
		"Sample lengths":       func() { _ = e.Sample(nil, nil, a, nil) },
		"Sample min-p":         draw(lora.Sampling{Temperature: 1, MinP: 1.5}),
		"Sample NaN":           draw(lora.Sampling{Temperature: math.NaN()}),
		"AdamWStep":            func() { e.AdamWStep(a, a, a, b, lora.AdamWStep{Step: 1}) },
		"Write":                func() { e.Write(a, nil) },
	} {
		s.panics(name, f)
	}
}

func (s *suite) panics(name string, f func()) {
	s.Helper()
	defer func() {
		text, _ := recover().(string)
		if len(text) < 6 || text[:6] != "lora: " {
			s.Errorf("%s: panic %q, want a text that begins with the package's name", name, text)
		}
	}()
	f()
}
