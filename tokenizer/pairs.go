package tokenizer

import "math/bits"

// noRank marks a pair that no merge joins. Ranks are indices into the list of
// merges, so they are always smaller.
const noRank = ^uint32(0)

// pairTable maps a pair of symbols to the rank of its merge: a hash table with
// open addressing, some three times as fast as a Go map on the merge loop's
// lookups, most of which miss.
type pairTable struct {
	slots []pairSlot
	shift uint
}

type pairSlot struct {
	key  uint64 // pair + 1; 0 is free
	rank uint32
}

func newPairTable(n int) pairTable {
	size := bits.Len(uint(2*n + 1))
	return pairTable{slots: make([]pairSlot, 1<<size), shift: uint(64 - size)}
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) + 1 }

// slot returns the slot that holds key, or the free one where it belongs.
func (t *pairTable) slot(key uint64) *pairSlot {
	mask := uint64(len(t.slots) - 1)
	for i := key * 0x9E3779B97F4A7C15 >> t.shift; ; i++ {
		if s := &t.slots[i&mask]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// set gives a pair its rank; the last rank of a pair counts.
func (t *pairTable) set(left, right int32, rank uint32) {
	key := pairKey(left, right)
	*t.slot(key) = pairSlot{key, rank}
}

// rank returns the rank of a pair's merge, or noRank.
func (t *pairTable) rank(left, right int32) uint32 {
	key := pairKey(left, right)
	if s := t.slot(key); s.key == key {
		return s.rank
	}
	return noRank
}
