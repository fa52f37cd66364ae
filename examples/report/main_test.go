package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/dirtest"
)

// command runs the program and returns what it printed.
func command(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(args, strings.NewReader(""), &out, &errs); code != want {
		t.Fatalf("%q exits with %d, want %d: %s", args, code, want, errs.String())
	}
	return out.String(), errs.String()
}

// writeEpisodes writes n judged episodes of two models.
func writeEpisodes(t *testing.T, path string, n int) {
	t.Helper()
	var list []*episode.Episode
	for i := range n {
		r := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: float64(i % 5)})
		list = append(list, &episode.Episode{
			ID: fmt.Sprintf("e%d", i), EnvironmentID: fmt.Sprint(i % 3), Models: []string{"first", "ours", "theirs"},
			AgentsBackground: episode.Named{{Name: "Ann", Text: "Ann"}, {Name: "Bo", Text: "Bo"}},
			SocialGoals:      episode.Named{{Name: "Ann", Text: "win"}, {Name: "Bo", Text: "win"}},
			RawMessages:      [][]episode.LogMessage{{{Sender: "Ann", Receiver: episode.Environment, Text: `said: "Hello there"`}}},
			RawRewards:       []episode.Reward{r, r}, Rewards: []episode.Reward{r, r},
		})
	}
	var b bytes.Buffer
	if err := episode.WriteJSONL(&b, list...); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReportWritesEveryForm(t *testing.T) {
	dir := t.TempDir()
	in, html, md := filepath.Join(dir, "e.jsonl"), filepath.Join(dir, "r.html"), filepath.Join(dir, "r.md")
	writeEpisodes(t, in, 7)
	stdout, _ := command(t, 0, "-from", in, "-html", html, "-markdown", md, "-json", "-", "-title", "Run 7", "-resamples", "50")
	var figures struct {
		Episodes int
		Models   []struct{ Model string }
	}
	if err := json.Unmarshal([]byte(stdout), &figures); err != nil || figures.Episodes != 7 || len(figures.Models) != 2 {
		t.Errorf("%s, %v", stdout, err)
	}
	for path, want := range map[string]string{html: "<title>Run 7</title>", md: "# Run 7\n"} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q (%v)", path, want, err)
		}
	}
	plain, _ := command(t, 0, "-from", in, "-resamples", "50")
	if !strings.Contains(plain, "| ours | 7 | 0 |") {
		t.Errorf("without a file to write: %s", plain)
	}
}

// judgeServer answers as a judge that gives every agent the goal score 4, after one
// reply that cannot be used; it counts the calls.
func judgeServer(t *testing.T, calls *atomic.Int64) string {
	t.Helper()
	scores := map[string]any{}
	for _, d := range episode.Dimensions() {
		lo, _, _ := d.Range()
		scores[string(d)] = map[string]any{"reasoning": "it is so", "score": lo + 4}
	}
	good, err := json.Marshal(map[string]any{"agent_1": scores, "agent_2": scores})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		content := string(good)
		if calls.Add(1) == 1 {
			content = "I'd rather not."
		}
		err := json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]string{"role": "assistant", "content": content}}}})
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return "custom/judge@" + s.URL + "/v1"
}

// A second judge is asked about every episode once, and compared with the first.
func TestSecondJudge(t *testing.T) {
	dir := t.TempDir()
	in, second := filepath.Join(dir, "e.jsonl"), "dir:"+filepath.Join(dir, "second")
	writeEpisodes(t, in, 3)
	var calls atomic.Int64
	args := []string{"-from", in, "-second", second, "-judge", judgeServer(t, &calls), "-markdown", "-", "-resamples", "50"}
	first, _ := command(t, 0, args...)
	if calls.Load() != 4 {
		t.Errorf("%d calls for 3 episodes and one bad reply", calls.Load())
	}
	// goal 0, 1, 2 by the first judge, 4 by the second, for both agents
	if want := "| goal | 6 | 3.00 | +3.00 | – | 0% |"; !strings.Contains(first, want) {
		t.Errorf("the report lacks %q:\n%s", want, first)
	}
	writeEpisodes(t, in, 5)
	command(t, 0, args...)
	if calls.Load() != 6 {
		t.Errorf("%d calls after two more episodes, want 6", calls.Load())
	}
	again, _ := command(t, 0, "-from", in, "-second", second, "-resamples", "50")
	if !strings.Contains(again, "| goal | 10 |") || calls.Load() != 6 {
		t.Errorf("from the store alone: %d calls\n%s", calls.Load(), again)
	}
}

func TestWrongUse(t *testing.T) {
	dir := t.TempDir()
	empty, bad := filepath.Join(dir, "empty.jsonl"), filepath.Join(dir, "bad.jsonl")
	for path, text := range map[string]string{empty: "", bad: "{\"episode_id\": \"x\"}\nnot json\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why  string
		code int
		want string
		args []string
	}{
		{"no source", 2, "-from is missing", nil},
		{"two forms on one stream", 2, "standard output", []string{"-from", empty, "-markdown", "-", "-json", "-"}},
		{"verdicts would be lost", 2, "needs a store", []string{"-from", empty, "-judge", "m", "-second", "x.jsonl"}},
		{"nothing to report", 1, "no episode", []string{"-from", empty}},
		{"a broken line", 1, "bad.jsonl:2", []string{"-from", bad}},
		{"no such file", 1, "none.jsonl", []string{"-from", filepath.Join(dir, "none.jsonl")}},
	} {
		_, stderr := command(t, c.code, c.args...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "report: ") || !strings.Contains(last, c.want) {
			t.Errorf("%s: %q, want %q", c.why, last, c.want)
		}
	}
	if help, _ := command(t, 0, "-h"); !strings.Contains(help, "-credits") {
		t.Error("-h does not explain the flags")
	}
}

// A file that cannot be written, or a judge that cannot be asked, leaves nothing behind.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "episodes.jsonl")
	writeEpisodes(t, from, 2)
	store := "dir:" + filepath.Join(dir, "second")
	for want, args := range map[string][]string{
		"create " + filepath.Join(dir, "none", "x"): {"-second", store, "-judge", "custom/j@http://127.0.0.1:1/v1", "-html", filepath.Join(dir, "none", "x")},
		"custom/j":                             {"-second", store, "-judge", "custom/j", "-html", filepath.Join(dir, "r.html")},
		"stat " + filepath.Join(dir, "second"): {"-second", store},
	} {
		before := dirtest.Names(t, dir)
		if _, stderr := command(t, 1, append([]string{"-from", from}, args...)...); !strings.Contains(stderr, want) {
			t.Errorf("%q: printed %q", args, stderr)
		}
		if diff := cmp.Diff(before, dirtest.Names(t, dir)); diff != "" {
			t.Errorf("%q leaves something behind:\n%s", args, diff)
		}
	}
}
