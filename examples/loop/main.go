// Command loop goes round the whole method several times: a policy plays episodes, a
// judge scores them, the scores are attributed to utterances, the policy is trained on
// what came out, and plays again.
//
//	loop -rounds 3                          in the miniature world, in minutes, offline
//	loop -rounds 1 -model DIR -profiles DIR -judge custom/NAME@http://HOST:PORT/v1
//	                                        a model of yours on scenarios of SOTOPIA
//
// Each round the policy of the round before plays the training scenarios; the best of its
// own episodes are cloned (SFT); the credits of all utterances so far make records, and
// these a reward model; GRPO then answers the prompts of its turns. After every round the policy
// plays scenarios that nothing is learned from. The table at the end has a line for each
// policy, policy-0 being the one that the first round began with.
//
// The directory OUT holds for each round the episodes (SOTOPIA's format), credits, items,
// records and runs, in files that the programs of the stages read and write:
//
//	OUT/start                        what the first policy is cloned from, and its run
//	OUT/evaluation/policy-R.jsonl    episodes of the policy after round R
//	OUT/round-R/episodes.jsonl       episodes to learn from
//	OUT/round-R/annotations.jsonl    credits
//	OUT/round-R/best.json            items that are cloned
//	OUT/round-R/records.json         reward records
//	OUT/round-R/items.json           prompts of GRPO
//	OUT/round-R/sft, reward, grpo    runs; grpo/adapter is the policy after the round
//
// Stopped by Ctrl-C or killed, the same command goes on where it was, and ends in the
// same bytes. With more rounds it goes further. The exit code is 0 on success, 1 on
// failure and 2 on wrong usage.
package main

import (
	"context"
	"io"
	"os"

	"github.com/socialrl/socialrl/examples/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, standard)) }

// run is the program; it returns the exit code. size says how much of everything there
// is where the flags do not.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, size func(seed uint64) sizes) int {
	return cli.Run("loop", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, func(ctx context.Context, args []string, s cli.Streams) error {
		f, err := parse(args, s, size)
		if err != nil {
			return err
		}
		g, err := f.ground(s.Err)
		if err != nil {
			return err
		}
		defer g.close()
		l := &loop{settings: f, ground: g, Streams: s}
		return l.run(ctx)
	})
}
