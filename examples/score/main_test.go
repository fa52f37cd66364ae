package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/reward"
)

var command clitest.Program = run

func TestScore(t *testing.T) {
	dir := t.TempDir()
	m := clitest.WriteModels(t, dir)
	text := `[{"input":"a","output":"x","value":1},{"input":"a","output":"` + strings.Repeat("y", 200) + `","value":2},{"input":"a","output":"z","value":3,"episode_id":"e","agent":"A","turn":4}]`
	in := clitest.WriteFile(t, dir, "in.json", text)
	out := filepath.Join(dir, "out.json")
	args := []string{"-model", filepath.Join(dir, "model"), "-dtype", "f32", "-reward-model", filepath.Join(dir, "rm"), "-data", in, "-out", out, "-max-length", "100", "-chunk", "2"}
	code, stdout, stderr := command.Run("", args...)
	if code != 0 || !strings.HasPrefix(stdout, "scored 2, too long 1\ntokens ") || !strings.Contains(stdout, " times fewer)\nwith a value 2: mse ") {
		t.Fatalf("code %d, printed\n%s%s", code, stdout, stderr)
	}
	got, err := reward.ReadRecords(out)
	if err != nil || len(got) != 2 || got[0].Output != "x" || got[1].Output != "z" || *got[1].Turn != 4 || got[0].Value == got[1].Value {
		t.Errorf("records %+v, %v", got, err)
	}
	again, err := m.Score(context.Background(), []reward.Sample{{Item: got[0].Item(), Text: "x"}})
	if err != nil || again[0]-got[0].Value > 1e-6 || got[0].Value-again[0] > 1e-6 {
		t.Errorf("value %v, want %v (%v)", got[0].Value, again, err)
	}
}

func TestUsage(t *testing.T) {
	for line, args := range map[string]string{
		"-model is missing": "-reward-model r -data i -out o",
		"-data is missing":  "-reward-model r -model m -out o",
		"-chunk is 0":       "-reward-model r -model m -data i -out o -chunk 0",
	} {
		command.Want(t, 2, line, strings.Fields(args)...)
	}
}

// An output that cannot be written is told before anything is scored.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	command.Refuses(t, dir, 1, "create "+filepath.Join(dir, "none", "s"), "-model", "m", "-reward-model", "r", "-data", "d", "-out", filepath.Join(dir, "none", "s"))
	command.Refuses(t, dir, 2, "-device", "-model", "m", "-reward-model", "r", "-data", "d", "-out", filepath.Join(dir, "s"), "-device", "tpu")
}
