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
	Tries       int     `json:"tries"`
	Temperature float64 `json:"temperature"`
}

// Define defines -method, -dimensions, -scale, -normalized, -gamma, -tries and
// -temperature.
func (m *Methods) Define(fs *flag.FlagSet) {
	fs.StringVar(&m.Names, "method", "direct", "comma-separated `methods`: direct (asks the model), evidence, discounting, uniform")
	fs.StringVar(&m.Dimensions, "dimensions", "goal", "comma-separated `dimensions` whose scores are shared out, such as goal,relationship,knowledge")
	fs.IntVar(&m.Scale, "scale", 3, "highest attribution of direct: 3, 5 or 10")
	fs.BoolVar(&m.Normalized, "normalized", false, "share each score out over the utterances instead of scaling it")
	fs.Float64Var(&m.Gamma, "gamma", attribution.DefaultGamma, "discount of discounting, above 0 and at most 1")
	fs.IntVar(&m.Tries, "tries", attribution.DefaultTries, "replies to look at before an attribution fails")
	fs.Float64Var(&m.Temperature, "temperature", 0, "temperature of the model; -1 leaves it to the model, as reasoning models demand")
}

// Check returns an error for the first flag that is out of range.
func (m *Methods) Check() error {
	switch {
	case !slices.Contains([]int{3, 5, 10}, m.Scale):
		return fmt.Errorf("-scale is %d, want 3, 5 or 10", m.Scale)
	case !(m.Gamma > 0 && m.Gamma <= 1):
		return fmt.Errorf("-gamma is %v, want above 0 and at most 1", m.Gamma)
	case m.Tries < 1:
		return fmt.Errorf("-tries is %d, want at least 1", m.Tries)
	}
	return nil
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
	d, err := episode.ParseDimension(m.Dimensions)
	if err != nil {
		return nil, fmt.Errorf("-dimensions: %w", err)
	}
	switch m.Names {
	case "direct":
		llm, err := open()
		return attribution.Direct{LLM: llm, Dimension: d, Scale: m.Scale, Normalized: m.Normalized, Tries: m.Tries, Temperature: m.Temperature}, err
	case "evidence":
		return attribution.Evidence{Dimension: d, Scale: m.Scale, Normalized: m.Normalized}, nil
	case "discounting":
		return attribution.Discounting{Dimension: d, Gamma: m.Gamma}, nil
	case "uniform":
		return attribution.Uniform{Dimension: d}, nil
	}
	return nil, fmt.Errorf("-method is %q, want direct, evidence, discounting or uniform", m.Names)
}
