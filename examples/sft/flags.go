package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// settings are the parsed flags.
type settings struct {
	input   cli.Input
	adapter cli.Adapter
	train   policy.SFTConfig

	start, export string
	full          bool
}

const synopsis = `Usage: sft -model DIR -data FILE -out DIR [flags]

Trains a chat model to act as the agents of episodes did. The same command goes on
where a stopped run's last checkpoint is. The defaults are those of Sotopia-RL
(arXiv 2508.03905), with an early stop in place of a choice by hand.`

// parse reads the flags and prints the effective configuration.
func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{adapter: cli.Adapter{Rank: 8, Alpha: 64, Dropout: 0.05, Targets: "q_proj,v_proj"}}
	s.train.FitConfig = policy.FitConfig{LR: 1e-4, Epochs: 500, Batch: 16, Held: 0.05, EvalEvery: 5, Patience: 10}
	fs := cli.NewFlags("sft", synopsis)
	s.input.Define(fs, "to learn from")
	s.adapter.Define(fs)
	fs.StringVar(&s.start, "adapter", "", "`directory` of an adapter to go on from, instead of a new one")
	fs.BoolVar(&s.full, "full", false, "train a float32 copy of all weights instead of an adapter")
	cli.DefineFit(fs, &s.train.FitConfig)
	fs.IntVar(&s.train.MaxLength, "max-length", 4096, "most tokens of prompt and reply; longer items are left out and counted")
	fs.BoolVar(&s.train.DropOldest, "drop-oldest", false, "shorten long prompts by their oldest turns instead")
	fs.StringVar(&s.export, "export", "", "`directory` to write the trained model to, base and adapter merged, as bfloat16")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("model", s.input.Model.Dir, "data", s.input.Data, "out", s.train.Dir); err != nil {
		return err
	}
	switch {
	case s.full && s.start != "":
		return cli.Usagef("-full and -adapter exclude each other")
	case s.train.MaxLength < 1:
		return cli.Usagef("-max-length is %d, want at least 1", s.train.MaxLength)
	case s.train.MaxLength > s.train.Budget:
		return cli.Usagef("-max-length %d is more than -budget %d: an item is computed whole", s.train.MaxLength, s.train.Budget)
	}
	if err := s.input.Model.Check(); err != nil {
		return err
	}
	if err := cli.CheckFit(&s.train.FitConfig); err != nil {
		return err
	}
	if err := s.input.Items.Check(); err != nil {
		return err
	}
	if s.full || s.start != "" {
		return nil
	}
	return s.adapter.Check()
}

// pinned is what a resumed run must have in common with the one it goes on from,
// beside the configuration of training.
func (s *settings) pinned(base *policy.Base, a *lora.Adapter, items []episode.Item) any {
	c := a.Config
	return struct {
		Model, DType, ItemsSHA256 string
		Items, MaxLength          int
		DropOldest, Full, RSLoRA  bool
		Rank                      int
		Alpha, Dropout            float64
		Targets                   []string
		Template                  string
	}{
		fmt.Sprintf("%s, %d parameters", base.Config().ModelType, base.Config().Parameters()), s.input.Model.DType, fingerprint(items), len(items), s.train.MaxLength, s.train.DropOldest, s.full, c.RSLoRA,
		c.Rank, c.Alpha, c.Dropout, c.Targets, s.input.Model.Template,
	}
}

// fingerprint tells sets of items apart.
func fingerprint(items []episode.Item) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, item := range items {
		if err := enc.Encode([]string{item.EpisodeID, item.Input, item.Output}); err != nil {
			panic(err) // texts can always be written
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
