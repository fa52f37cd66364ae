package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	cacheBits = 16 // slots of the word cache, as a power of two
	cacheWord = 64 // longest cached word, in bytes
)

// wordCache remembers the ids of words. It is a table of atomic pointers with
// one slot for each hash: readers and writers never wait, memory is bounded,
// and a word that shares its slot with another merely takes its place. The hash
// is seeded for each process, so that no text can be made to collide.
type wordCache struct {
	seed  maphash.Seed
	slots [1 << cacheBits]atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word string
	ids  []int32
}

func newWordCache() *wordCache { return &wordCache{seed: maphash.MakeSeed()} }

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)>>(64-cacheBits)]
}

// store remembers the ids of a word. Both are copied: a cached word does not
// keep the text that it was cut from.
func (c *wordCache) store(slot *atomic.Pointer[cachedWord], word string, ids []int32) {
	slot.Store(&cachedWord{strings.Clone(word), append([]int32(nil), ids...)})
}
