package tokenizer

// merger is the working memory of one word's merges: a doubly linked list of
// symbols in arrays, and a queue of pairs ordered by rank, then position. Each
// merge removes one symbol and queues at most two pairs, so a word of n bytes
// takes O(n log n) at worst.
type merger struct {
	symbols []symbol
	queue   pairQueue
	ids     []int32
}

type symbol struct {
	id         int32
	prev, next int32  // positions, or -1
	rank       uint32 // of the pair with next; a queued pair with another rank is stale
}

// load fills the list with the symbols of the word's bytes and queues its pairs.
func (w *merger) load(m *bpe, word string) {
	w.symbols = w.symbols[:0]
	unknown := false // the last byte had no symbol
	for i := range len(word) {
		id := m.symbol[word[i]]
		if id == noSymbol {
			if m.unk == noSymbol || unknown && m.fuse {
				continue
			}
			id, unknown = m.unk, true
		} else {
			unknown = false
		}
		at := int32(len(w.symbols))
		w.symbols = append(w.symbols, symbol{id: id, prev: at - 1, next: at + 1})
	}
	if n := len(w.symbols); n > 0 {
		w.symbols[n-1].next = -1
	}
	w.queue = w.queue[:0]
	for i := range w.symbols {
		if r := w.rate(m, int32(i)); r != noRank {
			w.queue = append(w.queue, pairAt(r, int32(i)))
		}
	}
	w.queue.build()
}

// rate looks up the rank of the pair that starts at position i, and notes it.
func (w *merger) rate(m *bpe, i int32) uint32 {
	s := &w.symbols[i]
	s.rank = noRank
	if s.next >= 0 {
		s.rank = m.merges.rank(s.id, w.symbols[s.next].id)
	}
	return s.rank
}

// merge joins pairs until no merge applies.
func (w *merger) merge(m *bpe) {
	for len(w.queue) > 0 {
		rank, i := w.queue.pop()
		if w.symbols[i].rank != rank {
			continue
		}
		w.join(m, i, rank)
	}
}

// join replaces the pair at position i by the symbol of its merge and queues the
// two pairs that this makes.
func (w *merger) join(m *bpe, i int32, rank uint32) {
	left := &w.symbols[i]
	right := &w.symbols[left.next]
	left.id, left.next, right.rank = m.merged[rank], right.next, noRank
	if right.next >= 0 {
		w.symbols[right.next].prev = i
	}
	if r := w.rate(m, i); r != noRank {
		w.queue.push(pairAt(r, i))
	}
	if left.prev < 0 {
		return
	}
	if r := w.rate(m, left.prev); r != noRank {
		w.queue.push(pairAt(r, left.prev))
	}
}

// collect returns the ids that are left, in order.
func (w *merger) collect() []int32 {
	w.ids = w.ids[:0]
	if len(w.symbols) == 0 {
		return w.ids
	}
	for i := int32(0); i >= 0; i = w.symbols[i].next {
		w.ids = append(w.ids, w.symbols[i].id)
	}
	return w.ids
}

// pairQueue is a binary heap of pairs: rank in the upper half, position in the
// lower.
type pairQueue []uint64

func pairAt(rank uint32, position int32) uint64 { return uint64(rank)<<32 | uint64(uint32(position)) }

func (q pairQueue) build() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *pairQueue) push(p uint64) {
	*q = append(*q, p)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up] <= p {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = p
}

func (q *pairQueue) pop() (rank uint32, position int32) {
	h := *q
	p := h[0]
	last := len(h) - 1
	h[0] = h[last]
	*q = h[:last]
	if last > 1 {
		q.down(0)
	}
	return uint32(p >> 32), int32(uint32(p))
}

func (q pairQueue) down(i int) {
	p := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1] < q[child] {
			child++
		}
		if p <= q[child] {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = p
}
