package episode

import "testing"

// LimitLines sets the length above which lines are refused, for one test.
func LimitLines(t *testing.T, n int) {
	old := lineLimit
	lineLimit = n
	t.Cleanup(func() { lineLimit = old })
}

// ReplySeed is the seed of one reply of an [LLMAgent].
var ReplySeed = replySeed
