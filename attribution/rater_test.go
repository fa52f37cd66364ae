package attribution

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// labelled is a line with the agent's attributions.
func labelled(episode, method string, scale int, labels ...float64) *Attribution {
	a := &Attribution{Key: Key{episode, "A", Method{method, "goal", scale}}}
	for i, v := range labels {
		c := Credit{Index: i, Speaker: "A", Text: fmt.Sprintf("said: \"%d\"", i), State: Scored, Attribution: v}
		if v == Masked {
			c.State = MaskedOut
		}
		a.Credits = append(a.Credits, c)
	}
	return a
}

func lines(as ...*Attribution) func(func(*Attribution, error) bool) {
	return func(yield func(*Attribution, error) bool) {
		for _, a := range as {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func TestRatersBringLabelsToOneScale(t *testing.T) {
	for _, c := range []struct {
		why         string
		scale       int
		from, label []float64
	}{
		{"three points stay", 3, []float64{0, 1, 2, 3}, []float64{0, 1, 2, 3}},
		{"five points", 5, []float64{0, 1, 2, 3, 4, 5}, []float64{0, 1, 1, 2, 2, 3}},
		{"ten points; a half goes up", 10, []float64{0, 1, 2, 5, 7, 8, 9, 10}, []float64{0, 0, 1, 2, 2, 2, 3, 3}},
		{"a key utterance is a 3", 1, []float64{0, 1}, []float64{0, 3}},
		{"evidence is rounded", 3, []float64{0.2, 1.5, 2.6}, []float64{0, 2, 3}},
		{"a scale nobody told is taken for that of the labels", 0, []float64{0, 3}, []float64{0, 3}},
	} {
		raters, counts, err := Raters(lines(labelled("E", "m", c.scale, c.from...)), RaterOptions{})
		if err != nil || len(raters) != 1 || counts.Labels != len(c.from) {
			t.Errorf("%s: %d raters, %+v, %v", c.why, len(raters), counts, err)
			continue
		}
		if d := cmp.Diff([][]float64{c.label}, Shared(raters[0])); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, d)
		}
	}
}

func TestRatersSharePlaces(t *testing.T) {
	first, second := labelled("E", "m", 3, 1, Masked, 3), labelled("E", "n", 3, 0, 1, 2)
	second.Credits[2].Index = 9 // files number utterances in different ways
	other := labelled("F", "m", 3, 2)
	first.Credits[0].Human = map[string]float64{"2025": 2, "2024": 1}
	raters, counts, err := Raters(lines(first, second, other), RaterOptions{Prefix: "f: "})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range raters {
		names = append(names, fmt.Sprintf("%s %v", r.Name, len(r.Labels)))
	}
	want := []string{"f: m/goal/3 3", "f: n/goal/3 3", "f: person 1 of goal 1", "f: person 2 of goal 1"}
	if d := cmp.Diff(want, names); d != "" || counts != (RaterCounts{Lines: 3, Labels: 8, Masked: 1}) {
		t.Errorf("counts %+v, raters (-want +got):\n%s", counts, d)
	}
	if d := cmp.Diff([][]float64{{1, 3}, {0, 2}}, Shared(raters[0], raters[1])); d != "" {
		t.Errorf("shared labels (-want +got):\n%s", d)
	}
	if d := cmp.Diff([][]float64{{1}, {2}}, Shared(raters[2], raters[3])); d != "" {
		t.Errorf("people in the order of time (-want +got):\n%s", d)
	}
}

// The same words twice are two places.
func TestRatersTellRepeatedWordsApart(t *testing.T) {
	a := labelled("E", "m", 3, 1, 2)
	a.Credits[1].Text = " " + strings.ReplaceAll(a.Credits[0].Text, ": ", ":  ")
	raters, _, err := Raters(lines(a), RaterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]float64{{1, 2}}, Shared(raters[0])); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
}

func TestRatersErrors(t *testing.T) {
	bad := errors.New("line 3: broken")
	broken := func(yield func(*Attribution, error) bool) { yield(nil, bad) }
	if _, _, err := Raters(broken, RaterOptions{}); !errors.Is(err, bad) {
		t.Errorf("got %v, want the error of the sequence", err)
	}
	if _, _, err := Raters(lines(labelled("E", "m", 3, 4)), RaterOptions{}); err == nil || !strings.Contains(err.Error(), "m/goal/3 labels it 4, outside 0..3") {
		t.Errorf("a label beyond its scale: %v", err)
	}
}
