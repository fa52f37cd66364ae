package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/fixtures"
)

var command clitest.Program = run

// Three dialogues: the first two of one environment, of which the second ended
// better for both; nobody judged the third.
const three = `{"episode_id": "E1", "environment_id": "a", "experiment_tag": "x", "experiment_model_name_pairs": ["j", "m1", "m1"], "agents_background": {"Ann": "", "Bo": ""}, "raw_messages": [[["Environment", "Ann", "Turn #0: hello"], ["Ann", "Environment", "said: \"One two three.\""]], [["Environment", "Bo", "Turn #1: Ann said hi"], ["Bo", "Environment", "did nothing"]]], "rewards": [[3.5, {"goal": 7, "overall_score": 3.5}], [3.0, {"goal": 6, "overall_score": 3.0}]]}
{"episode_id": "E2", "environment_id": "a", "experiment_tag": "y", "experiment_model_name_pairs": ["j", "m1", "m2"], "agents_background": {"Ann": "", "Bo": ""}, "raw_messages": [[["Environment", "Ann", "Turn #0: hello"], ["Ann", "Environment", "said: \"Two.\""]], [["Environment", "Bo", "Turn #1: Ann said two"], ["Bo", "Environment", "left the conversation"]]], "rewards": [[4.0, {"goal": 8, "overall_score": 4.0}], [4.5, {"goal": 9, "overall_score": 4.5}]]}
{"episode_id": "E3", "environment_id": "b", "experiment_tag": "x", "agents_background": {"Ann": "", "Bo": ""}, "raw_messages": [[["Environment", "Ann", "Turn #0: hello"], ["Ann", "Environment", "[action] waves"]]], "rewards": [0.0, 0.0]}
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	return clitest.WriteFile(t, t.TempDir(), name, text)
}

func must(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := command.Run(stdin, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	return stdout, stderr
}

// Through a directory, a Redis database and back episodes stay as they are.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	roundTrip(t, write(t, "three.jsonl", three))
}

func TestRoundTripOfPublishedEpisodes(t *testing.T) {
	t.Parallel()
	roundTrip(t, fixtures.Data(t, "episodes", "full.jsonl"))
}

func roundTrip(t *testing.T, source string) {
	server := miniredis.RunT(t)
	server.RequireAuth("hidden")
	dir, redis, out := "dir:"+filepath.Join(t.TempDir(), "store"), "redis://:hidden@"+server.Addr()+"/0", filepath.Join(t.TempDir(), "out.jsonl")
	for _, step := range [][2]string{{source, dir}, {dir, redis}, {redis, out}} {
		if _, stderr := must(t, "", "-from", step[0], "-to", step[1]); strings.Contains(stderr, "hidden") {
			t.Errorf("the password is shown:\n%s", stderr)
		}
	}
	want, got := sortedLines(clitest.ReadFile(t, source)), sortedLines(clitest.ReadFile(t, out))
	if !slices.Equal(got, want) {
		t.Errorf("%d lines in, %d out, or changed ones", len(want), len(got))
	}
}

// sortedLines brings lines into one order: stores return episodes by id.
func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return lines
}

func TestFilters(t *testing.T) {
	t.Parallel()
	dir := "dir:" + filepath.Join(t.TempDir(), "store")
	must(t, three, "-from", "-", "-to", dir)
	for flags, want := range map[string]string{
		"":                      "E1 E2 E3",
		"-tag x":                "E1 E3",
		"-environment a":        "E1 E2",
		"-tag x -environment a": "E1",
		"-agent-model m1":       "E1", // both agents
		"-tag z":                "",
	} {
		for source, stdin := range map[string]string{"-": three, dir: ""} {
			stdout, _ := must(t, stdin, append([]string{"-from", source, "-to", "-"}, strings.Fields(flags)...)...)
			var ids []string
			for e, err := range episode.ReadJSONL(strings.NewReader(stdout)) {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, e.ID)
			}
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("%q of %s: %q, want %q", flags, source, got, want)
			}
		}
	}
}

func TestItems(t *testing.T) {
	t.Parallel()
	head, tail := write(t, "head", "{agent}|{history}|"), write(t, "tail", "{turn_number}")
	for flags, want := range map[string][]string{
		"":                            {"Ann E1 0", "Ann E2 0", "Bo E2 1", "Ann E3 0"}, // who did nothing gives no item
		"-select judged":              {"Ann E1 0", "Ann E2 0", "Bo E2 1"},
		"-select best":                {"Ann E2 0", "Bo E2 1"},
		"-select judged -agent first": {"Ann E1 0", "Ann E2 0"},
		"-agent second":               {"Bo E2 1"},
		"-agent Bo -tag x":            nil,
	} {
		args := append([]string{"-from", "-", "-items", "-", "-template-head", head, "-template-tail", tail}, strings.Fields(flags)...)
		stdout, _ := must(t, three, args...)
		var got []string
		for item, err := range episode.ReadItems(strings.NewReader(stdout)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, item.Agent+" "+item.EpisodeID+" "+string(rune('0'+item.Turn)))
			if !strings.HasPrefix(item.Input, item.Agent+"|Turn #0: hello") && item.Turn == 0 {
				t.Errorf("prompt %q", item.Input)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", flags, got, want)
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	got, _ := must(t, three, "-from", "-", "-stats")
	const want = `episodes 3, environments 2, not judged 1, without raw messages 0
