package lora

import (
	"math"
	"testing"
)

// Codes are found by a table of guesses: they are the nearest ones for numbers all
// over the range and around every middle between two codes.
func TestNF4CodeIsTheNearest(t *testing.T) {
	check := func(x float32) {
		if got, want := nf4Code(x), nearest(nf4Map[:], x); int(got) != want {
			t.Fatalf("%v has code %d, want %d", x, got, want)
		}
	}
	for i := range 40001 {
		check(float32(i-20000) / 20000)
	}
	around := func(x float32) {
		for range 4 {
			x = math.Nextafter32(x, -1)
		}
		for range 9 {
			check(x)
			x = min(math.Nextafter32(x, 1), 1)
		}
	}
	for i := range 15 {
		around((nf4Map[i] + nf4Map[i+1]) / 2)
		around(nf4Map[i])
	}
	for i := range nf4Buckets {
		around(float32(i)*2/nf4Buckets - 1)
	}
}
