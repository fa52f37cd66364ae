package lora

import (
	"fmt"
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

	chunks []arenaChunk[F]
	active int // the chunk that Temp takes from
	end    int // position of the next free element
	peak   int
}

// arenaChunk is a piece of the arena. Positions count through all chunks; the part
// of a chunk that a request did not fit into is skipped and counts as used.
type arenaChunk[F float] struct {
	*buffer[F]
	start int // position of its first element
}

const (
	arenaAlign    = 16      // elements: views start on cache lines
	arenaMinChunk = 1 << 18 // elements
	arenaMaxChunk = 1 << 24 // elements; a larger request gets a chunk of its size
)

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
	b.data = nil
}

// Temp makes a matrix in the arena.
func (m *hostMemory[F]) Temp(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: Temp: negative shape")
	n := arenaElements(rows, cols)
	m.makeRoom(n)
	c := m.chunks[m.active]
	v := View{Buf: c.buffer, Off: m.end - c.start, Rows: rows, Cols: cols, Stride: cols}
	m.end += n
	m.peak = max(m.peak, m.end)
	return v
}

// arenaElements returns the elements that a matrix takes in the arena.
func arenaElements(rows, cols int) int { return (rows*cols + arenaAlign - 1) &^ (arenaAlign - 1) }

// elementSize returns the bytes of an element.
func (m *hostMemory[F]) elementSize() int64 { return m.size }

// Reserve makes an empty arena one chunk of at least so many bytes. What it was before
// is given up first.
func (m *hostMemory[F]) Reserve(bytes int64) {
	n := int(bytes / m.size)
	if m.end > 0 || n <= arenaMinChunk || len(m.chunks) > 0 && len(m.chunks[0].data) >= n {
		return
	}
	had := len(m.chunks) > 0
	m.chunks, m.active = nil, 0
	if had {
		debug.FreeOSMemory() // so that both are not there at once
	}
	m.chunks = []arenaChunk[F]{{&buffer[F]{make([]F, n)}, 0}}
}

// makeRoom moves to a chunk that has n free elements at m.end.
func (m *hostMemory[F]) makeRoom(n int) {
	if m.active < len(m.chunks) {
		c := m.chunks[m.active]
		if m.end+n <= c.start+len(c.data) {
			return
		}
		if m.end > c.start {
			m.active++
			m.end = c.start + len(c.data)
		}
	}
	if m.active < len(m.chunks) && n <= len(m.chunks[m.active].data) {
		return
	}
	// Chunks from here on are not in use: what is too small is let go.
	m.chunks = append(m.chunks[:m.active], arenaChunk[F]{
		&buffer[F]{make([]F, max(n, arenaMinChunk, min(m.end, arenaMaxChunk)))}, m.end})
}

// Mark returns the arena's present end.
func (m *hostMemory[F]) Mark() Mark { return Mark(m.end) }

// Reset gives back all that Temp made since the mark.
func (m *hostMemory[F]) Reset(to Mark) {
	require(int(to) >= 0 && int(to) <= m.end, "lora: Reset: mark lies ahead of the arena's end")
	m.end = int(to)
	for m.active > 0 && (m.active >= len(m.chunks) || m.chunks[m.active].start > m.end) {
		m.active--
	}
}

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
		Arena:     int64(m.end) * m.size,
		ArenaPeak: int64(m.peak) * m.size,
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
