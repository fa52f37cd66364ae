package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

var command clitest.Program = run

// folder holds what the tests share: the model in folder/model, and items.json.
var folder string

func TestMain(m *testing.M) {
	command.Child()
	os.Exit(func() int {
		var err error
		if folder, err = os.MkdirTemp("", "sft"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		if err := tiny.Write(filepath.Join(folder, "model")); err != nil {
			panic(err)
		}
		if err := os.WriteFile(file("items.json"), items(), 0o644); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func file(name string) string { return filepath.Join(folder, name) }

// items are four turns each of six dialogues, whose prompts begin alike.
func items() []byte {
	type item struct {
		Input   string `json:"input"`
		Output  string `json:"output"`
		Episode string `json:"episode_id"`
		Agent   string `json:"agent"`
		Turn    int    `json:"turn"`
	}
	var out []item
	for e := range 6 {
		history := fmt.Sprintf("Scene %d.", e)
		for turn := range 4 {
			out = append(out, item{history, fmt.Sprintf(`{"action_type": "speak", "argument": "yes %d"}`, turn), fmt.Sprint("e", e), "Ann", turn})
			history += fmt.Sprintf(" Turn %d: yes.", turn)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return text
}

// quick are the flags of a run of a second.
func quick(out string, more ...string) []string {
	return append([]string{"-model", file("model"), "-data", file("items.json"), "-out", out, "-dtype", "f32", "-batch", "4", "-epochs", "2",
		"-held-out", "0.2", "-eval-every", "2", "-lr", "0.01", "-targets", "all"}, more...)
}

func TestTrainingLowersTheHeldOutLoss(t *testing.T) {
	t.Parallel()
	out, merged := t.TempDir(), t.TempDir()
	code, stdout, stderr := command.Run("", quick(out, "-export", merged)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"items 24, too long 0", "steps 10, skipped 0, best after", "times fewer", "adapter " + filepath.Join(out, "adapter")} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	for _, want := range []string{"sft -agent=both -alpha=64 -batch=4 ", "-dropout=0.05", "-seed=42", "sft: step 10: held-out loss"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
	losses := evaluations(t, out)
	if n := len(losses); n != 6 || !(losses[n-1] < losses[0]-0.1) {
		t.Errorf("held-out losses %v", losses)
	}
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	base, err := policy.LoadBase(eng, merged, lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.LoadAdapter(base, filepath.Join(out, "adapter")); err != nil {
		t.Error(err)
	}
}

// evaluations returns the held-out losses of a run.
func evaluations(t *testing.T, out string) []float64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for line := range strings.Lines(string(text)) {
		var m map[string]float64
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if v, ok := m["eval_loss"]; ok {
			losses = append(losses, v)
		}
	}
	return losses
}

func TestFullFineTuning(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if code, _, stderr := command.Run("", quick(out, "-full", "-max-steps", "3")...); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	next := t.TempDir()
	code, _, stderr := command.Run("", quick(next, "-adapter", filepath.Join(out, "adapter"), "-max-steps", "1")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if first, before := evaluations(t, next)[0], evaluations(t, out); first != before[len(before)-1] {
		t.Errorf("goes on from a held-out loss of %v, the first run ended at %v", first, before)
	}
}

// Two dialogues of two environments, one of them not judged.
const episodes = `{"episode_id": "1", "environment_id": "a", "agents_background": {"Ann": "", "Bo": ""}, "rewards": [[3.5, {"goal": 7}], [3.0, {"goal": 6}]], "raw_messages": [[["Environment", "Ann", "Turn #0: hello"], ["Ann", "Environment", "said: \"Hi.\""]], [["Environment", "Bo", "Turn #1: Ann said hi"], ["Bo", "Environment", "said: \"Yes.\""]]]}
{"episode_id": "2", "environment_id": "b", "agents_background": {"Ann": "", "Bo": ""}, "rewards": [0.0, 0.0], "raw_messages": [[["Environment", "Ann", "Turn #0: hello"], ["Ann", "Environment", "left the conversation"]]]}
`

func TestEpisodesAsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := clitest.WriteFile(t, dir, "e.jsonl", episodes)
	head, tail := clitest.WriteFile(t, dir, "head", "{history}\n"), clitest.WriteFile(t, dir, "tail", "Turn {turn_number}.")
	for choice, want := range map[string]string{"all": "items 3,", "judged": "items 2,", "best": "items 2,"} {
		code, stdout, stderr := command.Run("", "-model", file("model"), "-data", data, "-out", filepath.Join(dir, choice), "-template-head", head,
			"-template-tail", tail, "-select", choice, "-held-out", "0", "-max-steps", "1")
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", choice, code, want, stdout, stderr)
		}
	}
}

// Wrong usage is told before anything is read.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"":                                            "-model is missing",
		"-model m":                                    "-data is missing",
		"-model m -data d":                            "-out is missing",
		"-modle m":                                    "not defined: -modle",
		"-model m -data d -out o x":                   `unexpected argument "x"`,
		"-model m -data d -out o -lr 0":               "-lr is 0",
		"-model m -data d -out o -batch 0":            "-batch is 0, want at least 1",
		"-model m -data d -out o -rank -1":            "-rank is -1, want at least 1",
		"-model m -data d -out o -dtype f8":           `-dtype is "f8", want f32, bf16, nf4 or int8`,
		"-model m -data d -out o -budget 9":           "-max-length 4096 is more than -budget 9",
		"-model m -data d -out o -select x":           `-select is "x", want best, judged or all`,
		"-model m -data d -out o -held-out 1":         "-held-out is 1",
		"-model m -data d -out o -schedule x":         `-schedule is "x", want linear, cosine, constant`,
		"-model m -data d -out o -full -adapter a":    "exclude each other",
		"-model m -data d -out o -template-tail file": "needs -template-head",
	} {
		command.Want(t, 2, want, strings.Fields(flags)...)
	}
	code, _, stderr := command.Run("", quick(file("none"), "-select", "best")...)
	if code != 2 || !strings.Contains(stderr, "items.json holds training items; ") {
		t.Errorf("a selection among items: exit code %d, %s", code, stderr)
	}
	if code, stdout, stderr := command.Run("", "-h"); code != 0 || stderr != "" || !strings.Contains(stdout, "-warmup") {
		t.Errorf("-h: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// A failure is told in one line behind the configuration, with file and place.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	write := func(name, text string) string { return clitest.WriteFile(t, dir, name, text) }
	first, _, _ := strings.Cut(episodes, "\n")
	for _, c := range []struct {
		why, data string
		want      []string
	}{
		{"a line that is cut off", write("cut.jsonl", episodes+first[:40]), []string{"cut.jsonl:3: "}},
		{"an item without output", write("item.json", `[{"input": "a", "output": "b"}, {"input": "c"}]`), []string{"item.json", "item 1", "lacks input or output"}},
		{"prompts cannot be rebuilt", write("old.jsonl", `{"episode_id": "x", "agents_background": {"A": "", "B": ""}}`), []string{"old.jsonl", "episode x", "no raw_messages"}},
		{"nothing to learn from", write("empty.json", "[]"), []string{"empty.json", "no training items"}},
		{"no such file", filepath.Join(dir, "none.json"), []string{"none.json"}},
	} {
		code, _, stderr := command.Run("", "-model", file("model"), "-data", c.data, "-out", out)
		_, line, _ := strings.Cut(stderr, "\nsft: ")
		for _, want := range c.want {
			if code != 1 || !strings.Contains(line, want) || strings.Count(line, "\n") != 1 {
				t.Errorf("%s: exit code %d, %q, want 1 and %q", c.why, code, line, want)
			}
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a run that could not start left a directory")
	}
}

// Folders that cannot be made are told before the first step, and a template that shows
// no reply is named as such.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := clitest.WriteFile(t, dir, "file", "")
	command.Refuses(t, dir, 1, "mkdir "+at, quick(at)...)
	command.Refuses(t, dir, 1, "mkdir "+filepath.Join(at, "x"), quick(filepath.Join(dir, "out"), "-export", filepath.Join(at, "x"))...)
	command.Refuses(t, dir, 2, "-device", quick(filepath.Join(dir, "out"), "-device", "cpu:")...)
	silent := clitest.WriteFile(t, dir, "silent.jinja", "Hello")
	command.Want(t, 1, "the chat template writes nothing of the reply", quick(filepath.Join(dir, "out"), "-template", silent)...)
}
