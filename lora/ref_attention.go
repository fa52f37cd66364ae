package lora

import "math"

// Attention over the keys that the tree shows to each row.
func (e *refEngine) Attention(o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttention(o, lse, q, k, v, t, s)
	e.layout.set(t, q.Rows)
	for row := range q.Rows {
		if e.layout.owner[row] < 0 {
			continue
		}
		keys := e.visible(t, row)
		for h := range s.Heads {
			p, denominator := refSoftmax(q, k, row, h, keys, s)
			refRow(lse, row)[h] = denominator
			out := refHead(o, row, h, s)
			clear(out)
			for i, key := range keys {
				refAxpy(p[i], refHead(v, key, h*s.KVHeads/s.Heads, s), out)
			}
		}
	}
}

// AttentionBack is the gradient of Attention. With p the probabilities of one row
// and head and D = Σ_j do[j]·o[j]:
//
//	dv[key] += p[key]·do,  ds[key] = p[key]·(do·v[key] − D)/sqrt(HeadDim)
//	dq += ds[key]·k[key],  dk[key] += ds[key]·q
func (e *refEngine) AttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttentionBack(dq, dk, dv, do, o, lse, q, k, v, t, s)
	e.layout.set(t, q.Rows)
	for i, n := range t {
		if e.layout.rows[i] == 0 {
			continue // no query sees its keys
		}
		e.Zero(dk.RowRange(int(n.KV), int(n.KV+n.Len)))
		e.Zero(dv.RowRange(int(n.KV), int(n.KV+n.Len)))
	}
	scale := 1 / math.Sqrt(float64(s.HeadDim))
	for row := range q.Rows {
		if e.layout.owner[row] < 0 {
			continue
		}
		keys := e.visible(t, row)
		clear(refRow(dq, row))
		for h := range s.Heads {
			kh := h * s.KVHeads / s.Heads
			p, _ := refSoftmax(q, k, row, h, keys, s)
			dout := refHead(do, row, h, s)
			d := refDot(dout, refHead(o, row, h, s))
			for i, key := range keys {
				ds := p[i] * (refDot(dout, refHead(v, key, kh, s)) - d) * scale
				refAxpy(p[i], dout, refHead(dv, key, kh, s))
				refAxpy(ds, refHead(k, key, kh, s), refHead(dq, row, h, s))
				refAxpy(ds, refHead(q, row, h, s), refHead(dk, key, kh, s))
			}
		}
	}
}

// visible lists the key rows that a query row sees, root first.
func (e *refEngine) visible(t Tree, row int) []int {
	var path []int32
	for i := e.layout.owner[row]; i >= 0; i = t[i].Parent {
		path = append(path, i)
	}
	var keys []int
	for i := len(path) - 1; i >= 0; i-- {
		n := t[path[i]]
		seen := int(n.Len)
		if i == 0 {
			seen = int(n.Len-n.Rows) + row - int(n.Q) + 1
		}
		for j := range seen {
			keys = append(keys, int(n.KV)+j)
		}
	}
	return keys
}

// refSoftmax returns the probabilities of the keys for one row and head, and the
// logarithm of their denominator.
func refSoftmax(q, k View, row, h int, keys []int, s HeadShape) ([]float64, float64) {
	p := make([]float64, len(keys))
	for i, key := range keys {
		p[i] = refDot(refHead(q, row, h, s), refHead(k, key, h*s.KVHeads/s.Heads, s)) / math.Sqrt(float64(s.HeadDim))
	}
	lse := refLogSumExp(p)
	for i, x := range p {
		p[i] = math.Exp(x - lse)
	}
	return p, lse
}

// refHead returns head h of row i.
func refHead(v View, i, h int, s HeadShape) []float64 {
	return refRow(v, i)[h*s.HeadDim:][:s.HeadDim]
}

// refLogSumExp returns log Σ exp(x).
func refLogSumExp(x []float64) float64 {
	top := math.Inf(-1)
	for _, a := range x {
		top = math.Max(top, a)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, a := range x {
		sum += math.Exp(a - top)
	}
	return top + math.Log(sum)
}
