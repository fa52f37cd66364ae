package lora

const (
	arenaAlign    = 16      // elements: views start on cache lines
	arenaMinChunk = 1 << 18 // elements
	arenaMaxChunk = 1 << 24 // elements; a larger request gets a chunk of its size
)

// arenaElements returns the elements that a matrix takes in the arena.
func arenaElements(rows, cols int) int { return (rows*cols + arenaAlign - 1) &^ (arenaAlign - 1) }

// arenaChunks is an arena of pieces of memory of type M. Positions count through all
// chunks; the part of a chunk that a request did not fit into is skipped and counts as
// used.
type arenaChunks[M any] struct {
	chunks []arenaChunk[M]
	active int // the chunk that take takes from
	end    int // position of the next free element
	peak   int
}

// arenaChunk is a piece of the arena.
type arenaChunk[M any] struct {
	memory M
	start  int // position of its first element
	size   int // elements
}

// chunkSource makes the memory of chunks and takes it back.
type chunkSource[M any] interface {
	newChunk(elements int) M
	dropChunk(M)
}

// take returns n elements: memory and the offset of the first in it.
func (a *arenaChunks[M]) take(n int, from chunkSource[M]) (memory M, off int) {
	a.makeRoom(n, from)
	c := a.chunks[a.active]
	off = a.end - c.start
	a.end += n
	a.peak = max(a.peak, a.end)
	return c.memory, off
}

// makeRoom moves to a chunk that has n free elements at a.end.
func (a *arenaChunks[M]) makeRoom(n int, from chunkSource[M]) {
	if a.active < len(a.chunks) {
		c := a.chunks[a.active]
		if a.end+n <= c.start+c.size {
			return
		}
		if a.end > c.start {
			a.active++
			a.end = c.start + c.size
		}
	}
	if a.active < len(a.chunks) && n <= a.chunks[a.active].size {
		return
	}
	// Chunks from here on are not in use: what is too small is let go.
	a.drop(a.active, from)
	a.add(max(n, arenaMinChunk, min(a.end, arenaMaxChunk)), from)
}

// add appends a chunk of n elements.
func (a *arenaChunks[M]) add(n int, from chunkSource[M]) {
	a.chunks = append(a.chunks, arenaChunk[M]{from.newChunk(n), a.end, n})
}

// drop lets all chunks from the i-th on go.
func (a *arenaChunks[M]) drop(i int, from chunkSource[M]) {
	for j := i; j < len(a.chunks); j++ {
		from.dropChunk(a.chunks[j].memory)
	}
	clear(a.chunks[i:])
	a.chunks = a.chunks[:i]
}

// wants reports whether the arena, being empty, is better remade as one chunk of n
// elements.
func (a *arenaChunks[M]) wants(n int) bool {
	return a.end == 0 && n > arenaMinChunk && (len(a.chunks) == 0 || a.chunks[0].size < n)
}

// reset gives back all that was taken since the mark.
func (a *arenaChunks[M]) reset(to Mark) {
	require(int(to) >= 0 && int(to) <= a.end, "lora: Reset: mark lies ahead of the arena's end")
	a.end = int(to)
	for a.active > 0 && (a.active >= len(a.chunks) || a.chunks[a.active].start > a.end) {
		a.active--
	}
}
