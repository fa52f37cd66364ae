package tokenizer

import "sync"

// bpe is byte-pair encoding over bytes: a word starts as one symbol for each
// byte, and the pair whose merge has the lowest rank is joined, the leftmost
// first, until no merge applies (Sennrich et al., 2016).
type bpe struct {
	symbol [256]int32 // of each byte, or noSymbol
	unk    int32      // for bytes without a symbol, or noSymbol: they are dropped
	fuse   bool       // a run of such bytes is one unk
	merges pairTable
	merged []int32          // by rank: the symbol that a merge makes
	whole  map[string]int32 // with ignore_merges: words that are found whole
	cache  *wordCache
	pool   sync.Pool // of *merger
}

const noSymbol = int32(-1)

// appendIDs appends the ids of one word.
func (m *bpe) appendIDs(dst []int, word string) []int {
	if len(word) > cacheWord {
		return m.appendMerged(dst, word)
	}
	slot := m.cache.slot(word)
	if e := slot.Load(); e != nil && e.word == word {
		for _, id := range e.ids {
			dst = append(dst, int(id))
		}
		return dst
	}
	w := m.merger()
	ids := m.encode(w, word)
	m.cache.store(slot, word, ids)
	dst = appendInts(dst, ids)
	m.pool.Put(w)
	return dst
}

func (m *bpe) appendMerged(dst []int, word string) []int {
	w := m.merger()
	dst = appendInts(dst, m.encode(w, word))
	if cap(w.symbols) <= 1<<16 {
		m.pool.Put(w)
	}
	return dst
}

func (m *bpe) merger() *merger {
	if w, ok := m.pool.Get().(*merger); ok {
		return w
	}
	return new(merger)
}

// encode returns the ids of a word; they are valid until w is used again.
func (m *bpe) encode(w *merger, word string) []int32 {
	if id, ok := m.whole[word]; ok {
		w.ids = append(w.ids[:0], id)
		return w.ids
	}
	w.load(m, word)
	w.merge(m)
	return w.collect()
}

func appendInts(dst []int, ids []int32) []int {
	for _, id := range ids {
		dst = append(dst, int(id))
	}
	return dst
}
