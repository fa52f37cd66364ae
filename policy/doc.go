// Package policy runs and trains decoder-only language models: Qwen2, Qwen2.5 and
// dense Qwen3, Llama 2 and 3, SmolLM2, from Hugging Face directories.
//
// A complete program: load a model, clone good behaviour into an adapter, sample.
//
//	eng, err := lora.Open("cpu")
//	defer eng.Close()
//	base, err := policy.LoadBase(eng, "Qwen2.5-0.5B-Instruct", lora.BF16)
//	defer base.Close()
//	adapter, err := policy.NewAdapter(base, lora.Config{Rank: 8, Alpha: 64, Dropout: 0.05, Targets: lora.QV}, 42)
//	p, err := policy.New(base, adapter)
//	result, err := policy.SFT(ctx, p, items, policy.SFTConfig{FitConfig: policy.FitConfig{Dir: "sft", Held: 0.05}})
//	out, err := p.Generate(ctx, prompts, policy.SamplingOptions{N: 4, MaxTokens: 128, Temperature: 0.9})
//
// # Bases and policies
//
// A [Base] holds the frozen weights, once. A [Policy] is a base seen through an
// adapter: low-rank branches, a scalar head, or a private copy of all weights
// ([NewFull]). Any number of policies share a base.
//
// # Forests
//
// Every batch is a [Forest]: sequences with their common beginnings merged. Nothing
// is padded, and a token that many sequences begin with is computed once, forward
// and backward. The gradient is that of the unshared batch. A [Loss] sees the
// log-probabilities of the targets (or one score a sequence) and returns
// derivatives; cross entropy, reward regression and GRPO differ in nothing else.
//
// # Decoding
//
// [Policy.Generate] samples replies; a [Session] is what lies below it, for programs
// that add and remove sequences while others go on. The tokens that are sampled are
// kept as they are, with their log-probabilities: nothing is decoded and encoded
// again, and adapters are not merged to sample.
//
// A [Constraint] keeps replies to a form: [Vocabulary.JSONSchema] makes one of a JSON
// schema, under which every reply is a complete value within its limit of tokens.
//
// # Agents
//
// A [Local] is a policy as a chat model, for an episode.LLMAgent to play with. All
// episodes that are played at once share its batches, and each agent's next prompt
// finds its last one in the cache:
//
//	local, err := policy.NewLocal(p, policy.LocalOptions{})
//	defer local.Close()
//	agent := &episode.LLMAgent{LLM: local, Seed: 1}
//	e, err := episode.Play(ctx, scene, []episode.Agent{agent, agent})
//
// # Serving
//
// A [Server] is an http.Handler with OpenAI's API over a base and its adapters:
//
//	s := policy.NewServer(base, policy.ServerConfig{APIKey: key})
//	s.Add("social", p)
//	s.SetScorer(rm) // a reward model, for /score and the best of several replies
//	err = http.ListenAndServe(":8000", s)
//
// # Training
//
// [Fit] is the training loop: splits by episode, schedules, evaluation, early stop,
// checkpoints, exact resume. [SFT] is behaviour cloning on it.
//
// # Memory
//
// [Policy].StepMemory says what a gradient pass will take, Policy.Memory bounds it, and
// [Plan] says what a whole run of GRPO takes on an engine, GPU or not, before there is a
// model or the engine.
//
// # Duties and promises
//
// The policies of one engine belong to one goroutine at a time. A Forest, a
// Tokenizer and the configurations may be shared. Equal inputs, seed and engine give
// equal bytes: the reply to a prompt does not depend on the other prompts in the
// call, and a run that was killed and resumed ends as one that was not.
//
// Notation: T tokens, D model width (HiddenSize), F feed-forward width
// (IntermediateSize), H heads, V vocabulary, L layers, R rank.
package policy
