package jobs

import "iter"

// Ahead returns the values of a sequence, and calls enter with each of them when it is
// at most n places ahead of the one that is asked for. What enter does for a value, such
// as submitting its jobs, is so under way before its turn comes. Errors of the sequence
// pass in their place; an error of enter ends the sequence, before the value is reached.
func Ahead[T any](seq iter.Seq2[T, error], n int, enter func(T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		type entry struct {
			value T
			err   error
		}
		var waiting []entry
		release := func(most int) bool {
			for len(waiting) > most {
				e := waiting[0]
				waiting = waiting[1:]
				if !yield(e.value, e.err) {
					return false
				}
			}
			return true
		}
		for value, err := range seq {
			if err == nil {
				if err := enter(value); err != nil {
					yield(value, err)
					return
				}
			}
			waiting = append(waiting, entry{value, err})
			if !release(n) {
				return
			}
		}
		release(0)
	}
}
