package reward

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/bootstrap"
)

// ratio is a mean in the making: a sum and what it is divided by.
type ratio struct{ sum, n float64 }

func (r ratio) mean() float64 { return r.sum / r.n }

// sums holds one ratio for each measure: the dimensions, then turns, utterances, words
// and tokens.
type sums []ratio

const beyondScores = 4

func (s sums) add(t sums) {
	for i, r := range t {
		s[i].sum += r.sum
		s[i].n += r.n
	}
}

// sampler computes figures.
type sampler struct {
	dimensions []episode.Dimension
	tokens     bool
	resamples  int
	seed       uint64
}

func (s sampler) zero() sums { return make(sums, len(s.dimensions)+beyondScores) }

// of returns the measures of one appearance.
func (s sampler) of(p play) sums {
	out := s.zero()
	for i, d := range s.dimensions {
		if v, ok := p.scores[d]; ok {
			out[i] = ratio{v, 1}
		}
	}
	said := float64(p.utterances)
	copy(out[len(s.dimensions):], sums{{float64(p.turns), 1}, {said, 1}, {float64(p.words), said}})
	if p.counted {
		out[len(out)-1] = ratio{float64(p.tokens), said}
	}
	return out
}

// model reports on one model.
func (s sampler) model(name string, plays []play) ModelReport {
	in := func(seat int) []play {
		return slices.DeleteFunc(slices.Clone(plays), func(p play) bool { return p.seat != seat })
	}
	return ModelReport{Model: name, All: s.seat(plays), First: s.seat(in(0)), Second: s.seat(in(1))}
}

// seat reports on some appearances of a model.
func (s sampler) seat(plays []play) SeatReport {
	var judged []appearance
	units := map[string]sums{}
	settings := map[string]bool{}
	var replies episode.ReplyStats
	for _, p := range plays {
		s.collect(units, p.environment, s.of(p))
		replies.Add(p.replies)
		if p.judged() {
			judged = append(judged, p.appearance)
			settings[p.setting()] = true
		}
	}
	out := SeatReport{Count: len(judged), Failed: len(plays) - len(judged), Settings: len(settings), Measures: s.measures(units)}
	if replies != (episode.ReplyStats{}) {
		out.Replies = &replies
	}
	for d, f := range out.Scores {
		f.Margin = margin(judged, d, f.N)
		out.Scores[d] = f
	}
	return out
}

// collect adds to the sums of a unit.
func (s sampler) collect(units map[string]sums, unit string, values sums) {
	if units[unit] == nil {
		units[unit] = s.zero()
	}
	units[unit].add(values)
}

// difference compares two models on the scenes that both were in.
func (s sampler) difference(a, b []play) Difference {
	inA, inB := s.byScene(a), s.byScene(b)
	units := map[string]sums{}
	out := Difference{}
	for _, scene := range slices.Sorted(maps.Keys(inA)) {
		other, ok := inB[scene]
		if !ok {
			continue
		}
		out.Scenes++
		s.collect(units, inA[scene].environment, minus(inA[scene].sums, other.sums))
	}
	out.Measures = s.measures(units)
	return out
}

// sceneSums are the sums of one model in one scene.
type sceneSums struct {
	environment string
	sums        sums
}

func (s sampler) byScene(plays []play) map[string]sceneSums {
	out := map[string]sceneSums{}
	for _, p := range plays {
		if _, ok := out[p.scene]; !ok {
			out[p.scene] = sceneSums{p.environment, s.zero()}
		}
		out[p.scene].sums.add(s.of(p))
	}
	return out
}

// minus returns the differences of means, each of one scene, where both sides have one.
func minus(a, b sums) sums {
	out := make(sums, len(a))
	for i := range a {
		if a[i].n > 0 && b[i].n > 0 {
			out[i] = ratio{a[i].mean() - b[i].mean(), 1}
		}
	}
	return out
}

// measures computes means over units and, by drawing units, their intervals.
func (s sampler) measures(units map[string]sums) Measures {
	var list []sums
	total := s.zero()
	for _, name := range slices.Sorted(maps.Keys(units)) {
		list = append(list, units[name])
		total.add(units[name])
	}
	intervals := s.intervals(list)
	figure := func(i int) Figure {
		if total[i].n == 0 {
			return Figure{}
		}
		return Figure{N: int(total[i].n), Mean: total[i].mean(), Low: intervals[i].Low, High: intervals[i].High}
	}
	m := Measures{Scores: map[episode.Dimension]Figure{}}
	for i, d := range s.dimensions {
		if f := figure(i); f.N > 0 {
			m.Scores[d] = f
		}
	}
	n := len(s.dimensions)
	m.Turns, m.Utterances, m.Words = figure(n), figure(n+1), figure(n+2)
	if s.tokens {
		m.Tokens = new(figure(n + 3))
	}
	return m
}

// intervals draws units.
func (s sampler) intervals(units []sums) []bootstrap.Interval {
	total := s.zero()
	means := make([]float64, len(total))
	r := rand.New(rand.NewPCG(s.seed, uint64(len(units))))
	return bootstrap.Percentile(units, s.resamples, r, func(drawn []sums) []float64 {
		clear(total)
		for _, u := range drawn {
			total.add(u)
		}
		for i, t := range total {
			if means[i] = math.NaN(); t.n > 0 {
				means[i] = t.mean()
			}
		}
		return means
	})
}
