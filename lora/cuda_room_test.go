package lora

import "testing"

// The cut of a product of few rows: no block wants more shared memory than devices have, and
// the stretches cover the columns, each once.
func TestStreamCut(t *testing.T) {
	for _, bf16 := range []bool{false, true} {
		r := cudaRoom{bf16: bf16}
		for _, kind := range Kinds() {
			for _, rows := range []int{1, 2, 8, 9, 16, 31, 32} {
				for _, shape := range [][2]int{{1, 1}, {512, 3584}, {3584, 3584}, {18944, 3584}, {3584, 18944}, {152064, 3584}, {70, 65536}} {
					out, in := shape[0], shape[1]
					p := r.stream(kind, rows, out, in)
					if !p.streams {
						if in%nf4Block == 0 || kind != NF4 && kind != NF4Single {
							t.Errorf("%v, %d × %d: is not streamed", kind, out, in)
						}
						continue
					}
					if p.shared > 96<<10 {
						t.Errorf("%v, %d rows, %d × %d: %d bytes of shared memory", kind, rows, out, in, p.shared)
					}
					if p.splits*p.stretch < in || (p.splits-1)*p.stretch >= in {
						t.Errorf("%v, %d rows, %d × %d: %d stretches of %d columns", kind, rows, out, in, p.splits, p.stretch)
					}
					if p.lowParts*p.lowWidth < in || (p.lowParts-1)*p.lowWidth >= in {
						t.Errorf("%v, %d rows, %d × %d: %d stretches of %d columns in the branch", kind, rows, out, in, p.lowParts, p.lowWidth)
					}
				}
			}
		}
	}
}

// One vector against the large matrices of a model of 7 billion parameters is one pass, with
// nothing left to add.
func TestOneRowStreamsInOnePass(t *testing.T) {
	r := cudaRoom{bf16: true}
	for _, kind := range []Kind{BF16, NF4, Int8} {
		for _, shape := range [][2]int{{3584, 3584}, {18944, 3584}, {3584, 18944}, {152064, 3584}} {
			if p := r.stream(kind, 1, shape[0], shape[1]); p.splits != 1 || p.across != streamWarps {
				t.Errorf("%v, %d × %d: %d parts, %d warps across", kind, shape[0], shape[1], p.splits, p.across)
			}
		}
	}
}

// A weight of 7 billion parameters' layers is unpacked whole; a vocabulary in pieces of equal
// size that stay within the room.
func TestUnpackRows(t *testing.T) {
	r := cudaRoom{bf16: true}
	for _, c := range []struct{ n, in, want int }{
		{18944, 3584, 18944},
		{3584, 18944, 3584},
		{152064, 3584, 19008}, // 8 pieces of 136 MB
		{10, 3584, 10},
		{1 << 20, 1 << 21, 64}, // one row is 4 MB: never fewer than 64
	} {
		if got := r.unpackRows(NF4, c.n, c.in); got != c.want {
			t.Errorf("%d × %d: %d rows at a time, want %d", c.n, c.in, got, c.want)
		}
	}
}

// Parts of a weight do not overlap, rows begin on 64 bytes, and the sizes are those that the
// kinds' documentation names.
func TestCUDALayout(t *testing.T) {
	const out, in = 3584, 18944
	for kind, want := range map[Kind]float64{F32: 4, BF16: 2, NF4: 0.516, NF4Single: 0.563, Int8: 1.063} {
		if got := float64(cudaWeightBytes(kind, out, in)) / (out * in); got > want+0.001 || got < want-0.001 {
			t.Errorf("%v: %.4f bytes an element, want %v", kind, got, want)
		}
		l := cudaLayoutOf(kind, 5, 7)
		if l.pitch%64 != 0 || l.scales < 5*l.pitch || l.nested < l.scales || l.table < l.nested || l.total < l.table {
			t.Errorf("%v: layout %+v", kind, l)
		}
	}
}
