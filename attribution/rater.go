package attribution

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Place is one utterance that may be labelled: the Nth (from 0) with this text
// that the agent has in the episode. Files number utterances in different ways;
// their texts are the same.
type Place struct {
	EpisodeID, Agent, Text string
	Nth                    int
}

// Rater is one annotator: a method of a file, or the people who labelled its
// utterances.
type Rater struct {
	Name      string            // "direct/goal/3", "person 1 of goal"
	Dimension episode.Dimension // what the labels are about
	Person    bool
	Labels    map[Place]float64 // whole numbers from 0 to the highest
}

// RaterCounts says what [Raters] read.
type RaterCounts struct {
	Lines   int // attributions
	Labels  int // labels of all raters
	Masked  int // utterances that could not be judged
	Without int // utterances of the agent without an attribution
}

// RaterOptions says how [Raters] makes labels of attributions.
type RaterOptions struct {
	Prefix string // of every rater's name
	Top    int    // highest label; 0 is 3
	People int    // highest label that people gave; 0 is 3, as in the published annotations
}

// Raters reads annotators from attributions. Every method in them is one, and so
// are the people whose labels stand beside the utterances: an utterance's labels
// are those of person 1, 2, ... in the order of their times.
//
// Methods rate on different scales, so attributions a are brought to one:
//
//	label = round(a / scale * Top)
//
// rounded half up; those of a method without a scale count as they are. Masked
// utterances and those without an attribution have no label, and are counted. Of
// two labels of one rater for one place the later counts. A label outside its
// scale is an error, and an error of the sequence ends the reading.
func Raters(as iter.Seq2[*Attribution, error], o RaterOptions) ([]Rater, RaterCounts, error) {
	o.Top, o.People = orThree(o.Top), orThree(o.People)
	if o.Top < 0 || o.People < 0 {
		return nil, RaterCounts{}, errors.New("attribution: Raters: Top and People must be positive")
	}
	b := raterBuilder{RaterOptions: o, raters: map[string]*Rater{}}
	for a, err := range as {
		if err == nil {
			err = b.add(a)
		}
		if err != nil {
			return nil, b.counts, err
		}
	}
	raters := make([]Rater, 0, len(b.names))
	for _, name := range b.names {
		raters = append(raters, *b.raters[name])
		b.counts.Labels += len(b.raters[name].Labels)
	}
	slices.SortStableFunc(raters, func(x, y Rater) int { return cmp.Compare(indicator(x.Person), indicator(y.Person)) })
	return raters, b.counts, nil
}

// raterBuilder collects labels.
type raterBuilder struct {
	RaterOptions
	counts RaterCounts
	raters map[string]*Rater
	names  []string // in the order in which they came
}

func (b *raterBuilder) add(a *Attribution) error {
	b.counts.Lines++
	seen := map[string]int{}
	for _, c := range a.Own() {
		text := strings.Join(strings.Fields(c.Text), " ")
		at := Place{a.EpisodeID, a.Agent, text, seen[text]}
		seen[text]++
		if err := b.credit(a.Method, at, c); err != nil {
			return fmt.Errorf("attribution: %s: utterance %d: %w", a.Key, c.Index, err)
		}
	}
	return nil
}

// credit takes the labels of one utterance.
func (b *raterBuilder) credit(m Method, at Place, c Credit) error {
	for k, when := range slices.Sorted(maps.Keys(c.Human)) {
		name := fmt.Sprintf("person %d of %s", k+1, m.Dimension)
		if err := b.label(name, true, m.Dimension, at, c.Human[when], b.People); err != nil {
			return err
		}
	}
	switch c.State {
	case Scored:
		name := m.String()
		if m.Name == "" {
			name = "unnamed" + name
		}
		return b.label(name, false, m.Dimension, at, c.Attribution, m.Scale)
	case MaskedOut:
		b.counts.Masked++
	default:
		b.counts.Without++
	}
	return nil
}

// label notes one label, given on a scale from 0 to the given highest; 0 is the
// scale of labels.
func (b *raterBuilder) label(name string, person bool, d episode.Dimension, at Place, v float64, scale int) error {
	if scale == 0 {
		scale = b.Top
	}
	if !(v >= 0 && v <= float64(scale)) {
		return fmt.Errorf("%s labels it %v, outside 0..%d", name, v, scale)
	}
	name = b.Prefix + name
	r := b.raters[name]
	if r == nil {
		r = &Rater{Name: name, Dimension: d, Person: person, Labels: map[Place]float64{}}
		b.raters[name] = r
		b.names = append(b.names, name)
	}
	r.Labels[at] = math.Floor(v*float64(b.Top)/float64(scale) + 0.5)
	return nil
}

// Shared returns the labels that all raters gave to the same places: labels[r][i]
// is that of rater r for the i-th of these, which are in order of episode, agent
// and text.
func Shared(raters ...Rater) (labels [][]float64) {
	labels = make([][]float64, len(raters))
	if len(raters) == 0 {
		return labels
	}
	places := slices.SortedFunc(maps.Keys(raters[0].Labels), func(x, y Place) int {
		return cmp.Or(cmp.Compare(x.EpisodeID, y.EpisodeID), cmp.Compare(x.Agent, y.Agent), cmp.Compare(x.Text, y.Text), cmp.Compare(x.Nth, y.Nth))
	})
	for _, at := range places {
		if slices.ContainsFunc(raters, func(r Rater) bool { _, ok := r.Labels[at]; return !ok }) {
			continue
		}
		for r := range raters {
			labels[r] = append(labels[r], raters[r].Labels[at])
		}
	}
	return labels
}
