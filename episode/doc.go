// Package episode holds dialogues between two agents with private goals, as
// SOTOPIA plays them (Zhou et al. 2024, https://arxiv.org/abs/2310.11667), and
// what surrounds them: what was said as [Utterance], what was done as [Action],
// training examples as [Item], judges' scores on each [Dimension], files of JSON
// lines, stores in a folder or a Redis database, chat models behind the OpenAI
// API, and the loop in which two agents play.
//
// A complete program that prints who reached the goal, and what the first
// speaker was trained with:
//
//	package main
//
//	import (
//		"fmt"
//		"log"
//
//		"github.com/socialrl/socialrl/episode"
//	)
//
//	func main() {
//		for e, err := range episode.ReadFile("episodes.jsonl") {
//			if err != nil {
//				log.Print(err) // names file, line and cause; the next line is read
//				continue
//			}
//			for _, agent := range e.Agents() {
//				goal, err := e.Score(agent, episode.Goal)
//				fmt.Println(e.ID, agent, goal, err)
//			}
//			items, err := e.Items(e.Agents()[0], nil)
//			fmt.Println(len(items), err)
//		}
//	}
//
// # What the caller sees to
//
// Check the error beside every episode and item: a bad line is an error in its
// place and never an empty episode. A score comes with an error that tells a
// judge who failed ([ErrNotJudged]) from a score of 0. Prompts for training and
// for play must come from one [PromptTemplate].
//
// # Formats
//
// Three generations of JSON lines are read: those of the data sets on the hub,
// older ones without raw messages, and newer ones whose rewards are bare numbers.
// Order of keys, unknown fields and the spelling of numbers survive a round
// trip; what is written is spelled as Python's json.dumps spells it. Documents
// in Redis have other names for the same fields; see [Episode.Document].
//
// # Turns
//
// Turns count from 0, the first speaker acts on even ones. Indices of utterances
// count from 0 over both agents. An utterance and a training item of the same
// agent and turn belong together; nothing assumes that speakers alternate.
//
// # Profiles
//
// [Profiles] are who can play and what: agents, environments, relationships and
// pairings, read from a folder ([LoadProfiles]) or from a database of SOTOPIA
// ([LoadProfilesRedis]). [Profiles.Scene] makes a [Scene] of an environment and two
// agents, in which each knows of the other what their relationship allows;
// [Profiles.PairingsFor] returns the pairings of an environment, or draws some that
// fit its constraints where there are none; [Profiles.Benchmark] names the
// environments of a benchmark, hard and all among them.
//
// # Play
//
// [Play] has two agents act until one leaves, nothing happens any more, or the turns
// are used up; [WithOrder] says whether they act in turn ([RoundRobin]), both at
// once without knowing of each other ([Simultaneous]), or as drawn from a seed
// ([RandomOrder]). Agents are chat models ([LLMAgent]), the best of what one proposes
// ([BestOfN]), lines written before ([Script]) and people ([Human]). A reply that is
// no action is put into form once, and does nothing where that fails; what became of
// replies is counted in the episode, see [Episode.Replies].
//
// # Batches
//
// A [Batch] plays many matches at once, each as a [Match] says, keeps every episode
// the moment it ends, and plays none that its store has: run again after a crash it
// goes on where it was. [BothSeats] makes the matches that evaluate a model beside
// another.
//
// # Endpoints
//
// [Endpoints] opens chat models by the names that evaluations of SOTOPIA use: a plain
// name is a model of the default endpoint, custom/NAME@URL one at another. Calls at
// one endpoint share a limit. Where an endpoint refuses a JSON schema, [Remote] asks
// it for a plainer one, then for a JSON object, then for text.
//
// # Concurrency
//
// Stores, [Remote], [Endpoints] and [PromptTemplate] are safe for concurrent use, and
// stores for use by several processes. An [Episode] may be read by many goroutines,
// and so may [Profiles]. The agents of matches that are played at once must be safe
// to share, or not be shared.
//
// # Determinism
//
// Reading, writing, items and selection depend on their input alone. [Play]
// depends on its agents and evaluator, and on the clock only for the id, which
// [WithID] sets. Waits between attempts of [Remote] have a random part.
package episode
