package tensortest

import (
	"math"
	"testing"
)

// recorder takes down whether a test has failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestNear(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		why              string
		got, want, start []float32
		fails            bool
	}{
		{"the same", []float32{3, 4}, []float32{3, 4}, nil, false},
		{"0.4 apart at a norm of 5", []float32{3, 4.4}, []float32{3, 4}, nil, false},
		{"0.6 apart at a norm of 5", []float32{3, 4.6}, []float32{3, 4}, nil, true},
		{"0.4 apart where 1 was added", []float32{3, 4.4}, []float32{3, 4}, []float32{3, 3}, true},
		{"not a number", []float32{3, nan}, []float32{3, 4}, nil, true},
		{"an element is missing", []float32{3}, []float32{3, 4}, nil, true},
		{"nothing to compare", nil, nil, nil, true},
	} {
		r := &recorder{TB: t}
		if Near(r, c.why, c.got, c.want, c.start, 0.1); r.failed != c.fails {
			t.Errorf("%s: fails %t, want %t", c.why, r.failed, c.fails)
		}
	}
}
