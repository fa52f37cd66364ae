// Package reward turns credit into reward: records to learn from, a model that
// predicts the value of a reply, and the choice of the best of several. It also judges
// whole episodes and reports what models reached in them.
//
// A complete program: credits of utterances become records, records a model, the
// model scores new replies:
//
//	parts, counts, err := reward.Join(items, attributions)
//	recs, ranges, _, err := reward.Combine(parts, reward.CombineOptions{})
//
//	eng, err := lora.Open("cpu")
//	base, err := policy.LoadBase(eng, "Qwen2.5-0.5B-Instruct", lora.BF16)
//	rm, err := reward.New(base, lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV})
//	err = rm.Train(ctx, recs, reward.TrainConfig{Dir: "rm"})
//	values, err := rm.Score(ctx, []reward.Sample{{Item: item, Text: reply}})
//
// # Records
//
// A [Record] is a prompt, a reply and a number. [Join] finds the training item of
// each credited utterance by its turn; what was masked gives no record. [Combine]
// makes one number of several dimensions: each is brought to 0..1 over the data set,
// the weighted mean is scaled to 0..10. One dimension alone stays as it is.
//
// # The model
//
// [RewardModel] is a base model, an adapter and a linear head that reads the hidden
// state of the last token, which is the end of the reply's turn. It is trained by
// mean squared error. Completions of one prompt, and records of one episode, are one
// forest: what they begin with is computed once. The head is always saved with the
// adapter, and an adapter without one does not load.
//
// # The judge
//
// A [Judge] scores finished episodes by asking a chat model, on the seven dimensions of
// SOTOPIA-EVAL or on others ([Criterion]). [episode.Play] takes it as its evaluator:
//
//	judge := reward.KeepFailures(reward.Judge{LLM: episode.NewRemote(url, key, "gpt-4o")})
//	e, err := episode.Play(ctx, scene, agents, episode.WithEvaluator(judge))
//
// [Rejudge] puts a stored episode to a second judge, [CompareJudges] tells how far the
// two agree, and [NewReport] what each model reached, as Markdown, JSON or a page on
// which the episodes can be browsed.
//
// # Scorers
//
// A [Scorer] is anything that gives replies a number: the model, a function, a sum
// of others. NaN says that a reply cannot be scored; it is never taken for 0. The
// caller must not use one scorer from several goroutines unless its type says that
// this is safe: a RewardModel belongs to the goroutine that uses its engine; a
// [BestOfN] is as safe as its parts. Functions and the other types may be used by
// several goroutines.
//
// Results depend on the inputs, the seed and the engine only. Training that was
// stopped or killed and resumed ends in the same bytes as training that was not.
package reward
