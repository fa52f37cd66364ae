package lora

// The shape checks of every operation stand here, once for all engines. They panic
// with a constant text: a shape that does not fit is a mistake of the program.

// require panics with text unless ok.
func require(ok bool, text string) {
	if !ok {
		panic(text)
	}
}

// sameShape reports whether all views have the shape of the first.
func sameShape(a View, others ...View) bool {
	for _, b := range others {
		if b.Rows != a.Rows || b.Cols != a.Cols {
			return false
		}
	}
	return true
}

// hasShape reports whether v is rows × cols.
func hasShape(v View, rows, cols int) bool { return v.Rows == rows && v.Cols == cols }

// noneOrShape reports whether v is the zero View or rows × cols.
func noneOrShape(v View, rows, cols int) bool { return v.IsNone() || hasShape(v, rows, cols) }

// inRange reports whether all numbers lie in [0, n).
func inRange(ids []int32, n int) bool {
	for _, id := range ids {
		if id < 0 || int(id) >= n {
			return false
		}
	}
	return true
}

func checkCopy(dst, src View) {
	require(sameShape(dst, src), "lora: Copy, Accumulate: shapes differ")
}

func checkGather(dst View, out, in int, ids []int32) {
	require(hasShape(dst, len(ids), in), "lora: Gather: shapes do not fit")
	require(inRange(ids, out), "lora: Gather: row out of range")
}

func checkScatterAdd(dw, d View, ids []int32) {
	require(hasShape(d, len(ids), dw.Cols), "lora: ScatterAdd: shapes do not fit")
	require(inRange(ids, dw.Rows), "lora: ScatterAdd: row out of range")
}

func checkPick(dst, src View, rows []int32) {
	require(hasShape(dst, len(rows), src.Cols), "lora: Pick: shapes do not fit")
	require(inRange(rows, src.Rows), "lora: Pick: row out of range")
}

func checkPut(dst, src View, rows []int32) {
	require(hasShape(src, len(rows), dst.Cols), "lora: Put: shapes do not fit")
	require(inRange(rows, dst.Rows), "lora: Put: row out of range")
}

func checkRMSNorm(y, x, w View) {
	require(sameShape(y, x) && hasShape(w, 1, x.Cols), "lora: RMSNorm: shapes do not fit")
}

func checkRMSNormBack(dx, dy, x, w, dw View) {
	require(sameShape(dx, dy, x) && hasShape(w, 1, x.Cols) && noneOrShape(dw, 1, x.Cols),
		"lora: RMSNormBack: shapes do not fit")
}

func checkRotaryTable(cos, sin View, positions []int32, invFreq []float32) {
	require(sameShape(cos, sin) && hasShape(cos, len(positions), len(invFreq)),
		"lora: RotaryTable: shapes do not fit")
}

func checkRotary(x, cos, sin View, heads int) {
	require(sameShape(cos, sin) && hasShape(x, cos.Rows, heads*2*cos.Cols),
		"lora: Rotary: shapes do not fit")
}

func checkSwiGLU(y, gate, up View) {
	require(sameShape(y, gate, up), "lora: SwiGLU: shapes do not fit")
}

func checkSwiGLUBack(dgate, dup, dy, gate, up View) {
	require(sameShape(dy, dgate, dup, gate, up), "lora: SwiGLUBack: shapes do not fit")
}

// branch reports whether the layer has a low-rank branch.
func (l *Linear) branch() bool { return !l.A.IsNone() }

func checkLinear(y, x View, l *Linear, h View) {
	require(hasShape(x, y.Rows, l.W.In()) && y.Cols == l.W.Out(), "lora: Linear: shapes do not fit")
	require(noneOrShape(l.Bias, 1, l.W.Out()), "lora: Linear: bias does not fit")
	require(l.A.IsNone() == l.B.IsNone(), "lora: Linear: A and B come together")
	require(l.Drop.P >= 0 && l.Drop.P < 1, "lora: Linear: dropout outside [0, 1)")
	if l.branch() {
		r := l.A.Rows
		require(l.A.Cols == l.W.In() && hasShape(l.B, l.W.Out(), r) && hasShape(h, x.Rows, r),
			"lora: Linear: branch does not fit")
	}
}

