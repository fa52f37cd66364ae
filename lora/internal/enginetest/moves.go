package enginetest

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/lora"
)

// testMemory checks views, the arena and the figures about both.
func testMemory(s *suite) {
	e := s.got
	v := e.NewView(3, 4)
	for i, x := range s.read(e, v) {
		if x != 0 {
			s.Fatalf("NewView: element %d is %v", i, x)
		}
	}
	before := e.Stats()
	big := e.NewView(100, 10)
	if grown := e.Stats().Views - before.Views; grown < 4000 {
		s.Errorf("1000 elements count %d bytes", grown)
	}
	e.FreeView(big)
	e.FreeView(lora.View{})
	if e.Stats().Views != before.Views {
		s.Errorf("views hold %d bytes after FreeView, before %d", e.Stats().Views, before.Views)
	}
	s.arena()
	empty := e.NewView(0, 7)
	if empty.IsNone() || empty.Len() != 0 {
		s.Error("an empty view is none or not empty")
	}
	e.Zero(empty)
	e.Write(empty, nil)
}

// arena checks that what lives at once does not overlap, over several chunks, and
// that a reset gives memory back.
func (s *suite) arena() {
	e := s.got
	start := e.Mark()
	shapes := [][2]int{{1, 1}, {300, 1000}, {7, 3}, {1000, 700}, {0, 5}, {1, 17}, {999, 301}}
	for round := range 3 {
		var views []lora.View
		for i, shape := range shapes {
			v := e.Temp(shape[0], shape[1])
			e.Write(v, slices.Repeat([]float32{float32(i + round)}, v.Len()))
			views = append(views, v)
		}
		for i, v := range views {
			for _, x := range s.read(e, v) {
				if x != float32(i+round) {
					s.Fatalf("round %d: matrix %d was overwritten", round, i)
				}
			}
		}
		inner := e.Mark()
		e.Temp(50, 50)
		e.Reset(inner)
		if e.Mark() != inner {
			s.Error("Reset does not return to its mark")
		}
		e.Reset(start)
	}
	stats := e.Stats()
	if stats.Arena != 0 || stats.ArenaPeak < 4*(300*1000+1000*700+999*301) {
		s.Errorf("after Reset: %d bytes in the arena, peak %d", stats.Arena, stats.ArenaPeak)
	}
}

// tensorOf makes a tensor as a file holds it.
func tensorOf(dtype lora.DType, rows, cols int, values []float32) lora.Tensor {
	t := lora.Tensor{Name: "w", DType: dtype, Shape: []int{rows, cols}}
	for _, x := range values {
		if dtype == lora.DTypeBF16 {
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(math.Float32bits(x)>>16))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(x))
		}
	}
	return t
}

// weights makes one weight on both engines.
func (s *suite) weights(t lora.Tensor, kind lora.Kind) (ref, got lora.Weight) {
	s.Helper()
	ref, err := s.ref.NewWeight(t, kind)
	if err != nil {
		s.Fatal(err)
	}
	if got, err = s.got.NewWeight(t, kind); err != nil {
		s.Fatal(err)
	}
	return ref, got
}

// testWeights checks kinds, sizes, rounding, gathering and errors.
func testWeights(s *suite) {
	for _, shape := range [][2]int{{1, 1}, {5, 7}, {32, 32}, {33, 65}, {64, 31}, {70, 100}} {
		for _, dtype := range []lora.DType{lora.DTypeF32, lora.DTypeBF16} {
			for _, kind := range lora.Kinds() {
				s.gather(tensorOf(dtype, shape[0], shape[1], s.values(shape[0]*shape[1])), kind)
			}
		}
	}
	s.weightsIn4Bits()
	ties := []float32{1, 1 + 1.0/256, 1 + 3.0/256, -1 - 1.0/256, 3.4e38, float32(math.Inf(1)), float32(math.NaN()), 1e-40}
	s.gather(tensorOf(lora.DTypeF32, 2, 4, ties), lora.BF16)
	_, w := s.weights(tensorOf(lora.DTypeF32, 2, 4, ties), lora.BF16)
	row := s.got.NewView(1, 4)
	s.got.Gather(row, w, []int32{0})
	if got, want := s.read(s.got, row), []float32{1, 1, 1 + 4.0/256, -1}; !slices.Equal(got, want) {
		s.Errorf("rounded to bfloat16: %v, want ties to even: %v", got, want)
	}
	for _, bad := range []lora.Tensor{
		{Name: "flat", DType: lora.DTypeF32, Shape: []int{4}, Data: make([]byte, 16)},
		{Name: "integers", DType: lora.DTypeI32, Shape: []int{2, 2}, Data: make([]byte, 16)},
	} {
		if _, err := s.got.NewWeight(bad, lora.F32); err == nil || !strings.Contains(err.Error(), bad.Name) {
			s.Errorf("tensor %q: error %v does not name it", bad.Name, err)
		}
	}
	if _, err := s.got.NewWeight(tensorOf(lora.DTypeF32, 1, 1, []float32{1}), 99); err == nil {
		s.Error("an unknown kind is no error")
	}
}

