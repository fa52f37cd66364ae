package main

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/arena/arenatest"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

var command clitest.Program = run

// folder holds the models of the tests.
var folder string

func TestMain(m *testing.M) { arenatest.Main(m, command, &folder) }

// flags are those of short episodes of the model in n of the miniature world's scenes.
func flags(n int, more ...string) []string {
	var task []string
	for _, env := range world.Profiles().Environments[:n] {
		task = append(task, env.ID)
	}
	return append([]string{
		"-model", filepath.Join(folder, "model"), "-dtype", "f32", "-prompt", filepath.Join(folder, "prompt.txt"),
		"-max-tokens", "48", "-max-turns", "6", "-task", strings.Join(task, ","),
	}, more...)
}

func readAll(t *testing.T, path string) []*episode.Episode {
	t.Helper()
	var all []*episode.Episode
	for e, err := range episode.ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// Killed and started again, the program plays what is missing, and leaves the file and
// the summary of a run that nothing happened to.
func TestSelfplayGoesOnAfterKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be killed in this way here")
	}
	dir := t.TempDir()
	args := func(name string) []string {
		return flags(2, "-agent1", "base=local", "-agent2", "adapted=local:"+filepath.Join(folder, "adapter"), "-episodes", "2",
			"-out", filepath.Join(dir, name), "-jsonl", filepath.Join(dir, name+".jsonl"))
	}
	code, want, stderr := command.Run("", args("whole")...)
	if code != 0 {
		t.Fatal(stderr)
	}
	if code, stderr := clitest.Start(t, "kill selfplay: 2 of 4", args("broken")...); code != -1 {
		t.Fatalf("exit code %d, want -1\n%s", code, stderr)
	}
	for range 2 { // the second time nothing is left to play
		code, got, stderr := command.Run("", args("broken")...)
		if code != 0 || got != want || !strings.Contains(stderr, " stored") {
			t.Fatalf("exit code %d\n%s%s\nwant %s", code, got, stderr, want)
		}
		if d := cmp.Diff(clitest.ReadFile(t, filepath.Join(dir, "whole.jsonl")), clitest.ReadFile(t, filepath.Join(dir, "broken.jsonl"))); d != "" {
			t.Error(d)
		}
	}
	all := readAll(t, filepath.Join(dir, "whole.jsonl"))
	played := map[string]bool{}
	for _, e := range all {
		if played[e.SocialInteractions] = true; e.Tag != "selfplay" || e.Models[1] != "base" || e.Models[2] != "adapted" {
			t.Errorf("%s: tag %q, models %q", e.ID, e.Tag, e.Models)
		}
	}
	if len(all) != 4 || len(played) != 4 {
		t.Errorf("%d episodes, %d of them different, want 4", len(all), len(played))
	}
}

