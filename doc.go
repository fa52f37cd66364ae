// Package socialrl is the root of a library for reinforcement learning of social
// skill in language models. It implements the Sotopia-RL method: episode scores
// are attributed to single utterances, a reward model learns the attributed
// rewards, and a policy is cloned from good episodes and then trained with GRPO
// against the reward model.
//
// The root package holds documentation only. The work is done by
//
//   - [github.com/socialrl/socialrl/episode]: dialogues, training items, stores, chat models
//   - [github.com/socialrl/socialrl/attribution]: from an episode's score to utterance credit
//   - [github.com/socialrl/socialrl/tokenizer]: tokenizer.json and chat templates
//   - [github.com/socialrl/socialrl/lora]: engines, adapters, optimiser, file formats
//   - [github.com/socialrl/socialrl/policy]: the transformer over forests of tokens, sampling, cloning
//   - [github.com/socialrl/socialrl/reward]: reward records, reward model, best-of-N
//   - [github.com/socialrl/socialrl/grpo]: group relative policy optimisation
//
// Sotopia-RL: Reward Design for Social Intelligence, https://arxiv.org/abs/2508.03905.
package socialrl
