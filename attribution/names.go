package attribution

import (
	"fmt"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Options are the settings of methods that are made by name. Each method takes
// what it has a use for.
type Options struct {
	LLM         episode.LLM       // of the methods that ask a model
	Dimension   episode.Dimension // whose score is shared out; "" is goal
	Scale       int               // of direct and evidence; 0 is 3
	Description string            // of a custom dimension; see [Direct]
	Gamma       float64           // of discounting; 0 is [DefaultGamma]
	Tries       int               // most replies to look at for one answer; 0 is the method's default
	Temperature float64           // of the model; below 0 leaves it to the model
	Shapley     ShapleyOptions    // of shapley
}

// maker makes a method from options.
type maker struct {
	name  string
	calls bool // it asks a model
	make  func(Options) Described
}

var makers = []maker{
	{"direct", true, direct("direct", false)},
	{"direct_generic", true, direct("direct_generic", false)},
	{"direct_normalized", true, direct("direct_normalized", true)},
	{"key_utterance", true, func(o Options) Described {
		return KeyUtterance{o.LLM, o.Dimension, o.Description, o.Tries, o.Temperature}
	}},
	{"goal_progress", true, func(o Options) Described { return GoalProgress{o.LLM, o.Tries, o.Temperature} }},
	{"only_response", true, func(o Options) Described {
		return OnlyResponse{o.LLM, o.Dimension, o.Description, o.Tries, o.Temperature}
	}},
	{"utterance_quality", true, quality(false)},
	{"utterance_quality_normalized", true, quality(true)},
	{"discounting", false, func(o Options) Described { return Discounting{o.Gamma, o.Dimension} }},
	{"all_the_same", false, func(o Options) Described { return Uniform{o.Dimension} }},
	{"evidence", false, evidence(false)},
	{"evidence_normalized", false, evidence(true)},
	{"shapley", true, func(o Options) Described {
		r := Rating{o.LLM, o.Dimension, o.Tries, o.Temperature}
		return Shapley{r.Value, o.Dimension, o.Shapley, r.Request}
	}},
}

func direct(name string, normalized bool) func(Options) Described {
	return func(o Options) Described {
		d := Direct{o.LLM, o.Dimension, o.Scale, normalized, o.Description, o.Tries, o.Temperature}
		m := d.Method()
		if m.Name == name {
			return d
		}
		m.Name = name
		return Named(m, d)
	}
}

func quality(normalized bool) func(Options) Described {
	return func(o Options) Described {
		return UtteranceQuality{o.LLM, o.Dimension, normalized, o.Description, o.Tries, o.Temperature}
	}
}

func evidence(normalized bool) func(Options) Described {
	return func(o Options) Described {
		return Evidence{Dimension: o.Dimension, Scale: o.Scale, Normalized: normalized}
	}
}

// Names returns the names that [ByName] knows: the ten methods of the field, in
// the order direct, direct_generic, direct_normalized, key_utterance,
// goal_progress, only_response, utterance_quality, utterance_quality_normalized,
// discounting, all_the_same, and after them evidence, evidence_normalized and
// shapley.
func Names() []string {
	names := make([]string, len(makers))
	for i, m := range makers {
		names[i] = m.name
	}
	return names
}

// AsksModel reports whether the method of that name needs a model.
func AsksModel(name string) bool {
	for _, m := range makers {
		if m.name == name {
			return m.calls
		}
	}
	return false
}

// ByName returns the method that has the given name in files; its
// [Method].Name is that name. "shapley" takes a [Rating] of the model as value.
// An unknown name is an error that lists those in [Names], and so is goal_progress
// on another dimension than goal.
func ByName(name string, o Options) (Described, error) {
	for _, m := range makers {
		if m.name != name {
			continue
		}
		d := m.make(o)
		if got := d.Method().Dimension; got != orGoal(o.Dimension) {
			return nil, fmt.Errorf("attribution: %s is about %s only, not about %s", name, got, o.Dimension)
		}
		return d, nil
	}
	return nil, fmt.Errorf("attribution: no method is called %q (known: %s)", name, strings.Join(Names(), ", "))
}
