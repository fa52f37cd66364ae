// Package oneline joins errors into one whose text is a single line: what a
// program prints as its last word.
package oneline

import "strings"

// Join returns an error that wraps the errors that are not nil and whose text is
// theirs, parted by "; ". It returns nil where there is none. [errors.Is] and
// [errors.As] look at each.
func Join(errs ...error) error {
	var list joined
	for _, err := range errs {
		if err != nil {
			list = append(list, err)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors.
func (j joined) Unwrap() []error { return j }
