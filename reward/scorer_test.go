package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

var length = Each(func(s Sample) float64 { return float64(len(s.Text)) })

func samplesOf(texts ...string) []Sample {
	out := make([]Sample, len(texts))
	for i, t := range texts {
		out[i].Text = t
	}
	return out
}

func TestNames(t *testing.T) {
	names, err := Names([]Weighted{{length, 1, ""}, {length, 2, "judge"}})
	if err != nil || fmt.Sprint(names) != "[reward0 judge]" {
		t.Errorf("names %v, %v", names, err)
	}
	for want, bad := range map[string][]Weighted{
		"scorer reward0 is nil":             {{}},
		"two scorers are called a":          {{length, 1, "a"}, {length, 1, "a"}},
		"the weight of scorer reward0 is N": {{length, math.NaN(), ""}},
	} {
		if _, err := Names(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestScoresChecksTheScorer(t *testing.T) {
	boom := errors.New("boom")
	for want, s := range map[string]ScorerFunc{
		"scorer x: boom":                  func(context.Context, []Sample) ([]float64, error) { return nil, boom },
		"scorer x gave 1 rewards for 2":   func(context.Context, []Sample) ([]float64, error) { return []float64{1}, nil },
		"scorer x gave +Inf for sample 1": func(context.Context, []Sample) ([]float64, error) { return []float64{1, math.Inf(1)}, nil },
	} {
		_, err := Scores(context.Background(), "x", s, samplesOf("a", "b"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestEachStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := length.Score(ctx, samplesOf("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSum(t *testing.T) {
	s, err := Sum(Weighted{Scorer: length, Weight: 2}, Weighted{Scorer: Each(func(s Sample) float64 { return 10 }), Weight: -1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Score(context.Background(), samplesOf("abc", ""))
	if err != nil || fmt.Sprint(got) != "[-4 -10]" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestBestOfN(t *testing.T) {
	draw := func(texts ...string) (Best, error) {
		sampler := SamplerFunc(func(_ context.Context, p episode.Item, n int) ([]Sample, error) {
			if p.Input != "hello" || n != len(texts) {
				t.Errorf("sampler was asked for %d replies to %q", n, p.Input)
			}
			return samplesOf(texts...), nil
		})
		scorer := Each(func(s Sample) float64 {
			if s.Text == "?" {
				return math.NaN()
			}
			return float64(len(s.Text))
		})
		return NewBestOfN(scorer, sampler, len(texts)).Draw(context.Background(), episode.Item{Input: "hello"})
	}
	for _, c := range []struct {
		why   string
		texts []string
		want  int
	}{
		{"the highest reward wins", []string{"a", "abc", "ab"}, 1},
		{"the first of equals wins", []string{"a", "bb", "cc"}, 1},
		{"what cannot be scored does not win", []string{"?", ""}, 1},
	} {
		best, err := draw(c.texts...)
		if err != nil || best.Index != c.want || best.Text != c.texts[c.want] || len(best.Rewards) != len(c.texts) {
			t.Errorf("%s: %+v, %v", c.why, best, err)
		}
	}
	if _, err := draw("?", "?"); !errors.Is(err, ErrNoScore) {
		t.Errorf("error %v, want ErrNoScore", err)
	}
}

func TestEvaluate(t *testing.T) {
	e := Evaluate([]float64{1, 2, 3, 10}, []float64{1, 2, 4, 5})
	// Order agrees in full; the correlation of (1,2,3,10) and (1,2,4,5) is 19/sqrt(50·10).
	if e.N != 4 || e.MSE != 6.5 || e.Spearman < 1-1e-12 || math.Abs(e.Pearson-19/math.Sqrt(50*10)) > 1e-12 {
		t.Errorf("%+v", e)
	}
	if flat := Evaluate([]float64{1, 1}, []float64{1, 2}); !math.IsNaN(flat.Pearson) || !math.IsNaN(flat.Spearman) {
		t.Errorf("constant predictions have no correlation: %+v", flat)
	}
}
