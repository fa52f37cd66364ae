// Package grpo trains a policy by group relative policy optimisation: for each prompt
// a group of replies is sampled, scored, and pushed apart by how much each is better
// than its group.
//
// A complete program, with a reward of one's own:
//
//	eng, err := lora.Open("cpu")
//	base, err := policy.LoadBase(eng, "Qwen2.5-0.5B-Instruct", lora.BF16)
//	adapter, err := policy.LoadAdapter(base, "sft/adapter")
//	p, err := policy.New(base, adapter)
//	short := reward.Each(func(s reward.Sample) float64 { return -float64(len(s.Text)) })
//	cfg := grpo.Default()
//	cfg.Dir = "run"
//	t, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: short, Weight: 1}}, cfg)
//	err = t.Train(ctx, items) // iter.Seq2[episode.Item, error]
//
// # The method
//
// With G replies of a group, r their rewards, p the log-probability of a token under
// the policy, o under the policy that sampled it, q under the reference:
//
//	A    = (r − mean(r)) / (std(r) + 1e-4)                       Advantages
//	ρ    = exp(p − o)                                            TokenRatios, SequenceRatios
//	k    = exp(q − p) − (q − p) − 1                              KL
//	l    = −min(ρ·A, clip(ρ, 1 − Low, 1 + High)·A) + Beta·k      Objective
//	loss = Σ over tokens of w·l                                  Normaliser
//
// Each equation is a function of its own. A [Variant] names what a token contributes
// and what it is divided by: [GRPO], [BNPO], [DAPO], [DrGRPO], [CISPO], or one of
// yours. Log-probabilities are those of soft-max(logits/temperature), in nats, of
// the tokens that were sampled: nothing is decoded and encoded again.
//
// A group is one forest: its prompt is computed once in sampling, for the reference
// and in the update. The same kernels sample and train, on the adapter itself.
//
// # On a GPU
//
// Where the policy's engine is a [lora.Launcher], as a CUDA engine is, advantages and
// losses are computed on its device in float64, one launch a batch and one a forest, for
// every variant, level and KL term of this package; see [Loss.On]. A [Surrogate] of one's
// own is evaluated on the host. What the host computes is the reference for both. Time is
// neither won nor lost: log-probabilities come to the host in any case, because a loss may
// be anyone's, and a step has some thousand of them, microseconds of arithmetic.
//
// # Where it differs from TRL
//
// All numbers of TRL 0.16.1 and 1.16 are reproduced for the same tokens and rewards.
// Differences: the reference of [Default] is a frozen copy of the start, as in TRL
// 1.x and unlike TRL 0.16.1, where it is the bare base (Config.Reference); there is
// no padding; frac_reward_zero_std is always the share of groups whose rewards are
// equal; a reply without reward (NaN) is left out of its group's mean and counted.
//
// # Repeating a run
//
// One seed gives one run: sampling, the order of items and dropout are keyed by seed
// and step. A run that was stopped or killed at any instant and resumed from its
// directory ends in the same bytes as one that was not, on the same engine. Scorers
// must give equal rewards for equal samples for that to hold.
//
// One goroutine at a time may use a trainer, its policy and their engine, and one at
// a time a [Loss]. The functions, [Objective], [Variant] and [Config] may be used by
// several.
package grpo
