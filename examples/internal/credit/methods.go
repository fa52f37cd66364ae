// Package credit makes ways of attribution from flags, for the program that annotates
// and for the workers that annotate for it on other machines.
package credit

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// Methods are ways of attribution, as flags describe them. As JSON they travel to
// workers.
type Methods struct {
	Names       string  `json:"method"`     // comma-separated
	Dimensions  string  `json:"dimensions"` // comma-separated
	Scale       int     `json:"scale"`
	Normalized  bool    `json:"normalized"`
	Gamma       float64 `json:"gamma"`
	Tries       int     `json:"tries"` // 0 is each method's default
	Temperature float64 `json:"temperature"`

	Shapley attribution.ShapleyOptions `json:"shapley"`
}

// Define defines -method, -dimensions, -scale, -normalized, -gamma, -tries,
// -temperature, -shapley-exact, -shapley-pairs and -shapley-seed.
func (m *Methods) Define(fs *flag.FlagSet) {
	fs.StringVar(&m.Names, "method", "direct", "comma-separated `methods`: "+strings.Join(attribution.Names(), ", ")+
		" (discounting, all_the_same and evidence ask no model)")
	fs.StringVar(&m.Dimensions, "dimensions", "goal", "comma-separated `dimensions` whose scores are shared out, such as goal,relationship,knowledge")
	fs.IntVar(&m.Scale, "scale", 3, "highest attribution of direct and evidence: 3, 5 or 10")
	fs.BoolVar(&m.Normalized, "normalized", false, "share each score out over the utterances instead of scaling it: chooses the _normalized form of direct, utterance_quality and evidence")
	fs.Float64Var(&m.Gamma, "gamma", attribution.DefaultGamma, "discount of discounting, above 0 and at most 1")
	fs.IntVar(&m.Tries, "tries", 0, fmt.Sprintf("replies to look at for an answer before the attribution fails; 0 is %d, and %d where each utterance is asked about by itself",
		attribution.DefaultTries, attribution.DefaultUtteranceTries))
	fs.Float64Var(&m.Temperature, "temperature", 0, "temperature of the model; -1 leaves it to the model, as reasoning models demand")
	fs.IntVar(&m.Shapley.Exact, "shapley-exact", attribution.DefaultExactPlayers, "up to this many utterances shapley asks about all 2^n dialogues; beyond it samples; at most 20")
	fs.IntVar(&m.Shapley.Pairs, "shapley-pairs", attribution.DefaultShapleyPairs, "pairs of orders that shapley samples, with up to 2 n calls each; at least 2")
	fs.Uint64Var(&m.Shapley.Seed, "shapley-seed", 1, "seed of these orders")
}

// Check returns an error for the first flag that is out of range.
func (m *Methods) Check() error {
	switch {
	case !slices.Contains([]int{3, 5, 10}, m.Scale):
		return fmt.Errorf("-scale is %d, want 3, 5 or 10", m.Scale)
	case !(m.Gamma > 0 && m.Gamma <= 1):
		return fmt.Errorf("-gamma is %v, want above 0 and at most 1", m.Gamma)
	case !(m.Temperature >= 0 || m.Temperature == -1):
		return fmt.Errorf("-temperature is %v, want 0 or more, or -1 for the model's own", m.Temperature)
	case m.Tries < 0:
		return fmt.Errorf("-tries is %d, want at least 0", m.Tries)
	case m.Shapley.Exact < 1 || m.Shapley.Exact > 20 || m.Shapley.Pairs < 2:
		return fmt.Errorf("-shapley-exact is %d, -shapley-pairs %d: want 1 to 20, and at least 2", m.Shapley.Exact, m.Shapley.Pairs)
	}
	for _, one := range m.Each() {
		if _, err := one.dimension(); err != nil {
			return err
		}
	}
	return nil
}

// dimension returns the one dimension, and an error where it or the one method is not
// known.
func (m Methods) dimension() (episode.Dimension, error) {
	d, err := episode.ParseDimension(m.Dimensions)
	if err != nil {
		return "", fmt.Errorf("-dimensions: %w", err)
	}
	if !slices.Contains(attribution.Names(), m.name()) {
		return "", fmt.Errorf("-method is %q, want one of %s", m.Names, strings.Join(attribution.Names(), ", "))
	}
	return d, nil
}

// Each returns every pair of a method and a dimension by itself, methods first.
func (m Methods) Each() []Methods {
	var each []Methods
	for name := range strings.SplitSeq(m.Names, ",") {
		for d := range strings.SplitSeq(m.Dimensions, ",") {
			one := m
			one.Names, one.Dimensions = strings.TrimSpace(name), strings.TrimSpace(d)
			each = append(each, one)
		}
	}
	return each
}

// Attributor returns the one method that m holds; see [Methods.Each]. open opens the
// model, where the method asks one.
func (m Methods) Attributor(open func() (episode.LLM, error)) (attribution.Described, error) {
	d, err := m.dimension()
	if err != nil {
		return nil, err
	}
	name := m.name()
	o := attribution.Options{
		Dimension: d, Scale: m.Scale, Gamma: m.Gamma, Tries: m.Tries, Temperature: m.Temperature, Shapley: m.Shapley,
	}
	if attribution.AsksModel(name) {
		if o.LLM, err = open(); err != nil {
			return nil, err
		}
	}
	return attribution.ByName(name, o)
}

// name returns the name of the method in files. "uniform" is another one of
// all_the_same.
func (m Methods) name() string {
	switch normalized := m.Names + "_normalized"; {
	case m.Names == "uniform":
		return "all_the_same"
	case m.Normalized && slices.Contains(attribution.Names(), normalized):
		return normalized
	}
	return m.Names
}
