package episode

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// digestOf is a digest of texts, different for different lists of them.
func digestOf(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// hash64 maps texts to a number, from which random numbers are seeded.
func hash64(parts ...string) uint64 {
	d := digestOf(parts...)
	return binary.LittleEndian.Uint64(d[:])
}

// stableID returns an id of the form of [NewID] that depends on the texts alone.
// Such ids do not sort by time.
func stableID(parts ...string) string {
	d := digestOf(parts...)
	var id [26]byte
	for i := range id {
		id[i] = crockford[d[i]&31]
	}
	id[0] = crockford[d[0]&7] // 128 bits begin with a digit below 8
	return string(id[:])
}
