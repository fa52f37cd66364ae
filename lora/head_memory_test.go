package lora_test

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// The head of a vocabulary of 151,936 takes less than 64 MiB beside its arguments and
// results, forward and backward, for few rows and for many.
func TestHeadMemory(t *testing.T) {
	const vocab, width, most = 151936, 8, 64 << 20
	for _, rows := range []int{1, 80, 1024} {
		e, err := lora.Open("cpu")
		if err != nil {
			t.Fatal(err)
		}
		h, w, dh := randomView(e, rows, width), e.ViewWeight(randomView(e, vocab, width)), e.NewView(rows, width)
		targets, d := make([]lora.HeadTarget, rows), make([]float64, rows)
		for i := range targets {
			targets[i], d[i] = lora.HeadTarget{Row: int32(i), Token: int32(i * 97)}, 1
		}
		out := &lora.HeadOutput{LogProb: make([]float64, rows), LSE: make([]float64, rows), Entropy: make([]float64, rows)}
		before := allocated()
		if err := e.LogProbs(out, h, w, targets, 1); err != nil {
			t.Fatal(err)
		}
		e.LogProbsBack(dh, lora.View{}, h, w, targets, out.LSE, d, 1)
		arena, all := e.Stats().ArenaPeak, int64(allocated()-before)
		if arena > most || all > most || arena == 0 {
			t.Errorf("%d rows: %d bytes of the arena, %d bytes allocated in all, want at most %d", rows, arena, all, most)
		}
		t.Logf("%d rows: arena %.1f MiB, allocated %.1f MiB", rows, float64(arena)/(1<<20), float64(all)/(1<<20))
		e.Close()
	}
}
