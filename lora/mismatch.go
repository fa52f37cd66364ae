package lora

import (
	"fmt"
	"strings"
)

// Mismatch is the error for a set of tensors that is not the set asked for.
type Mismatch struct {
	What      string   // where the tensors came from
	Missing   []string // asked for, not there
	Unknown   []string // there, not asked for
	Misshaped []string // there in another shape: "name: got, want"
}

// MismatchError returns a [Mismatch] that lists all that does not fit, or nil where
// everything does.
func MismatchError(what string, missing, unknown, misshaped []string) error {
	if len(missing)+len(unknown)+len(misshaped) == 0 {
		return nil
	}
	return &Mismatch{what, missing, unknown, misshaped}
}

// Error lists at most eight names of each sort, with the total.
func (m *Mismatch) Error() string {
	var b strings.Builder
	b.WriteString(m.What)
	sep := ": "
	for _, part := range []struct {
		label string
		names []string
	}{{"missing", m.Missing}, {"unknown", m.Unknown}, {"of another shape", m.Misshaped}} {
		if len(part.names) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s%d %s: %s", sep, len(part.names), part.label, strings.Join(part.names[:min(8, len(part.names))], ", "))
		if len(part.names) > 8 {
			b.WriteString(", ...")
		}
		sep = "; "
	}
	return b.String()
}
