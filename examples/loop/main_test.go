package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
)

var command clitest.Program = func(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return run(args, stdin, stdout, stderr, small)
}

func TestMain(m *testing.M) { command.Main(m) }

// small is a loop that shows nothing but that everything runs.
func small(seed uint64) sizes {
	s := standard(seed)
	s.startEpisodes, s.episodes, s.evaluations, s.keepOf = 4, 2, 1, 2
	s.start.MaxSteps, s.start.EvalEvery = 8, 4
	s.sft.MaxSteps, s.sft.EvalEvery = 2, 1
	s.reward.MaxSteps, s.reward.EvalEvery = 2, 1
	s.grpo.MaxSteps, s.grpo.Group, s.grpo.MicroBatch, s.grpo.Accumulation, s.grpo.MaxCompletion = 2, 2, 2, 2, 8
	s.grpo.SaveEvery = 1
	return s
}

func TestUsage(t *testing.T) {
	command.Want(t, 2, "-rounds is -1", "-rounds", "-1")
	command.Want(t, 2, "-seed is 0", "-seed", "0")
	command.Want(t, 2, "-out is missing", "-out", "")
	command.Want(t, 2, "-concurrency is 0", "-concurrency", "0")
}

// A loop that is killed and interrupted ends in the same bytes as one that nothing happens
// to.
func TestLoopGoesOn(t *testing.T) {
	t.Parallel()
	clitest.Trial{
		Name: "loop", Args: []string{"-rounds", "2", "-scenarios", "3"},
		KillFirst: "policy-0 plays the evaluation", KillNext: "reward model: 2 of 2", Interrupt: "loop: round 2", Finish: "",
		Files: []string{
			"loop.json", "evaluation/policy-0.jsonl", "evaluation/policy-2.jsonl",
			"round-1/episodes.jsonl", "round-1/annotations.jsonl", "round-1/best.json", "round-1/records.json", "round-1/items.json",
			"round-1/sft/metrics.jsonl", "round-1/reward/metrics.jsonl", "round-2/grpo/metrics.jsonl",
		},
	}.Run(t)
}

// The table has a line for each policy; more rounds go on from the rounds before, and
// other settings are refused.
func TestMoreRounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for rounds := range 2 {
		code, out, errs := command.Run("", "-out", dir, "-scenarios", "3", "-rounds", fmt.Sprint(rounds))
		if code != 0 || strings.Count(out, "policy-") != rounds+1 || !strings.Contains(out, "goal") {
			t.Fatalf("%d rounds: exit code %d\n%s%s", rounds, code, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "round-1", "grpo", "adapter")); err != nil {
		t.Error(err)
	}
	command.Want(t, 1, "episodes was 2, now 5", "-out", dir, "-scenarios", "3", "-episodes", "5")
}
