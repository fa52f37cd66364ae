package main

import (
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
)

// A run that is killed after some step or interrupted, and started again each time,
// leaves the same bytes in every file as one that is not.
func TestKilledAndResumed(t *testing.T) {
	t.Parallel()
	clitest.Trial{
		Name: "sft", Args: quick(file("none")), // another -out follows
		KillFirst: "step 0: held-out", KillNext: "step 4: held-out", Interrupt: "step 6: held-out", Finish: "a step\n",
		Files: []string{"metrics.jsonl", "adapter/adapter_model.safetensors", "checkpoint-10/optimizer.safetensors"},
	}.Run(t)
}

// A run does not go on with other data or settings.
func TestResumeWithOtherSettings(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if code, _, stderr := command.Run("", quick(out, "-max-steps", "2")...); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	other := clitest.WriteFile(t, t.TempDir(), "other.json", `[{"input": "a", "output": "b"}]`)
	for want, flags := range map[string][]string{
		"Items was 24, now 1":       {"-data", other},
		"Alpha was 64, now 32":      {"-alpha", "32"},
		"Batch was 4, now 8":        {"-batch", "8"},
		"MaxLength was 4096, now 9": {"-max-length", "9"},
	} {
		command.Want(t, 1, want, quick(out, append([]string{"-max-steps", "2"}, flags...)...)...)
	}
}
