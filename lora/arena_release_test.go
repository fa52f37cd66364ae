package lora

import (
	"runtime"
	"testing"
	"weak"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// What attention computed in the arena keeps none of its memory: an arena that is remade
// leaves nothing of the old one behind.
func TestAttentionLetsTheArenaGo(t *testing.T) {
	for _, variant := range gemm.Variants() {
		for _, relaxed := range []bool{false, true} {
			eng, err := Open("cpu:" + variant)
			if err != nil {
				t.Fatal(err)
			}
			e := eng.(*cpuEngine)
			e.Reserve(1 << 21)
			old := weak.Make(&e.arena.chunks[0].memory.data[0])
			attendInArena(e, HeadShape{Heads: 4, KVHeads: 2, HeadDim: 32, Relaxed: relaxed})
			e.Reset(0)
			e.Reserve(1 << 22)
			runtime.GC()
			if old.Value() != nil {
				t.Errorf("%s, relaxed %v: the arena of before is still there", variant, relaxed)
			}
			runtime.KeepAlive(e)
			eng.Close()
		}
	}
}

// attendInArena computes attention of a few rows to each other and its gradient.
func attendInArena(e *cpuEngine, s HeadShape) {
	const rows = 150
	tree := Tree{{Parent: -1, Q: 0, Rows: rows, KV: 0, Len: rows}}
	wide := func() View { return e.Temp(rows, s.Heads*s.HeadDim) }
	narrow := func() View { return e.Temp(rows, s.KVHeads*s.HeadDim) }
	o, lse, q, k, v := wide(), e.Temp(rows, s.Heads), wide(), narrow(), narrow()
	for _, x := range []View{q, k, v} {
		e.Zero(x)
	}
	e.Attention(o, lse, q, k, v, tree, s)
	e.AttentionBack(wide(), narrow(), narrow(), o, o, lse, q, k, v, tree, s)
}
