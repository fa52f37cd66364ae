package world

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
)

// The purposes for which random numbers are drawn. Streams of different
// purposes, or of different keys, are independent.
const (
	purposeSplit uint64 = iota + 1
	purposeCase
	purposeSkill
	purposeMove
)

// source returns the stream of random numbers of a seed, a purpose and keys.
func source(seed uint64, keys ...uint64) *rand.Rand {
	h := fnv.New64a()
	for _, k := range keys {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], k)
		h.Write(b[:])
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// hash maps a name to a key of [source].
func hash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