// weightsIn4Bits checks that a tensor in 4 bits keeps its codes where the kind is one
// of 4 bits, stands for its numbers elsewhere, and is refused where a part lacks.
func (s *suite) weightsIn4Bits() {
	for _, double := range []bool{false, true} {
		q, err := lora.QuantizeNF4(tensorOf(lora.DTypeBF16, 33, 65, s.values(33*65)), double)
		if err != nil {
			s.Fatal(err)
		}
		own := map[bool]lora.Kind{false: lora.NF4Single, true: lora.NF4}[double]
		for _, kind := range []lora.Kind{lora.F32, lora.BF16, own, lora.Int8} {
			s.gather(q, kind)
		}
		for _, kind := range []lora.Kind{lora.NF4, lora.NF4Single} {
			if ref, got := s.weights(q, kind); ref.Kind() != own || got.Kind() != own {
				s.Errorf("stored as %v, loaded as %v: kinds %v and %v", own, kind, ref.Kind(), got.Kind())
			}
		}
		for _, kind := range lora.Kinds() {
			short := q
			short.Data = q.Data[1:]
			if _, err := s.got.NewWeight(short, kind); err == nil || !strings.Contains(err.Error(), `"w"`) {
				s.Errorf("%v: a code is missing: error %v does not name the tensor", kind, err)
			}
		}
	}
}

// gather compares rows of a weight, and its description.
func (s *suite) gather(t lora.Tensor, kind lora.Kind) {
	s.Helper()
	before := s.got.Stats().Weights
	ref, got := s.weights(t, kind)
	rows, cols := t.Shape[0], t.Shape[1]
	if got.Out() != rows || got.In() != cols || got.Kind() != kind {
		s.Fatalf("weight of %v %v is %d × %d %v", t.Shape, kind, got.Out(), got.In(), got.Kind())
	}
	if got.Bytes() <= 0 || s.got.Stats().Weights != before+got.Bytes() {
		s.Errorf("weight of %d bytes changes the figure from %d to %d", got.Bytes(), before, s.got.Stats().Weights)
	}
	ids := []int32{int32(rows - 1), 0, int32(rows / 2), 0}
	out := s.output(len(ids), cols)
	s.ref.Gather(out.ref, ref, ids)
	s.got.Gather(out.got, got, ids)
	s.exact("Gather", out)
	got.Release()
	if s.got.Stats().Weights != before {
		s.Error("Release does not give the memory back")
	}
}

// testMoves checks the operations that move rows.
func testMoves(s *suite) {
	for _, n := range sizes {
		for _, cols := range []int{1, 7, 33} {
			s.moves(n, cols)
		}
	}
}

func (s *suite) moves(n, cols int) {
	const rows = 11
	src, small, zero := s.random(n, cols), s.random(rows, cols), s.output(n, cols)
	dst, picked, put := s.output(n, cols), s.output(n, cols), s.random(n+3, cols)
	table, scattered := s.random(rows, cols), s.random(rows, cols)
	ids, places := make([]int32, n), make([]int32, n)
	for i, p := range s.rng.Perm(n + 3)[:n] {
		ids[i], places[i] = int32(s.rng.IntN(rows)), int32(p)
	}
	gathered := s.output(n, cols)
	s.on(func(e lora.Engine, pick func(operand) lora.View) {
		e.Zero(pick(zero))
		e.Copy(pick(dst), pick(src))
		e.Pick(pick(picked), pick(small), ids)
		e.Put(pick(put), pick(src), places)
		e.ScatterAdd(pick(scattered), pick(src), ids)
		e.Gather(pick(gathered), e.ViewWeight(pick(table)), ids)
	})
	s.exact("Zero", zero)
	s.exact("Copy", dst)
	s.exact("Pick", picked)
	s.exact("Put", put)
	s.exact("Gather of a view", gathered)
	bound := make([]float64, rows*cols)
	for j := range bound {
		bound[j] = math.Abs(float64(scattered.data[j]))
	}
	for i, id := range ids {
		for j := range cols {
			bound[int(id)*cols+j] += math.Abs(float64(src.data[i*cols+j]))
		}
	}
	for j := range bound {
		bound[j] *= float64(n) * eps
	}
	s.bounded("ScatterAdd", scattered, bound)
	s.unchanged("moves", src, small, table)
}

// testArithmetic checks Accumulate, Scale and SumSquares.
func testArithmetic(s *suite) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, n := range sizes {
		for _, cols := range []int{1, 6, 129} {
			x, y, z := s.random(n, cols), s.random(n, cols), s.random(n, cols)
			if n > 2 {
				x.data[0], x.data[1], x.data[2] = inf, -inf, nan
				s.ref.Write(x.ref, x.data)
				s.got.Write(x.got, x.data)
			}
			s.on(func(e lora.Engine, pick func(operand) lora.View) {
				e.Accumulate(pick(y), pick(x))
				e.Scale(pick(z), -0.3)
			})
			s.relative("Accumulate", y, 1)
			s.relative("Scale", z, 2)
			want, _ := s.ref.SumSquares(z.ref)
			got, err := s.got.SumSquares(z.got)
			if err != nil || !(math.Abs(got-want) <= 4*eps*want) {
				s.Fatalf("SumSquares of %d × %d: %v, %v, want %v", n, cols, got, err, want)
			}
		}
	}
}
