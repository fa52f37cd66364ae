package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/arena/arenatest"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/fixtures"
)

var command clitest.Program = run

// folder holds the model of the tests.
var folder string

func TestMain(m *testing.M) { arenatest.Main(m, command, &folder) }

// flags are those of an evaluation of two local policies by a judge.
func flags(judge string, more ...string) []string {
	in := func(name string) string { return filepath.Join(folder, name) }
	return append([]string{
		"-model", in("model"), "-dtype", "f32", "-prompt", in("prompt.txt"), "-max-tokens", "48",
		"-agent", "base=local", "-partner", "adapted=local:" + in("adapter"), "-judge", "rule=custom/rule@" + judge + "/v1",
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

// checkPlay holds episodes to what an evaluation is worth something with: models that
// act, and every scenario in both seats.
func checkPlay(t *testing.T, all []*episode.Episode) {
	t.Helper()
	var replies episode.ReplyStats
	turns, seats := 0, map[string]int{}
	for _, e := range all {
		both, err := e.Replies()
		if err != nil || e.Failed() {
			t.Fatalf("%s: %v, failed %t", e.ID, err, e.Failed())
		}
		replies.Add(both[0])
		replies.Add(both[1])
		turns += len(e.RawMessages) - 1
		seats[e.EnvironmentID+" "+e.Models[1]]++
	}
	if len(all) != 28 || len(seats) != 28 {
		t.Errorf("%d episodes of %d environments and seats, want 28", len(all), len(seats))
	}
	mean := float64(turns) / float64(len(all))
	if replies.Parsed() < 0.9 || replies.Replies < 28 || mean < 8 {
		t.Errorf("%+v, %.1f turns: the models do not act", replies, mean)
	}
	t.Logf("%d replies, %.1f%% read as they were, %d repaired, %d lost, %.1f turns an episode", replies.Replies, 100*replies.Parsed(), replies.Repaired, replies.Lost, mean)
}

// Killed twice and interrupted once, an evaluation ends with the table, and with the
// episodes, of one that nothing happened to.
func TestEvaluateGoesOnAfterKills(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted here")
	}
	judge := arenatest.Judge(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	code, want, stderr := command.Run("", flags(judge.URL, "-out", in("whole"), "-jsonl", in("whole.jsonl"))...)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		fate string
		code int
	}{{"kill evaluate: 3 of 28", -1}, {"interrupt evaluate: 12 of 28", 1}, {"kill evaluate: 20 of 28", -1}} {
		if code, stderr := clitest.Start(t, c.fate, flags(judge.URL, "-out", in("broken"))...); code != c.code {
			t.Fatalf("%s: exit code %d, want %d\n%s", c.fate, code, c.code, stderr)
		}
	}
	code, got, stderr := command.Run("", flags(judge.URL, "-out", in("broken"), "-jsonl", in("broken.jsonl"))...)
	if code != 0 || !strings.Contains(stderr, " stored") || strings.Contains(stderr, "evaluate: 1 of 28") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if d := cmp.Diff(want, got); d != "" || !strings.Contains(got, "adapted") {
		t.Errorf("the tables differ:\n%s\n%s", d, got)
	}
	whole, broken := readAll(t, in("whole.jsonl")), readAll(t, in("broken.jsonl"))
	checkPlay(t, whole)
	for i := range whole {
		if whole[i].ID != broken[i].ID || whole[i].SocialInteractions != broken[i].SocialInteractions || whole[i].Reasoning != broken[i].Reasoning {
			t.Errorf("episode %d is another", i)
		}
	}
}

// The published scenarios, with their agents and pairings.
func TestEvaluateOnPublishedScenarios(t *testing.T) {
	judge := arenatest.Judge(t)
	dir := t.TempDir()
	profiles := filepath.Dir(fixtures.Data(t, "sotopia", "agents.jsonl"))
	code, table, stderr := command.Run("", flags(judge.URL, "-profiles", profiles, "-max-turns", "10", "-out", filepath.Join(dir, "out"),
		"-jsonl", filepath.Join(dir, "all.jsonl"), "-json", filepath.Join(dir, "figures.json"), "-html", filepath.Join(dir, "page.html"))...)
	if code != 0 || !strings.Contains(table, "base") {
		t.Fatalf("exit code %d\n%s%s", code, stderr, table)
	}
	checkPlay(t, readAll(t, filepath.Join(dir, "all.jsonl")))
	for _, name := range []string{"figures.json", "page.html"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUsage(t *testing.T) {
	command.Want(t, 2, "-agent is missing", "-judge", "x", "-out", "y")
	command.Want(t, 2, "-judge is missing", "-agent", "x", "-out", "y")
	command.Want(t, 2, "-out is missing", "-agent", "x", "-judge", "y")
	command.Want(t, 2, `-order is "z"`, "-agent", "x", "-judge", "y", "-out", "z", "-order", "z")
	command.Want(t, 2, "-pairings is -1", "-agent", "x", "-judge", "y", "-out", "z", "-pairings", "-1")
	out := t.TempDir()
	judge := "custom/j@http://127.0.0.1:1/v1"
	for missing, agent := range map[string]string{"-model": "local", "-reward-model": "best3:custom/a@http://127.0.0.1:1/v1"} {
		code, _, stderr := command.Run("", "-agent", agent, "-judge", judge, "-out", out)
		if code != 2 || !strings.Contains(stderr, missing+" is missing") {
			t.Errorf("%s: exit code %d, %s", agent, code, stderr)
		}
	}
	command.Want(t, 1, `environment "nowhere": not found`, "-agent", "human", "-judge", judge, "-out", out, "-task", "nowhere")
	command.Want(t, 1, "agents.jsonl", "-agent", "human", "-judge", judge, "-out", out, "-profiles", filepath.Join(out, "none"))
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
		with := strings.NewReplacer("DIR", dir, "FIRST", "-agent")
		args := append([]string{"-agent", model, "-judge", model, "-out", filepath.Join(dir, "out")}, strings.Fields(with.Replace(c.flags))...)
		before := dirtest.Names(t, dir)
		code, stdout, stderr := command.Run("", args...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if want := with.Replace(c.text); code != c.code || !strings.Contains(lines[len(lines)-1], want) || strings.Count(stderr, "\nevaluate: ") > 1 {
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
