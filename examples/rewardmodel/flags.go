package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// settings are the parsed flags.
type settings struct {
	model     cli.Model
	adapter   cli.Adapter
	data      data
	train     reward.TrainConfig
	start     string
	maxLength int
	drop      bool
}

const synopsis = `Usage: rewardmodel -model DIR -records FILE -out DIR [flags]
       rewardmodel -model DIR -episodes FILE -annotations FILE -out DIR [flags]

Trains a model to predict the value of a reply, by mean squared error. The same
command goes on where a stopped run's last checkpoint is. The defaults are those of
Sotopia-RL (arXiv 2508.03905).`

// parse reads the flags and prints the effective configuration.
func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{adapter: cli.Adapter{Rank: 8, Alpha: 32, Dropout: 0.1, Targets: "q_proj,v_proj"}}
	s.train.FitConfig = policy.FitConfig{LR: 1e-5, Epochs: 30, Batch: 8, Held: 0.05}
	fs := cli.NewFlags("rewardmodel", synopsis)
	s.data.define(fs)
	s.model.Define(fs)
	s.adapter.Define(fs)
	fs.StringVar(&s.start, "adapter", "", "`directory` of a reward model to go on from, instead of a new one")
	cli.DefineFit(fs, &s.train.FitConfig)
	fs.Lookup("warmup").Usage = "steps over which the learning rate rises from 0; a tenth of all unless given"
	fs.IntVar(&s.maxLength, "max-length", 4096, "most tokens of prompt and reply; longer records are left out and counted")
	fs.BoolVar(&s.drop, "drop-oldest", false, "shorten long prompts by their oldest turns instead")
	if err := cli.Parse(fs, args, io, s.check); err != nil {
		return nil, err
	}
	fs.Visit(s.zeroMeansZero)
	return s, nil
}

func (s *settings) check() error {
	if err := s.data.check(); err != nil || s.recordsOnly() {
		return err
	}
	if err := cli.Required("model", s.model.Dir, "out", s.train.FitConfig.Dir); err != nil {
		return err
	}
	switch {
	case s.maxLength < 1:
		return cli.Usagef("-max-length is %d, want at least 1", s.maxLength)
	case s.maxLength > s.train.Budget:
		return cli.Usagef("-max-length %d is more than -budget %d: a record is computed whole", s.maxLength, s.train.Budget)
	}
	if err := s.model.Check(); err != nil {
		return err
	}
	if err := cli.CheckFit(&s.train.FitConfig); err != nil || s.start != "" {
		return err
	}
	return s.adapter.Check()
}

// zeroMeansZero takes a flag that was set to 0 at its word, where the library takes 0
// for its default.
func (s *settings) zeroMeansZero(f *flag.Flag) {
	switch {
	case f.Name == "warmup" && s.train.Warmup == 0:
		s.train.Warmup = -1
	case f.Name == "held-out" && s.train.Held == 0:
		s.train.Held = -1
	}
}

// recordsOnly reports whether the flags ask for the records and no training.
func (s *settings) recordsOnly() bool { return s.data.save != "" && s.model.Dir == "" }

// pinned is what a resumed run must have in common with the one it goes on from,
// beside the configuration of training.
func (s *settings) pinned(base *policy.Base, rm *reward.RewardModel, recs []reward.Record) any {
	c := rm.Policy().Adapter().Config
	h := sha256.New()
	if err := reward.EncodeRecords(h, recs); err != nil {
		panic(err) // values are finite, and a hash takes everything
	}
	return struct {
		Model, DType, Template, RecordsSHA256 string
		Records, MaxLength, Rank              int
		DropOldest, RSLoRA                    bool
		Alpha, Dropout                        float64
		Targets                               []string
	}{
		base.String(), s.model.DType, s.model.Template, hex.EncodeToString(h.Sum(nil)), len(recs), s.maxLength, c.Rank,
		s.drop, c.RSLoRA, c.Alpha, c.Dropout, c.Targets,
	}
}
