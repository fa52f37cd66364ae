package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/reward"
)

// records writes records of four episodes.
func records(t *testing.T, dir string) string {
	var recs []reward.Record
	for i := range 8 {
		it := episode.Item{EpisodeID: fmt.Sprint(i / 2), Turn: i % 2, Input: "hi", Output: strings.Repeat("x", i+1)}
		recs = append(recs, reward.NewRecord(it, float64(i)))
	}
	path := filepath.Join(dir, "rm.json")
	if err := reward.WriteRecords(path, recs); err != nil {
		t.Fatal(err)
	}
	return path
}

var command clitest.Program = run

func TestMain(m *testing.M) { command.Main(m) }

func TestTrainFromRecords(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "rm")
	args := []string{"-model", clitest.WriteModel(t, dir), "-dtype", "f32", "-records", records(t, dir), "-out", out, "-epochs", "2", "-batch", "4", "-rank", "2"}
	for range 2 { // the second time there is nothing left to do
		code, stdout, stderr := command.Run("", args...)
		if code != 0 || !strings.Contains(stdout, "records 8, too long 0\n") || !strings.Contains(stdout, "adapter "+filepath.Join(out, "adapter")) {
			t.Fatalf("code %d, printed\n%s%s", code, stdout, stderr)
		}
	}
	for _, name := range []string{"metrics.jsonl", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	command.Want(t, 1, "another configuration: LR was 0.00001, now 1", append(args, "-lr", "1")...)
	command.Want(t, 1, "Rank was 2, now 3", append(args, "-rank", "3")...)
}

// Annotations of an episode become records, which are written without a model.
func TestRecordsFromAnnotations(t *testing.T) {
	dir := t.TempDir()
	ep := `{"episode_id":"e1","environment_id":"v","agent_ids":["a","b"],"raw_messages":[` +
		`[["Environment","Ann","Here is Ann."],["Environment","Bo","Here is Bo."],["Ann","Environment","said: \"Hi\""],["Bo","Environment","did nothing"]],` +
		`[["Environment","Ann","Turn #0: Ann said: \"Hi\"\n"],["Environment","Bo","Turn #0: Ann said: \"Hi\"\n"],["Ann","Environment","did nothing"],["Bo","Environment","said: \"Oh\""]]],` +
		`"agents_background":{"Ann":"x","Bo":"y"},"social_goals":{"Ann":"g","Bo":"h"},"scenario":"s",` +
		`"social_interactions":"Ann said: \"Hi\"\n\nBo said: \"Oh\"",` +
		`"rewards":[[5.0,{"goal":6.0,"relationship":2.0,"overall_score":5.0}],[5.0,{"goal":9.0,"relationship":4.0,"overall_score":5.0}]]}` + "\n"
	episodes := clitest.WriteFile(t, dir, "episodes.jsonl", ep)
	annotations := filepath.Join(dir, "annotated.jsonl")
	methods := []attribution.Attributor{attribution.Uniform{Dimension: episode.Goal}, attribution.Uniform{Dimension: episode.Relationship}}
	if _, err := attribution.Annotate(context.Background(), episode.ReadFile(episodes), methods, attribution.AnnotateOptions{Path: annotations}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "rm.json")
	code, stdout, stderr := command.Run("", "-episodes", episodes, "-annotations", annotations, "-dimensions", "goal,relationship:3", "-save-records", out)
	if code != 0 || stdout != "credits with an item 4, masked 0, unscored 0, without an item 0\nrecords 2, duplicates 0, without all dimensions 0\n" {
		t.Fatalf("code %d, printed\n%s%s", code, stdout, stderr)
	}
	recs, err := reward.ReadRecords(out)
	if err != nil || len(recs) != 2 || recs[0].Value != 0 || recs[1].Value != 10 || recs[0].Agent != "Ann" || *recs[1].Turn != 1 {
		t.Errorf("records %+v, %v", recs, err)
	}
	command.Want(t, 1, "no attributions of dimension secret", "-episodes", episodes, "-annotations", annotations, "-dimensions", "secret", "-save-records", out)
}

func TestUsage(t *testing.T) {
	for line, args := range map[string]string{
		"one of -records and -episodes":            "-model m -out o",
		"-episodes and -annotations belong":        "-episodes e -out o -model m",
		"-model is missing":                        "-records r -out o",
		"-out is missing":                          "-records r -model m",
		"the weight of goal is \"x\"":              "-episodes e -annotations a -dimensions goal:x",
		"no dimension is called \"kindness\"":      "-episodes e -annotations a -dimensions kindness",
		"-scale is -1":                             "-records r -scale -1",
		"not defined: -nonsense":                   "-nonsense",
		"-max-length 4096 is more than -budget 64": "-records r -model m -out o -budget 64",
	} {
		command.Want(t, 2, line, strings.Fields(args)...)
	}
}

// A run that is killed or interrupted and started again leaves the same bytes in
// every file as one that is not.
func TestKilledAndResumed(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-model", clitest.WriteModel(t, dir), "-dtype", "f32", "-records", records(t, dir), "-epochs", "6", "-batch", "4", "-rank", "2", "-held-out", "0.25"}
	clitest.Trial{
		Name: "rewardmodel", Args: args,
		KillFirst: "step 0: held-out", KillNext: "step 4: held-out", Interrupt: "step 6: held-out",
		Files: []string{"metrics.jsonl", "adapter/adapter_model.safetensors"},
	}.Run(t)
}

// A model that cannot be opened or a folder that cannot be made leaves no records behind.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	clitest.WriteModel(t, dir)
	records := clitest.WriteFile(t, dir, "r.json", `[{"input": "a", "output": "b", "value": 1}]`)
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct{ text, model, out, save, more string }{
		{"none/config.json", path("none"), path("out"), path("s.json"), ""},
		{"none", path("model"), path("out"), path("s.json"), "-adapter=" + path("none")},
		{"cuda:99", path("model"), path("out"), path("s.json"), "-device=cuda:99"},
		{"mkdir " + records, path("model"), records, path("s.json"), ""},
		{"create " + path("none/s"), path("model"), path("out"), path("none/s"), ""},
	} {
		args := []string{"-records", records, "-model", c.model, "-out", c.out, "-save-records", c.save}
		if c.more != "" {
			args = append(args, c.more)
		}
		command.Refuses(t, dir, 1, c.text, args...)
	}
}
