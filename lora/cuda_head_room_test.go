package lora

import "testing"

// The head of a large model takes less than 64 MiB, whatever the number of rows, the kind of
// the weight and the precision.
func TestCUDAHeadRoom(t *testing.T) {
	const vocab, in, most = 152064, 3584, 64 << 20
	for _, r := range []cudaRoom{{bf16: true}, {bf16: false}} {
		for _, kind := range Kinds() {
			for _, rows := range []int{0, 1, 2, 31, 80, 700, 1024, 1025, 1280, 20000} {
				m := &arenaCount{size: 4}
				r.head(m, rows, vocab, in, kind)
				if bytes := m.size * int64(m.peak); bytes > most {
					t.Errorf("%v, bfloat16 %v, %d rows: %d bytes, allowed are %d", kind, r.bf16, rows, bytes, most)
				}
				height, width := r.headChunk(rows, vocab, in, kind)
				if width%cudaHeadBlock != 0 && width != vocab || height > rows || rows > 0 && height*width == 0 {
					t.Errorf("%v, bfloat16 %v, %d rows: chunks of %d × %d", kind, r.bf16, rows, height, width)
				}
			}
		}
	}
}
