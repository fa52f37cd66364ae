package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
)

// files writes a model, a reward model over it and items of four episodes.
func files(t *testing.T) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	clitest.WriteModels(t, dir)
	text := `[{"input":"a","output":"","episode_id":"1"},{"input":"b","output":"","episode_id":"2"},
{"input":"c","output":"","episode_id":"3"},{"input":"d","output":"","episode_id":"4"}]`
	items := clitest.WriteFile(t, dir, "items.json", text)
	return dir, []string{"-model", filepath.Join(dir, "model"), "-dtype", "f32", "-data", items, "-reward-model", filepath.Join(dir, "rm"),
		"-words-weight", "0.5", "-words-limit", "1", "-group", "2", "-batch", "2", "-accumulation", "2", "-max-completion", "4", "-max-steps", "2", "-eval-every", "1", "-rank", "2"}
}

var command clitest.Program = run

func TestMain(m *testing.M) { command.Main(m) }

func TestTrain(t *testing.T) {
	dir, args := files(t)
	out := filepath.Join(dir, "out")
	args = append(args, "-out", out)
	for range 2 { // the second time there is nothing left to do
		code, stdout, stderr := command.Run("", args...)
		if code != 0 || stdout != "items 3, held out 1, evaluated on 1\nsteps 2\nadapter "+filepath.Join(out, "adapter")+"\n" {
			t.Fatalf("code %d, printed\n%s%s", code, stdout, stderr)
		}
	}
	metrics, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(metrics)), "\n")
	if len(lines) != 5 || !strings.Contains(lines[0], "eval_reward") || !strings.Contains(lines[1], "rewards/words_over/mean") {
		t.Errorf("%d lines of metrics, want 2 of steps and 3 of evaluations:\n%s", len(lines), metrics)
	}
	for _, name := range []string{"completions.jsonl", "adapter/adapter_model.safetensors", "reference/adapter_config.json", "checkpoint-2/optimizer.safetensors"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	command.Want(t, 1, "beta was 0.04, now 0.1", append(args, "-beta", "0.1")...)
	command.Want(t, 1, "Rank was 2, now 3", append(args, "-rank", "3")...)
}

// A reward model over a base of its own reads replies as text.
func TestRewardBase(t *testing.T) {
	dir, args := files(t)
	args = append(args, "-reward-base", filepath.Join(dir, "model"), "-out", filepath.Join(dir, "out"), "-max-steps", "1", "-eval-every", "0")
	if code, stdout, stderr := command.Run("", args...); code != 0 {
		t.Errorf("code %d, printed\n%s%s", code, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	_, good := files(t)
	for line, more := range map[string]string{
		"-out is missing":                                "",
		"no loss is called \"ppo\"":                      "-out o -loss ppo",
		"Schedule is wavy, want linear":                  "-out o -schedule wavy",
		"Group is 1, want at least 2":                    "-out o -group 1",
		"want a multiple of Group, 3":                    "-out o -group 3",
		"-data is missing":                               "-out o -data=",
		"-held-out is 2":                                 "-out o -held-out 2",
		"-eval-items is 0":                               "-out o -eval-items 0",
		"nothing is rewarded":                            "-out o -reward-model= -words-weight 0",
		"-reward-base needs -reward-model":               "-out o -reward-model= -reward-base b",
		"unexpected argument \"x\"":                      "-out o x",
		"-dtype is \"f16\", want f32, bf16, nf4 or int8": "-out o -dtype f16",
		"-select is \"worst\", want best, judged":        "-out o -select worst",
	} {
		command.Want(t, 2, line, append(append([]string{}, good...), strings.Fields(more)...)...)
	}
	command.Want(t, 1, "no-such-file", append(append([]string{}, good...), "-out", "o", "-data", "no-such-file")...)
}

// A run that is killed or interrupted and started again leaves the same bytes in
// every file as one that is not.
func TestKilledAndResumed(t *testing.T) {
	_, args := files(t)
	clitest.Trial{
		Name: "grpo", Args: append(args, "-max-steps", "6", "-save-every", "2", "-passes", "2", "-eval-every", "2"),
		KillFirst: "step 0: reward", KillNext: "step 4: reward", Interrupt: "step 4: reward",
		Files: []string{"metrics.jsonl", "adapter/adapter_model.safetensors"},
	}.Run(t)
}

// What makes no sense is refused before the run has a folder.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir, good := files(t)
	for more, want := range map[string]string{
		"-top-k -1":              "TopK is -1",
		"-top-p 2":               "TopP is 2",
		"-min-p NaN":             "MinP is NaN",
		"-repetition-penalty -1": "RepetitionPenalty is -1",
		"-weight-decay NaN":      "AdamW.WeightDecay is NaN",
		"-clip NaN":              "AdamW.Clip is NaN",
		"-reward-weight NaN":     "-reward-weight is NaN",
		"-words-limit -1":        "-words-limit is -1",
		"-eval-samples 0":        "-eval-samples is 0",
		"-device cuda:0:f16":     `-device: lora: engine "cuda:0:f16"`,
	} {
		command.Refuses(t, dir, 2, want, append(append([]string{}, good...), append(strings.Fields(more), "-out", filepath.Join(dir, "out"))...)...)
	}
	file := clitest.WriteFile(t, dir, "file", "")
	command.Refuses(t, dir, 1, "mkdir "+filepath.Join(file, "x"), append(good, "-out", filepath.Join(file, "x"))...)
}
