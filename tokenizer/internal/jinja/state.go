package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Limits of one rendering. They lie far above what chat templates need.
const (
	maxSteps  = 200_000 // blocks executed, entries looked up or iterated over, textStep bytes of text made
	textStep  = 1024
	callSteps = 20       // of a macro call
	perEntry  = 500      // further steps for each entry of the lists that the template is given
	maxText   = 16 << 20 // bytes of any text, and of the output
	maxItems  = 100_000  // entries of any list
	maxDepth  = 100      // nesting of macro calls, and of values
	maxTime   = 10 * time.Second
)

// state is what one rendering has used up, and its output.
type state struct {
	out      strings.Builder
	now      time.Time
	steps    int // left
	depth    int
	deadline time.Time
	failed   error // the first error that must end the rendering
}

// stateName is the variable that holds the state. Templates cannot name it: a name
// has no space.
const stateName = "rendering state"

func newState(vars map[string]any, now time.Time) *state {
	s := &state{now: now, steps: maxSteps, deadline: time.Now().Add(maxTime)}
	for _, v := range vars {
		if list, ok := v.(List); ok {
			s.steps += perEntry * len(list)
		}
	}
	return s
}

// stateOf finds the state of the rendering that a context belongs to.
func stateOf(c *exec.Context) *state {
	v, _ := c.Get(stateName)
	return v.(*state)
}

// fail ends the rendering with an error; gonja drops errors in some places.
func (s *state) fail(err error) error {
	if s.failed == nil {
		s.failed = err
	}
	return s.failed
}

// spend counts n steps.
func (s *state) spend(n int) error {
	if s.failed != nil {
		return s.failed
	}
	if n < 0 || n > s.steps {
		return s.fail(errors.New("template takes too many steps"))
	}
	s.steps -= n
	if time.Now().After(s.deadline) {
		return s.fail(fmt.Errorf("template takes more than %v", maxTime))
	}
	return nil
}

// weigh checks that a value is not too large and counts the work of making it.
func (s *state) weigh(v *exec.Value) error {
	switch {
	case v.IsString():
		return s.text(len(v.String()))
	case v.IsList():
		return s.items(v.Val.Len())
	}
	return s.spend(1)
}

// text counts the making of a text of n bytes.
func (s *state) text(n int) error {
	if n > maxText || n < 0 {
		return s.fail(fmt.Errorf("template makes a text of more than %d bytes", maxText))
	}
	return s.spend(1 + n/textStep)
}

// items counts the making of a list of n entries.
func (s *state) items(n int) error {
	if n > maxItems || n < 0 {
		return s.fail(fmt.Errorf("template makes a list of more than %d entries", maxItems))
	}
	return s.spend(1 + n)
}

// enter counts a macro call, until leave.
func (s *state) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.fail(fmt.Errorf("template nests macro calls more than %d deep", maxDepth))
	}
	return s.spend(callSteps)
}

func (s *state) leave() { s.depth-- }

// Write takes the output.
func (s *state) Write(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	if s.out.Len()+len(p) > maxText {
		return 0, s.fail(fmt.Errorf("template writes more than %d bytes", maxText))
	}
	return s.out.Write(p)
}

// raise is raise_exception.
func (s *state) raise(args *exec.VarArgs) *exec.Value {
	return exec.AsValue(s.fail(&Raised{Message: args.First().String()}))
}

// strftime is strftime_now.
func (s *state) strftime(args *exec.VarArgs) *exec.Value {
	format := args.First()
	if !format.IsString() {
		return exec.AsValue(errors.New("strftime_now needs a format"))
	}
	text, err := strftime(format.String(), s.now)
	if err != nil {
		return exec.AsValue(s.fail(err))
	}
	return exec.AsValue(text)
}
