package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

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

func TestScore(t *testing.T) {
	dir := t.TempDir()
	model, rm := filepath.Join(dir, "model"), filepath.Join(dir, "rm")
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
	in := filepath.Join(dir, "in.json")
	text := `[{"input":"a","output":"x","value":1},{"input":"a","output":"` + strings.Repeat("y", 200) + `","value":2},{"input":"a","output":"z","value":3,"episode_id":"e","agent":"A","turn":4}]`
	if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.json")
	args := []string{"-model", model, "-dtype", "f32", "-reward-model", rm, "-data", in, "-out", out, "-max-length", "100", "-chunk", "2"}
	code, stdout, stderr := call(args...)
	if code != 0 || !strings.HasPrefix(stdout, "scored 2, too long 1\nwith a value 2: mse ") {
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
		want(t, 2, line, strings.Fields(args)...)
	}
}