utterances 4, 1.3 an episode, 1.2 words each
tag "x": 2
tag "y": 1
model      agents  BEL  REL  KNO  SEC  SOC  FIN  GOAL  OVERALL
(unknown)  2       -    -    -    -    -    -    -     -
m1         3       -    -    -    -    -    -    7.00  3.50
m2         1       -    -    -    -    -    -    9.00  4.50
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"":                                  "-from is missing",
		"-from -":                           "nothing to do",
		"-from - -to - -stats":              "only one of",
		"-from - -to x -select best":        "-select needs -items",
		"-from - -items x -select most":     `-select is "most"`,
		"-from - -items x -template-tail f": "-template-tail needs",
		"-from dir:x -to y -skip-bad":       "-skip-bad is about lines",
		"-from - -to x y":                   `unexpected argument "y"`,
	} {
		command.Want(t, 2, want, strings.Fields(flags)...)
	}
}

// A bad line is told with file and line, and leaves the old output as it was.
func TestBadLine(t *testing.T) {
	t.Parallel()
	bad, out := write(t, "bad.jsonl", "{\"episode_id\": 1}\n"+three), write(t, "out.jsonl", "old\n")
	code, _, stderr := command.Run("", "-from", bad, "-to", out)
	if code != 1 || !strings.Contains(stderr, "\nepisodes: "+bad+":1: ") || clitest.ReadFile(t, out) != "old\n" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	_, stderr = must(t, "", "-from", bad, "-to", out, "-skip-bad")
	if clitest.ReadFile(t, out) != three || !strings.Contains(stderr, "3 episodes, 1 passed over") {
		t.Errorf("%s%s", stderr, clitest.ReadFile(t, out))
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	noMessages := `{"episode_id": "E", "agents_background": {"A": "", "B": ""}}`
	for _, c := range []struct {
		why, stdin string
		args       []string
		want       string
	}{
		{"a file that is not there", "", []string{"-from", "none.jsonl", "-to", "-"}, "none.jsonl"},
		{"a folder that is not there", three, []string{"-from", "-", "-to", "none/x.jsonl"}, "none"},
		{"prompts that cannot be rebuilt", noMessages, []string{"-from", "-", "-items", "-"}, "standard input: episode E has no raw_messages"},
		{"a server that is not there", "", []string{"-from", "redis://:hidden@127.0.0.1:1/0", "-to", "-"}, "127.0.0.1:1"},
	} {
		code, _, stderr := command.Run(c.stdin, c.args...)
		_, line, _ := strings.Cut(stderr, "\nepisodes: ")
		if code != 1 || !strings.Contains(line, c.want) || strings.Contains(stderr, "hidden") {
			t.Errorf("%s: exit code %d, %q, want 1 and %q", c.why, code, line, c.want)
		}
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a folder was made")
	}
}

// Places that cannot be read or written are told before anything is made.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := clitest.WriteFile(t, dir, "in.jsonl", three)
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct{ text, from, to, items, head string }{
		{"stat " + path("none"), path("none"), "dir:" + path("store"), "", ""},
		{"stat " + path("none"), "dir:" + path("none"), path("out.jsonl"), "", ""},
		{"create " + path("none/x"), in, path("none/x"), path("items.json"), ""},
		{"create " + path("none/x"), in, path("out.jsonl"), path("none/x"), ""},
		{"create " + dir, in, "dir:" + path("store"), dir, ""},
		{"none", in, "dir:" + path("store"), path("items.json"), path("none")},
		{"in.jsonl", in, "dir:" + in, path("items.json"), ""},
	} {
		args := []string{"-from", c.from, "-to", c.to}
		if c.items != "" {
			args = append(args, "-items", c.items, "-template-head", c.head)
		}
		command.Refuses(t, dir, 1, c.text, args...)
	}
}