func checkLinearBack(dx, dy, x View, l *Linear, h View) {
	checkLinear(dy, x, l, h)
	require(noneOrShape(dx, x.Rows, x.Cols), "lora: LinearBack: shapes do not fit")
	require(noneOrShape(l.DW, l.W.Out(), l.W.In()) && noneOrShape(l.DBias, 1, l.W.Out()),
		"lora: LinearBack: gradients do not fit")
	if l.branch() {
		require(noneOrShape(l.DA, l.A.Rows, l.A.Cols) && noneOrShape(l.DB, l.B.Rows, l.B.Cols),
			"lora: LinearBack: branch gradients do not fit")
	}
}

func checkAttention(o, lse, q, k, v View, t Tree, s HeadShape) {
	require(s.KVHeads > 0 && s.Heads%s.KVHeads == 0 && s.HeadDim > 0, "lora: Attention: bad heads")
	require(sameShape(o, q) && q.Cols == s.Heads*s.HeadDim && hasShape(lse, q.Rows, s.Heads),
		"lora: Attention: queries do not fit")
	require(sameShape(k, v) && k.Cols == s.KVHeads*s.HeadDim, "lora: Attention: keys do not fit")
	for i, n := range t {
		require(n.Parent >= -1 && int(n.Parent) < i, "lora: Attention: parent after its child")
		require(n.Len >= 0 && n.Rows >= 0 && n.Rows <= n.Len, "lora: Attention: bad node length")
		require(n.KV >= 0 && int(n.KV)+int(n.Len) <= k.Rows, "lora: Attention: keys out of range")
		require(n.Rows == 0 || n.Q >= 0 && int(n.Q)+int(n.Rows) <= q.Rows,
			"lora: Attention: queries out of range")
	}
}

func checkAttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttention(o, lse, q, k, v, t, s)
	require(sameShape(dq, q, do) && sameShape(dk, dv, k), "lora: AttentionBack: gradients do not fit")
}

func checkTargets(h View, w Weight, targets []HeadTarget, temperature float64) {
	require(h.Cols == w.In(), "lora: LogProbs: shapes do not fit")
	require(temperature > 0, "lora: LogProbs: temperature is not positive")
	for _, t := range targets {
		require(t.Row >= 0 && int(t.Row) < h.Rows, "lora: LogProbs: target row out of range")
		require(t.Token >= 0 && int(t.Token) < w.Out(), "lora: LogProbs: target token out of range")
	}
}

func checkLogProbs(out *HeadOutput, h View, w Weight, targets []HeadTarget, temperature float64) {
	checkTargets(h, w, targets, temperature)
	require(len(out.LogProb) == len(targets) && len(out.LSE) == h.Rows &&
		(out.Entropy == nil || len(out.Entropy) == h.Rows), "lora: LogProbs: outputs do not fit")
}

func checkLogProbsBack(dh, dw, h View, w Weight, targets []HeadTarget, lse, d []float64, temperature float64) {
	checkTargets(h, w, targets, temperature)
	require(sameShape(dh, h) && noneOrShape(dw, w.Out(), w.In()) &&
		len(lse) == h.Rows && len(d) == len(targets), "lora: LogProbsBack: shapes do not fit")
}

func checkSample(tokens []int32, logProbs []float64, logits View, rows []Sampling) {
	require(len(tokens) == logits.Rows && len(logProbs) == logits.Rows && len(rows) == logits.Rows,
		"lora: Sample: lengths do not fit")
	require(logits.Rows == 0 || logits.Cols > 0, "lora: Sample: no vocabulary")
	for i := range rows {
		s := &rows[i]
		require(s.Temperature >= 0 && s.TopK >= 0 && s.TopP >= 0 && s.MinP >= 0 && s.Penalty >= 0,
			"lora: Sample: a number is negative or NaN")
		require(s.MinP <= 1, "lora: Sample: min-p is more than 1, which no token reaches")
		require(inRange(s.Seen, logits.Cols), "lora: Sample: seen token out of range")
		require(s.Allowed == nil || len(s.Allowed) >= (logits.Cols+63)/64, "lora: Sample: token mask is too short")
	}
}

func checkAdamW(p, g, m, v View, s AdamWStep) {
	require(sameShape(p, g, m, v), "lora: AdamWStep: shapes differ")
	require(s.Step >= 1, "lora: AdamWStep: steps count from 1")
}
