package cli

import (
	"flag"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/policy"
)

// Input is what a program works on: a base model and training items.
type Input struct {
	Model  Model
	Data   string // file of training items or of episodes
	Items  Items
	Filter Filter
}

// Define defines the flags of the model, the items and the filter, and -data; use
// says in the help what the file is for, such as "to score".
func (in *Input) Define(fs *flag.FlagSet, use string) {
	in.Model.Define(fs)
	fs.StringVar(&in.Data, "data", "", "`file` "+use+": a JSON array of training items (input, output), or JSON lines of episodes (required)")
	in.Items.Define(fs)
	in.Filter.Define(fs)
}

// Open reads the items and then loads the model. close gives the model's memory back.
func (in *Input) Open() (items []episode.Item, base *policy.Base, close func(), err error) {
	if items, err = in.Items.ReadFile(in.Data, &in.Filter); err != nil {
		return nil, nil, nil, err
	}
	if base, close, err = in.Model.Open(); err != nil {
		return nil, nil, nil, err
	}
	return items, base, close, nil
}