// writeRewardModel writes a reward model over the model of the tests.
func writeRewardModel(t *testing.T) string {
	t.Helper()
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	base, err := policy.LoadBase(eng, filepath.Join(folder, "model"), lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	m, err := reward.New(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "rm")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A player called best3: draws three replies for each of its turns, and its partner one;
// all of them are actions as they stand.
func TestBestOfSeveral(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := command.Run("", flags(1, "-agent1", "best=best3:local", "-agent2", "plain=local", "-reward-model", writeRewardModel(t),
		"-out", filepath.Join(dir, "out"), "-jsonl", filepath.Join(dir, "all.jsonl"))...)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, e := range readAll(t, filepath.Join(dir, "all.jsonl")) {
		replies, err := e.Replies()
		if err != nil {
			t.Fatal(err)
		}
		turns := len(e.RawMessages) - 1
		if first, second := (turns+1)/2, turns/2; replies[0].Replies != 3*first || replies[1].Replies != second || second == 0 {
			t.Errorf("%+v replies in %d turns", replies, turns)
		}
		if replies[0].Parsed() != 1 || replies[1].Parsed() != 1 {
			t.Errorf("%+v: not every reply is an action", replies)
		}
	}
}

// A person plays one episode after the other, though many could be played at once, and
// leaves at the end of the input.
func TestHumanPlaysOneEpisodeAtATime(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := command.Run("Good day\n/show waves\n/leave\nHello again\n", flags(3, "-agent1", "human", "-agent2", "local",
		"-out", filepath.Join(dir, "out"), "-jsonl", filepath.Join(dir, "all.jsonl"))...)
	if code != 0 {
		t.Fatal(stderr)
	}
	var lines []string
	for _, e := range readAll(t, filepath.Join(dir, "all.jsonl")) {
		for _, u := range e.Utterances() {
			if u.Speaker == e.Agents()[0] {
				lines = append(lines, u.Text)
			}
		}
	}
	const left = "left the conversation"
	want := []string{`said: "Good day"`, "[non-verbal communication] waves", left, `said: "Hello again"`, left, left}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("%s\n%s", d, stdout)
	}
}

func TestUsage(t *testing.T) {
	out := t.TempDir()
	command.Want(t, 2, "-agent1 is missing", "-out", out)
	command.Want(t, 2, "-out is missing", "-agent1", "human")
	command.Want(t, 2, "-episodes is 0", "-agent1", "human", "-out", out, "-episodes", "0")
	for spec, want := range map[string]string{ // found once the settings are printed
		"best3:custom/a@http://127.0.0.1:1/v1": "-reward-model is missing", "human": "both players are human",
	} {
		if code, _, stderr := command.Run("", "-agent1", spec, "-out", out); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, want 2 and %q:\n%s", spec, code, want, stderr)
		}
	}
	command.Want(t, 1, `player "best0:local": best of 0`, "-agent1", "best0:local", "-out", out)
	command.Want(t, 1, `player "x=": want [NAME=][bestN:]MODEL`, "-agent1", "x=", "-out", out)
}

// A mistake that is found before the first episode leaves no store behind, and outputs
// that cannot be written are told before anything is played.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	file := clitest.WriteFile(t, dir, "file", "kept")
	model := "custom/m@http://127.0.0.1:1/v1"
	for _, c := range []struct {
		text  string // in the line that is printed
		code  int
		flags string
	}{
		{"none/agents.jsonl", 1, "-profiles DIR/none"},
		{"file/agents.jsonl", 1, "-profiles DIR/file"},
		{`environment "nowhere": not found`, 1, "-task nowhere"},
		{"best of 0", 1, "FIRST best0:x"},
		{"none/config.json", 1, "FIRST local -model DIR/none"},
		{"-model is missing", 2, "FIRST local"},
		{"-reward-model is missing", 2, "FIRST best2:" + model},
		{"open DIR/none", 1, "-prompt DIR/none"},
		{"-device", 2, "-device nonsense"},
		{"mkdir DIR/file: ", 1, "-out DIR/file"},
		{"mkdir DIR/file/x: ", 1, "-out DIR/file/x"},
		{"redis 127.0.0.1:1: ", 1, "-out redis://127.0.0.1:1"},
		{"redis 127.0.0.1:1: ", 1, "-redis redis://127.0.0.1:1"},
		{"create DIR/none/x: ", 1, "-jsonl DIR/none/x"},
		{"create DIR: ", 1, "-jsonl DIR"},
	} {
		with := strings.NewReplacer("DIR", dir, "FIRST", "-agent1")
		args := append([]string{"-agent1", model, "-judge", model, "-out", filepath.Join(dir, "out")}, strings.Fields(with.Replace(c.flags))...)
		before := dirtest.Names(t, dir)
		code, stdout, stderr := command.Run("", args...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if want := with.Replace(c.text); code != c.code || !strings.Contains(lines[len(lines)-1], want) || strings.Count(stderr, "\nselfplay: ") > 1 {
			t.Errorf("%q: exit code %d, want %d and %q; printed\n%s%s", c.flags, code, c.code, want, stdout, stderr)
		}
		if d := cmp.Diff(before, dirtest.Names(t, dir)); d != "" {
			t.Errorf("%q leaves something behind:\n%s", c.flags, d)
		}
	}
	if clitest.ReadFile(t, file) != "kept" {
		t.Error("the file was written to")
	}
}
