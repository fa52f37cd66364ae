package grpo

import (
	"fmt"
	"slices"
)

// Variant is a form of the loss: what a token contributes, and what it is divided
// by. A new one is one function:
//
//	soft := grpo.Variant{Name: "soft", Surrogate: mySurrogate, Normaliser: grpo.PerWindow}
type Variant struct {
	Name       string // under which it stands in logs and checkpoints
	Surrogate  Surrogate
	Normaliser Normaliser
	// Clips names the metrics of clipped ratios: "" for TRL's clip_ratio/low_mean,
	// low_min, high_mean, high_max and region_mean, otherwise the one metric under
	// which the share of ratios cut at the upper bound is logged.
	Clips string
}

// GRPO is the original: clipped, each completion's mean (Shao et al., 2024).
func GRPO() Variant { return Variant{Name: "grpo", Surrogate: Clipped, Normaliser: PerCompletion} }

// BNPO is clipped, the mean over a micro-batch's tokens: the loss of TRL 0.16.1 and
// of Sotopia-RL.
func BNPO() Variant { return Variant{Name: "bnpo", Surrogate: Clipped, Normaliser: PerMicroBatch} }

// DAPO is clipped, the mean over a step's tokens (Yu et al., 2025).
func DAPO() Variant { return Variant{Name: "dapo", Surrogate: Clipped, Normaliser: PerWindow} }

// DrGRPO is clipped, divided by a constant (Liu et al., 2025).
func DrGRPO() Variant { return Variant{Name: "dr_grpo", Surrogate: Clipped, Normaliser: PerLimit} }

// CISPO truncates the importance weight instead of the gradient, the mean over a
// step's tokens (MiniMax-M1, 2025). Clip.High is the largest weight.
func CISPO() Variant {
	return Variant{Name: "cispo", Surrogate: Truncated, Normaliser: PerWindow, Clips: "cispo_clip_ratio"}
}

// Variants returns the variants that the package knows.
func Variants() []Variant { return []Variant{GRPO(), BNPO(), DAPO(), DrGRPO(), CISPO()} }

// ParseVariant returns the variant of a name: grpo, bnpo, dapo, dr_grpo or cispo.
func ParseVariant(name string) (Variant, error) {
	var known []string
	for _, v := range Variants() {
		if v.Name == name {
			return v, nil
		}
		known = append(known, v.Name)
	}
	slices.Sort(known)
	return Variant{}, fmt.Errorf("grpo: no loss is called %q (known: %v)", name, known)
}
