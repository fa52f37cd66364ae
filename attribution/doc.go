// Package attribution turns the score of an episode into credit for each of an
// agent's utterances, and annotates whole data sets that way.
//
// An [Attributor] looks at one finished episode and one agent. Some ask a chat
// model: [Direct] how much every utterance mattered, [KeyUtterance] which one did,
// [GoalProgress] how far the goal was before each, [OnlyResponse] how each was
// received, [UtteranceQuality] how good each is. [Shapley] asks what the dialogue
// would have been worth without some of them, of a model or of any other [Value].
// [Evidence] looks at the words, or at whatever a function of yours sees in them;
// [Discounting] and [Uniform] look at nothing. [ByName] makes each by its name in
// files. [Annotate] runs any number of them over any number of episodes and writes
// JSON lines that the other programs of the field read; [ReadFile] reads theirs.
// [Raters], [Agree] and [FleissKappa] compare annotators.
//
// A complete program, which annotates three dimensions of a file of episodes and
// can be killed and started again at any time:
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//		"os"
//
//		"github.com/socialrl/socialrl/attribution"
//		"github.com/socialrl/socialrl/episode"
//	)
//
//	func main() {
//		llm := episode.NewRemote("https://api.openai.com/v1", os.Getenv("OPENAI_API_KEY"), "gpt-4o")
//		var methods []attribution.Attributor
//		for _, d := range []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge} {
//			methods = append(methods, attribution.Direct{LLM: llm, Dimension: d, Scale: 3})
//		}
//		sum, err := attribution.Annotate(context.Background(), episode.ReadFile("episodes.jsonl"), methods,
//			attribution.AnnotateOptions{Path: "annotated.jsonl"})
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Printf("%d attributions, %d tokens\n", sum.Done, sum.Usage.PromptTokens+sum.Usage.CompletionTokens)
//	}
//
// # What the caller sees to
//
// Episodes need an id and a judge's scores; one without a score is an error, not
// a 0. A model's reply that does not hold exactly one score for each utterance is
// asked for again and then becomes a [Failure] with the replies. An utterance
// with attribution -1 is masked: it has no reward, and must not be trained on.
// One process at a time writes to an annotation file.
//
// # Methods
//
// Rewards by method, a being what the model answered for an utterance, s the
// scale, n the number of the agent's utterances and k the place of one among them:
//
//	direct, direct_generic        a/s * score
//	direct_normalized             a/sum(a) * score
//	key_utterance                 score for the one named, 0 for the others
//	goal_progress                 (a[k] - a[k-1])/10 * goal
//	only_response                 a/3 * score
//	utterance_quality             a/3 * 10
//	utterance_quality_normalized  a/sum(a) * score
//	discounting                   gamma^(n-1-k) * score
//	all_the_same                  score
//	evidence                      e * score
//	shapley                       mean of value with it less value without it
//
// The first nine lines are the methods of the published Python program. They
// differ from it in this: a reply that cannot be used is asked for again and then
// is a [Failure], where the program gives zeros or keeps the last of five replies;
// utterances are asked for by number, so that two in a row by one speaker both get
// a score; per-utterance scores are asked for, and accepted, on 0..3, where the
// program accepts 0..10 and divides by 3; every method but goal_progress works on
// any dimension; what got no score is left out, not 0. The prompts were written for
// this library.
//
// # Goroutines and determinism
//
// Attributors are values without state and may be used by several goroutines if
// their models and functions may; so may the functions of this package. Nothing
// here is random but the orders that Shapley values are sampled from, which follow
// from a seed: the same episodes and replies give the same attributions.
// [Annotate] writes lines in the order in which they are finished, which is
// always the same with Concurrency 1 only.
//
// The method is that of Sotopia-RL (arXiv 2508.03905).
package attribution
