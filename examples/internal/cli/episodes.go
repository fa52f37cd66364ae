package cli

import (
	"flag"
	"iter"

	"github.com/socialrl/socialrl/episode"
)

// Filter chooses episodes by what the flags say; an empty field chooses all.
type Filter struct {
	Tag, Environment, Model string
}

// Define defines -tag, -environment and -agent-model.
func (f *Filter) Define(fs *flag.FlagSet) {
	fs.StringVar(&f.Tag, "tag", "", "only episodes with this experiment `tag`")
	fs.StringVar(&f.Environment, "environment", "", "only episodes of the environment with this `id`")
	fs.StringVar(&f.Model, "agent-model", "", "only episodes in which both agents are the model of this `name`")
}

// Query returns the part of the filter that a store can answer.
func (f *Filter) Query() episode.Query {
	return episode.Query{Tag: f.Tag, EnvironmentID: f.Environment}
}

// Admits reports whether the filter chooses an episode.
func (f *Filter) Admits(e *episode.Episode) bool {
	return f.Query().Match(e) && (f.Model == "" || len(e.Models) == 3 && e.Models[1] == f.Model && e.Models[2] == f.Model)
}

// Apply returns the chosen ones among the episodes. Errors pass.
func (f *Filter) Apply(episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[*episode.Episode, error] {
	return func(yield func(*episode.Episode, error) bool) {
		for e, err := range episodes {
			if (err != nil || f.Admits(e)) && !yield(e, err) {
				return
			}
		}
	}
}
