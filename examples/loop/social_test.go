package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/reward"
)

// village is a set of profiles that the library's tests share.
var village = filepath.Join("..", "..", "episode", "testdata", "village")

// judgeServer is an endpoint that scores every episode by its text.
func judgeServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h := fnv.New32a()
		h.Write(body)
		content, err := json.Marshal(verdict(int(h.Sum32())))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{
			"finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": string(content)},
		}}})
	}))
	t.Cleanup(server.Close)
	return "custom/judge@" + server.URL + "/v1"
}

// verdict is a judgement with scores that depend on n.
func verdict(n int) map[string]any {
	out := map[string]any{}
	for agent := range 2 {
		scores := map[string]any{}
		for i, c := range reward.SotopiaEval() {
			lo, hi, _ := c.Dimension.Range()
			scores[string(c.Dimension)] = map[string]any{"reasoning": "so it was", "score": int(lo) + (n>>i+agent)%int(hi-lo+1)}
		}
		out[fmt.Sprintf("agent_%d", agent+1)] = scores
	}
	return out
}

// writeModel writes a tiny model that can read a whole episode.
func writeModel(t *testing.T) string {
	t.Helper()
	dir := clitest.WriteModel(t, t.TempDir())
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	positions := fmt.Sprintf(`"max_position_embeddings": %d`, tiny.Config().MaxPositions)
	if !strings.Contains(string(text), positions) {
		t.Fatalf("no %s in\n%s", positions, text)
	}
	long := strings.Replace(string(text), positions, `"max_position_embeddings": 16384`, 1)
	if err := os.WriteFile(path, []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSocialUsage(t *testing.T) {
	command.Want(t, 2, "-profiles is missing", "-model", "m", "-profiles", "")
	command.Want(t, 2, "-judge is missing", "-model", "m", "-profiles", village)
	command.Want(t, 2, "custom/NAME@http", "-model", "m", "-profiles", village, "-judge", "custom/nobody")
	command.Want(t, 2, "-max-tokens is 3", "-model", "m", "-profiles", village, "-judge", "j", "-max-tokens", "3")
	command.Want(t, 2, "-scale is 4", "-model", "m", "-profiles", village, "-judge", "j", "-scale", "4")
	command.Want(t, 1, "agents.jsonl", "-model", "m", "-profiles", t.TempDir(), "-judge", "j", "-out", t.TempDir())
}

// A model of one's own plays itself on profiles, is judged by an endpoint, and trained:
// every action that it takes can be read as it stands, whatever its weights are.
func TestModelOfOnesOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{
		"-out", dir, "-model", writeModel(t), "-dtype", "f32", "-judge", judgeServer(t), "-rounds", "1", "-scenarios", "4",
		"-max-turns", "6", "-max-tokens", "80", "-method", "discounting", "-dimensions", "goal,relationship",
		"-sft-steps", "1", "-reward-steps", "1", "-grpo-steps", "1",
	}
	code, out, errs := command.Run("", args...)
	if code != 0 || !strings.Contains(out, "policy-1") || !strings.Contains(out, "believability") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, name := range []string{"round-1/sft/adapter", "round-1/reward/adapter", "round-1/grpo/adapter"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
	for e, err := range episode.ReadFile(filepath.Join(dir, "round-1", "episodes.jsonl")) {
		if err != nil {
			t.Fatal(err)
		}
		replies, err := e.Replies()
		if err != nil || e.Failed() || replies[0].Replies == 0 || replies[0].Repaired+replies[0].Lost+replies[1].Repaired+replies[1].Lost > 0 {
			t.Errorf("%s: judged %t, replies %+v, %v", e.ID, !e.Failed(), replies, err)
		}
	}
	again, same, errs := command.Run("", args...)
	if again != 0 || same != out {
		t.Errorf("a finished loop reports something else the second time: exit code %d\n%s%s", again, same, errs)
	}
}

// A mistake that is found before the first episode leaves no folder behind.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	model := clitest.WriteModel(t, dir)
	good := []string{"-model", model, "-judge", "custom/j@http://127.0.0.1:1/v1", "-out", filepath.Join(dir, "out")}
	for _, c := range []struct {
		code int
		text string
		more []string
	}{
		{1, "none", []string{"-adapter", filepath.Join(dir, "none")}},
		{1, "none/agents.jsonl", []string{"-profiles", filepath.Join(dir, "none")}},
		{2, `-method is "magic"`, []string{"-method", "magic"}},
		{2, `no dimension is called "charm"`, []string{"-dimensions", "charm"}},
		{2, "-temperature is NaN", []string{"-temperature", "NaN"}},
		{2, "-device", []string{"-device", "cuda:x"}},
	} {
		command.Refuses(t, dir, c.code, c.text, append(append([]string{}, good...), c.more...)...)
	}
}
