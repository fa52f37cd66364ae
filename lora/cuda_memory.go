//go:build cuda && cgo

package lora

import (
	"github.com/socialrl/socialrl/lora/internal/cuda"
)

// cudaBuffer is a piece of a GPU's memory: float32 elements, unless an operation uses it
// as bytes.
type cudaBuffer struct {
	owner    *cuda.Device
	base     cuda.Ptr // 0 where there are no elements, or no memory was left
	elements int
}

// Len returns the number of elements.
func (b *cudaBuffer) Len() int { return b.elements }

// cudaMemory is the memory of a cudaEngine, but for the layouts of weights.
type cudaMemory struct {
	dev     *cuda.Device
	arena   arenaChunks[*cudaBuffer]
	views   int64 // bytes
	weights int64 // bytes
}

// buffer allocates elements; a lack of memory becomes the device's failure.
func (m *cudaMemory) buffer(elements int) *cudaBuffer {
	p, err := m.dev.Alloc(4 * int64(elements))
	if err != nil {
		m.dev.Fail(err)
	}
	return &cudaBuffer{owner: m.dev, base: p, elements: elements}
}

// ownBuffer returns the memory of a view of this engine.
func (m *cudaMemory) ownBuffer(v View) *cudaBuffer {
	b, ok := v.Buf.(*cudaBuffer)
	require(ok && b.owner == m.dev, "lora: view of another engine, or no view")
	return b
}

// address returns where v's first element is, 0 where v has none.
func (m *cudaMemory) address(v View) cuda.Ptr {
	b := m.ownBuffer(v)
	if v.Len() == 0 {
		return 0
	}
	if b.base == 0 {
		m.dev.Fail(errNoMemory)
	}
	return b.base.Add(4 * int64(v.Off))
}

// NewView makes a matrix of zeros.
func (m *cudaMemory) NewView(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: NewView: negative shape")
	b := m.buffer(rows * cols)
	m.dev.Clear(b.base, 4*int64(b.elements))
	m.views += 4 * int64(b.elements)
	return View{Buf: b, Rows: rows, Cols: cols, Stride: cols}
}

// FreeView gives back what NewView made.
func (m *cudaMemory) FreeView(v View) {
	if v.IsNone() {
		return
	}
	b := m.ownBuffer(v)
	m.views -= 4 * int64(b.elements)
	m.dev.Free(b.base)
	b.base, b.elements = 0, 0
}

// Temp makes a matrix in the arena.
func (m *cudaMemory) Temp(rows, cols int) View {
	require(rows >= 0 && cols >= 0, "lora: Temp: negative shape")
	b, off := m.arena.take(arenaElements(rows, cols), m)
	return View{Buf: b, Off: off, Rows: rows, Cols: cols, Stride: cols}
}

// tempBytes takes room of n bytes in the arena, aligned to 64, and returns its address.
func (m *cudaMemory) tempBytes(n int64) cuda.Ptr {
	if n == 0 {
		return 0
	}
	return m.address(m.Temp(1, int((n+3)/4)))
}

func (m *cudaMemory) newChunk(elements int) *cudaBuffer { return m.buffer(elements) }

func (m *cudaMemory) dropChunk(b *cudaBuffer) {
	m.dev.Free(b.base)
	b.base = 0
}

// elementSize returns the bytes of an element.
func (m *cudaMemory) elementSize() int64 { return 4 }

// Reserve makes an empty arena one chunk of at least so many bytes. What it was before is
// given up first. Where there is no piece so large, the arena grows piece by piece.
func (m *cudaMemory) Reserve(bytes int64) {
	n := int(bytes / 4)
	if !m.arena.wants(n) {
		return
	}
	m.arena.drop(0, m)
	m.arena.active = 0
	p, err := m.dev.Alloc(4 * int64(n))
	if err != nil {
		return
	}
	b := &cudaBuffer{owner: m.dev, base: p, elements: n}
	m.arena.chunks = append(m.arena.chunks, arenaChunk[*cudaBuffer]{memory: b, size: n})
}

// Mark returns the arena's present end.
func (m *cudaMemory) Mark() Mark { return Mark(m.arena.end) }

// Reset gives back all that Temp made since the mark.
func (m *cudaMemory) Reset(to Mark) { m.arena.reset(to) }

// Stats returns the memory in use.
func (m *cudaMemory) Stats() MemoryStats {
	return MemoryStats{
		Weights:   m.weights,
		Views:     m.views,
		Arena:     4 * int64(m.arena.end),
		ArenaPeak: 4 * int64(m.arena.peak),
		Staging:   cudaStaging,
	}
}
