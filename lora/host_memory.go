package lora

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
)

// float is the type in which an engine on the host calculates.
type float interface{ float32 | float64 }

// buffer is a host engine's piece of memory.
type buffer[F float] struct{ data []F }

// Len returns the number of elements.
func (b *buffer[F]) Len() int { return len(b.data) }

// elements returns the memory of v from its first element to its last.
func elements[F float](v View) []F {
	b, ok := v.Buf.(*buffer[F])
	require(ok, "lora: view of another engine, or no view")
	if v.Len() == 0 {
		return nil
	}
	return b.data[v.Off : v.Off+(v.Rows-1)*v.Stride+v.Cols]
}

// rowOf returns row i of v.
func rowOf[F float](v View, i int) []F {
	b, ok := v.Buf.(*buffer[F])
	require(ok, "lora: view of another engine, or no view")
	o := v.Off + i*v.Stride
	return b.data[o : o+v.Cols : o+v.Cols]
}

// hostMemory is the memory of an engine on the host, but for weights: views that
// are slices, and an arena of chunks.
type hostMemory[F float] struct {
	size    int64 // bytes of an element
	views   int64 // elements that NewView made and FreeView did not take back
	weights int64 // bytes
	freed   int64 // bytes of views that FreeView took back and may not be collected yet

	arena arenaChunks[*buffer[F]]
}

// NewView makes a matrix of zeros.
func (m *hostMemory[F]) NewView(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: NewView: negative shape")
	m.views += int64(rows * cols)
	return View{Buf: &buffer[F]{make([]F, rows*cols)}, Rows: rows, Cols: cols, Stride: cols}
}

// FreeView gives back what NewView made.
func (m *hostMemory[F]) FreeView(v View) {
	if v.IsNone() {
		return
	}
	b, ok := v.Buf.(*buffer[F])
	require(ok, "lora: FreeView: view of another engine")
	m.views -= int64(len(b.data))
	m.freed += int64(len(b.data)) * m.size
	b.data = nil
	if m.freed >= collectFreed {
		m.freed = 0
		runtime.GC()
	}
}

// collectFreed is how many bytes of views are taken back before they are collected. The
// runtime alone would wait until they are as many as weights and arena together.
const collectFreed = 32 << 20

// Temp makes a matrix in the arena.
func (m *hostMemory[F]) Temp(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: Temp: negative shape")
	b, off := m.arena.take(arenaElements(rows, cols), m)
	return View{Buf: b, Off: off, Rows: rows, Cols: cols, Stride: cols}
}

func (m *hostMemory[F]) newChunk(elements int) *buffer[F] { return &buffer[F]{make([]F, elements)} }

func (m *hostMemory[F]) dropChunk(*buffer[F]) {}

// elementSize returns the bytes of an element.
func (m *hostMemory[F]) elementSize() int64 { return m.size }

// Reserve makes an empty arena one chunk of at least so many bytes. What it was before
// is given up first.
func (m *hostMemory[F]) Reserve(bytes int64) {
	n := int(bytes / m.size)
	if !m.arena.wants(n) {
		return
	}
	if len(m.arena.chunks) > 0 {
		m.arena = arenaChunks[*buffer[F]]{peak: m.arena.peak}
		debug.FreeOSMemory() // so that both are not there at once
	}
	m.arena.add(n, m)
}

// Mark returns the arena's present end.
func (m *hostMemory[F]) Mark() Mark { return Mark(m.arena.end) }

// Reset gives back all that Temp made since the mark.
func (m *hostMemory[F]) Reset(to Mark) { m.arena.reset(to) }

// Write copies numbers into the view.
func (m *hostMemory[F]) Write(dst View, src []float32) {
	require(len(src) == dst.Len(), "lora: Write: lengths differ")
	for i := range dst.Rows {
		row := rowOf[F](dst, i)
		for j, x := range src[i*dst.Cols:][:dst.Cols] {
			row[j] = F(x)
		}
	}
}

// Read copies the view's numbers out.
func (m *hostMemory[F]) Read(dst []float32, src View) error {
	require(len(dst) == src.Len(), "lora: Read: lengths differ")
	for i := range src.Rows {
		out := dst[i*src.Cols:][:src.Cols]
		for j, x := range rowOf[F](src, i) {
			out[j] = float32(x)
		}
	}
	return nil
}

// Stats returns the memory in use.
func (m *hostMemory[F]) Stats() MemoryStats {
	return MemoryStats{
		Weights:   m.weights,
		Views:     m.views * m.size,
		Arena:     int64(m.arena.end) * m.size,
		ArenaPeak: int64(m.arena.peak) * m.size,
	}
}

// release forgets all memory.
func (m *hostMemory[F]) release() { *m = hostMemory[F]{size: m.size} }

// weightShape returns the shape of a tensor that is to be a weight.
func weightShape(t Tensor, kind Kind) (out, in int, err error) {
	if !slices.Contains(Kinds(), kind) {
		return 0, 0, fmt.Errorf("lora: tensor %s: kind of weight %d is unknown, allowed are %v", t.Name, int(kind), Kinds())
	}
	if len(t.Shape) != 2 {
		return 0, 0, fmt.Errorf("lora: tensor %s: a weight has two dimensions, this has shape %v", t.Name, t.Shape)
	}
	return t.Shape[0], t.Shape[1], nil
}
