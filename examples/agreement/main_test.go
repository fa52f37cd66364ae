package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/fixtures"
)

var command clitest.Program = run

// reference is the file of reference figures, computed with scipy: rater 0 is the
// prediction, rater 1 the truth, and Fleiss' kappa is of all three.
type reference struct {
	N          int     `json:"n"`
	Difference float64 `json:"mean_absolute_difference"`
	Spearman   float64 `json:"spearman"`
	Exact      float64 `json:"exact_match"`
	Precision  float64 `json:"precision_of_3"`
	Recall     float64 `json:"recall_of_3"`
	F1         float64 `json:"f1_of_3"`
	Kappa      float64 `json:"fleiss_kappa"`
	Raters     [][]int `json:"raters"`
}

// readReference reads it from the fixtures, or from what package attribution keeps
// of them.
func readReference(t *testing.T) (r reference) {
	t.Helper()
	path := filepath.Join("..", "..", "attribution", "testdata", "eval", "agreement.json")
	if fixtures.Set() {
		path = fixtures.Path(t, "eval", "agreement.json")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// writeRater writes labels as the Python programs do, in episodes of 10 utterances
// of one agent.
func writeRater(t *testing.T, dir, name string, labels []int) string {
	t.Helper()
	var b strings.Builder
	for from := 0; from < len(labels); from += 10 {
		var entries []string
		for i, v := range labels[from:min(from+10, len(labels))] {
			entries = append(entries, fmt.Sprintf(`"Utterance %d by A": ["said: \"this is %d\"", {"reward": 1.0, "attribution": %d, "scale": "default"}]`, i, i, v))
		}
		fmt.Fprintf(&b, `{"episode_id": "E%d", "scenario": "", "agent": "A", "goal": "", "goal_score": 5.0, "is_first_speaker": true, "attributed_utterances": {%s}}`+"\n",
			from/10, strings.Join(entries, ", "))
	}
	return clitest.WriteFile(t, dir, name, b.String())
}

func TestEqualsReference(t *testing.T) {
	want := readReference(t)
	dir := t.TempDir()
	var files []string
	for r, labels := range want.Raters {
		files = append(files, writeRater(t, dir, fmt.Sprintf("r%d.jsonl", r), labels))
	}
	out := filepath.Join(dir, "figures.json")
	code, stdout, stderr := command.Run("", "-files", strings.Join(files, ","), "-json", out)
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	var got resultJSON
	text, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || len(got.Pairs) != 3 || len(got.Groups) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	p := got.Pairs[0]
	if p.Predicted != "r0.jsonl: unnamed/goal/3" || p.Truth != "r1.jsonl: unnamed/goal/3" || p.N != want.N || got.Groups[0].N != want.N {
		t.Errorf("the first pair is %+v", p)
	}
	for _, c := range []struct {
		name string
		got  *float64
		want float64
	}{
		{"mean absolute difference", p.Difference, want.Difference}, {"Spearman", p.Spearman, want.Spearman},
		{"exact match", p.Exact, want.Exact}, {"precision", p.Precision, want.Precision}, {"recall", p.Recall, want.Recall},
		{"F1", p.F1, want.F1}, {"Fleiss' kappa", got.Groups[0].Kappa, want.Kappa},
	} {
		if c.got == nil || !(math.Abs(*c.got-c.want) <= 1e-12) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	if !strings.Contains(stdout, fmt.Sprintf("kappa of 3 annotators on %d utterances that all of them labelled: %.3f;", want.N, want.Kappa)) {
		t.Errorf("printed\n%s", stdout)
	}
}

// The published annotations: ten utterances were labelled by a person as well. On
// 0..3 the model's labels for them are 2, 2, 3, 2, 2, 2, 2, 2, 0, 0 and the person's
// 3, 1, then eight times 0.
func TestPublishedAnnotations(t *testing.T) {
	file := fixtures.Data(t, "annotations", "human_and_llm.jsonl")
	other := fixtures.Data(t, "annotations", "llm.jsonl")
	code, stdout, stderr := command.Run("", "-files", file+","+other)
	for _, want := range []string{
		"human_and_llm.jsonl: attributions 36, labels 169, masked 21, without an attribution 0",
		"llm.jsonl: attributions 24, labels 122, masked 17, without an attribution 0",
		`annotator "human_and_llm.jsonl: person 1 of goal": labels 10`,
		"| human_and_llm.jsonl: unnamed/goal/10 | human_and_llm.jsonl: person 1 of goal | 10 | 1.500 | 0.107 | 0.200 | 0.800 | 0.000 | 0.000 | 0.000 |",
	} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, not printed: %s\n%s%s", code, want, stdout, stderr)
		}
	}
}

func TestPairsAndTruth(t *testing.T) {
	dir := t.TempDir()
	a := writeRater(t, dir, "a.jsonl", []int{3, 0, 0, 2})
	b := writeRater(t, dir, "b.jsonl", []int{3, 0, 1, 2})
	c := writeRater(t, dir, "c.jsonl", []int{1, 1, 1, 1})
	_, all, _ := command.Run("", "-files", a+","+b+","+c)
	_, one, _ := command.Run("", "-files", a+","+b+","+c, "-truth", "a.jsonl: unnamed/goal/3")
	if strings.Count(all, "\n| ") != 4 || strings.Count(one, "\n| ") != 3 || !strings.Contains(one, "| b.jsonl: unnamed/goal/3 | a.jsonl: unnamed/goal/3 | 4 |") {
		t.Errorf("all pairs:\n%s\nthose with a:\n%s", all, one)
	}
	if !strings.Contains(all, "| c.jsonl: unnamed/goal/3 | 4 | 1.250 | - |") {
		t.Errorf("the correlation with a constant is not left out:\n%s", all)
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	a := writeRater(t, dir, "a.jsonl", []int{3, 0})
	none := filepath.Join(dir, "none.jsonl")
	high := clitest.WriteFile(t, dir, "high.jsonl", `{"episode_id": "E", "agent": "A", "method": "direct", "scale": 3, "utterances": [{"index": 4, "speaker": "A", "text": "x", "attribution": 7, "reward": 1.0}]}`)
	command.Want(t, 2, "-files is missing")
	command.Want(t, 2, "-top is 0", "-files", a, "-top", "0")
	command.Want(t, 2, `unexpected argument "x"`, "-files", a, "x")
	command.Want(t, 1, "none.jsonl", "-files", none)
	command.Want(t, 1, "no two annotators", "-files", a)
	command.Want(t, 1, `no annotator is called "Ann"`, "-files", a+","+a, "-truth", "Ann")
	command.Want(t, 1, "utterance 4: direct/goal/3 labels it 7, outside 0..3", "-files", high)
}
