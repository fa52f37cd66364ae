// Package attribution turns the score of an episode into credit for each of an
// agent's utterances, and annotates whole data sets that way.
//
// An [Attributor] looks at one finished episode and one agent. [Direct] asks a
// chat model, which sees the dialogue and its outcome, how much every utterance
// mattered; [Evidence] looks at the words, or at whatever a function of yours
// sees in them; [Discounting] and [Uniform] look at nothing. [Annotate] runs any
// number of them over any number of episodes and writes JSON lines that the
// other programs of the field read; [ReadFile] reads theirs. [Agree] and
// [FleissKappa] compare annotators.
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
// # Goroutines and determinism
//
// Attributors are values without state and may be used by several goroutines if
// their models and functions may; so may the functions of this package. Nothing
// here is random: the same episodes and replies give the same attributions.
// [Annotate] writes lines in the order in which they are finished, which is
// always the same with Concurrency 1 only.
//
// The method is that of Sotopia-RL (arXiv 2508.03905).
package attribution
