package reward

import (
	"errors"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/socialrl/socialrl/episode"
)

// Summary holds the statistics of one model over the episodes it played in.
type Summary struct {
	Count    int                            // appearances that were judged; self-play counts twice
	Failed   int                            // appearances that were not
	Settings int                            // different (environment, seat)
	Turns    float64                        // mean number of turns of the judged episodes, the last observation included
	All      map[episode.Dimension]Estimate // every dimension that has a score, overall_score included
	Seats    [2]SeatSummary                 // first and second speaker
}

// SeatSummary holds the means of one model in one seat.
type SeatSummary struct {
	Count int
	Means map[episode.Dimension]float64
}

// Estimate is a mean with the half-width of its 95% interval.
type Estimate struct{ Mean, Margin float64 }

// appearance is one agent of one judged episode.
type appearance struct {
	environment string
	seat, turns int
	scores      map[episode.Dimension]float64
}

// Summarize returns, by the name of the model, the statistics of judged episodes: the
// mean of every dimension and of overall, over all appearances and by seat, with the
// margin of the sotopia benchmark for n appearances:
//
//	margin = t(0.975, n−1) · sqrt(v / n)
//
// where v is the mean over settings (environment, seat) of the sample variance within
// the setting, 0 for a setting with one appearance. Appearances without scores are
// counted as failed. An episode that does not name its models is an error.
func Summarize(episodes []*episode.Episode) (map[string]*Summary, error) {
	found := map[string][]appearance{}
	out := map[string]*Summary{}
	for _, e := range episodes {
		if len(e.Models) != 3 || len(e.Agents()) != 2 {
			return nil, errors.New("reward: episode " + e.ID + " does not name a judge and two models, or two agents")
		}
		for seat, agent := range e.Agents() {
			model := e.Models[1+seat]
			if out[model] == nil {
				out[model] = &Summary{}
			}
			r, err := e.Reward(agent)
			if err != nil && !errors.Is(err, episode.ErrNotJudged) {
				return nil, err
			}
			if len(r.Scores) == 0 {
				out[model].Failed++
				continue
			}
			found[model] = append(found[model], newAppearance(e, seat, r))
		}
	}
	for model, s := range out {
		s.fill(found[model])
	}
	return out, nil
}

func newAppearance(e *episode.Episode, seat int, r episode.Reward) appearance {
	a := appearance{environment: e.EnvironmentID, seat: seat, turns: len(e.RawMessages), scores: map[episode.Dimension]float64{}}
	for _, s := range r.Scores {
		a.scores[s.Dimension] = s.Score
	}
	return a
}

func (s *Summary) fill(list []appearance) {
	s.Count, s.All = len(list), map[episode.Dimension]Estimate{}
	settings := map[string]bool{}
	turns := 0
	for _, a := range list {
		settings[a.setting()] = true
		turns += a.turns
	}
	s.Settings = len(settings)
	if s.Count > 0 {
		s.Turns = float64(turns) / float64(s.Count)
	}
	for _, d := range scoredDimensions(list) {
		if values := valuesOf(list, d); len(values) > 0 {
			s.All[d] = Estimate{stat.Mean(values, nil), margin(list, d, len(values))}
		}
	}
	for seat := range s.Seats {
		s.Seats[seat] = seatSummary(list, seat)
	}
}

func (a appearance) setting() string { return a.environment + string(rune('0'+a.seat)) }

func seatSummary(list []appearance, seat int) SeatSummary {
	var mine []appearance
	for _, a := range list {
		if a.seat == seat {
			mine = append(mine, a)
		}
	}
	out := SeatSummary{Count: len(mine), Means: map[episode.Dimension]float64{}}
	for _, d := range scoredDimensions(mine) {
		if values := valuesOf(mine, d); len(values) > 0 {
			out.Means[d] = stat.Mean(values, nil)
		}
	}
	return out
}

// scoredDimensions returns the dimensions that have a score: the seven in their order,
// then custom ones by name, overall last.
func scoredDimensions(list []appearance) []episode.Dimension {
	scored := map[episode.Dimension]bool{}
	for _, a := range list {
		for d := range a.scores {
			scored[d] = true
		}
	}
	var out []episode.Dimension
	for _, d := range episode.Dimensions() {
		if scored[d] {
			out = append(out, d)
		}
	}
	overall := scored[episode.Overall]
	maps.DeleteFunc(scored, func(d episode.Dimension, _ bool) bool { return d == episode.Overall || slices.Contains(out, d) })
	out = append(out, slices.Sorted(maps.Keys(scored))...)
	if overall {
		out = append(out, episode.Overall)
	}
	return out
}

func valuesOf(list []appearance, d episode.Dimension) []float64 {
	var out []float64
	for _, a := range list {
		if v, ok := a.scores[d]; ok {
			out = append(out, v)
		}
	}
	return out
}

// margin is the half-width of the interval around the mean of n scores.
func margin(list []appearance, d episode.Dimension, n int) float64 {
	if n < 2 {
		return 0
	}
	settings := map[string][]float64{}
	for _, a := range list {
		if v, ok := a.scores[d]; ok {
			settings[a.setting()] = append(settings[a.setting()], v)
		}
	}
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if values := settings[name]; len(values) > 1 {
			sum += stat.Variance(values, nil)
		}
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile(0.975)
	return t * math.Sqrt(sum/float64(len(settings))/float64(n))
}
