package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/examples/internal/fate"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// files writes a model, a reward model over it and items of four episodes.
func files(t *testing.T) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	model, rm, items := filepath.Join(dir, "model"), filepath.Join(dir, "rm"), filepath.Join(dir, "items.json")
	if err := tiny.Write(model); err != nil {
		t.Fatal(err)
	}
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	base, err := policy.LoadBase(eng, model, lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	m, err := reward.New(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(rm); err != nil {
		t.Fatal(err)
	}
	text := `[{"input":"a","output":"","episode_id":"1"},{"input":"b","output":"","episode_id":"2"},
{"input":"c","output":"","episode_id":"3"},{"input":"d","output":"","episode_id":"4"}]`
	if err := os.WriteFile(items, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"-model", model, "-dtype", "f32", "-data", items, "-reward-model", rm, "-words-weight", "0.5", "-words-limit", "1",
		"-group", "2", "-batch", "2", "-accumulation", "2", "-max-completion", "4", "-max-steps", "2", "-eval-every", "1", "-rank", "2"}
}

func TestMain(m *testing.M) {
	fate.Child(run)
	os.Exit(m.Run())
}

// call runs the program and returns its exit code and what it printed.
func call(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, nil, &out, &err)
	return code, out.String(), err.String()
}

// want fails the test unless the program ends with a code and a last line.
func want(t *testing.T, code int, line string, args ...string) {
	t.Helper()
	got, stdout, stderr := call(args...)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if got != code || !strings.Contains(lines[len(lines)-1], line) {
		t.Errorf("%s: code %d, want %d and %q; printed\n%s%s", args, got, code, line, stdout, stderr)
	}
}

func TestTrain(t *testing.T) {
	dir, args := files(t)
	out := filepath.Join(dir, "out")
	args = append(args, "-out", out)
	for range 2 { // the second time there is nothing left to do
		code, stdout, stderr := call(args...)
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
	want(t, 1, "beta was 0.04, now 0.1", append(args, "-beta", "0.1")...)
	want(t, 1, "Rank was 2, now 3", append(args, "-rank", "3")...)
}

// A reward model over a base of its own reads replies as text.
func TestRewardBase(t *testing.T) {
	dir, args := files(t)
	args = append(args, "-reward-base", filepath.Join(dir, "model"), "-out", filepath.Join(dir, "out"), "-max-steps", "1", "-eval-every", "0")
	if code, stdout, stderr := call(args...); code != 0 {
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
		want(t, 2, line, append(append([]string{}, good...), strings.Fields(more)...)...)
	}
	want(t, 1, "no-such-file", append(append([]string{}, good...), "-out", "o", "-data", "no-such-file")...)
}

// A run that is killed or interrupted and started again leaves the same bytes in
// every file as one that is not.
func TestKilledAndResumed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted here")
	}
	dir, args := files(t)
	args = append(args, "-max-steps", "6", "-save-every", "2", "-passes", "2", "-eval-every", "2")
	in := func(name string) []string { return append(slices.Clone(args), "-out", filepath.Join(dir, name)) }
	if code, stderr := fate.Start(t, "none", in("whole")...); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, c := range []struct {
		fate string
		code int
		want string // how the last line ends
	}{
		{"kill step 0: reward", -1, ""}, // before any checkpoint
		{"kill step 4: reward", -1, ""}, // behind a step and before its checkpoint
		{"interrupt step 4: reward", 1, "grpo: interrupted; start again to go on\n"},
		{"none", 0, ""},
		{"none", 0, ""}, // what is finished stays
	} {
		if code, stderr := fate.Start(t, c.fate, in("broken")...); code != c.code || !strings.HasSuffix(stderr, c.want) {
			t.Fatalf("%s: exit code %d, want %d and %q:\n%s", c.fate, code, c.code, c.want, stderr)
		}
	}
	want, got := fate.Files(t, filepath.Join(dir, "whole")), fate.Files(t, filepath.Join(dir, "broken"))
	if want["metrics.jsonl"] == "" || want["adapter/adapter_model.safetensors"] == "" {
		t.Errorf("files %v", slices.Sorted(maps.Keys(want)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
