package attribution

import (
	"slices"
	"strings"
	"testing"
)

// asked are the utterances 1, 3 and 5, on a scale of 10.
var asked = []bound{{1, Masked, 10}, {3, Masked, 10}, {5, Masked, 10}}

func TestRepliesThatAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		why, reply string
		want       []float64
	}{
		{"the form asked for", `{"scores": {"1": 3, "3": 0, "5": 10}}`, []float64{3, 0, 10}},
		{"without the outer object", `{"1": 3, "3": 0, "5": 10}`, []float64{3, 0, 10}},
		{"any order, matched by index", `{"5": 10, "1": 3, "3": 0}`, []float64{3, 0, 10}},
		{"a list of pairs", `[{"index": 3, "score": 0}, {"index": 1, "score": 3}, {"index": 5, "score": 10}]`, []float64{3, 0, 10}},
		{"with reasons", `{"scores": {"1": {"reason": "small talk", "score": 3}, "3": {"score": 0}, "5": {"score": 10}}}`, []float64{3, 0, 10}},
		{"reasons that hold numbers as keys", `{"1": {"score": 3, "why": {"3": 7}}, "3": 0, "5": 10}`, []float64{3, 0, 10}},
		{"in prose", "Utterance [1] matters {a bit}. Result: {\"1\": 3, \"3\": 0, \"5\": 10} as asked.", []float64{3, 0, 10}},
		{"in a code fence", "```json\n{\"1\": 3, \"3\": 0, \"5\": 10}\n```", []float64{3, 0, 10}},
		{"of a draft and a final answer the last counts", `Draft {"1": 1, "3": 1, "5": 1}, final {"1": 3, "3": 0, "5": 10}`, []float64{3, 0, 10}},
		{"single quotes, no quotes, a comma too many", `{'1': 3, 3: 0, "5": 10,}`, []float64{3, 0, 10}},
		{"marks around the index", `{"[1]": 3, "#3": 0, " 5 ": 10}`, []float64{3, 0, 10}},
		{"whole numbers spelled otherwise", `{"1": "3", "3": 0.0, "5": 10.00}`, []float64{3, 0, 10}},
		{"-1 masks", `{"1": -1, "3": 0, "5": 10}`, []float64{Masked, 0, 10}},
		{"the outer brace is missing, the scores are whole", `{"scores": {"1": 3, "3": 0, "5": 10}`, []float64{3, 0, 10}},
		{"a comment beside", `{"comment": "went well", "scores": {"1": 3, "3": 0, "5": 10}}`, []float64{3, 0, 10}},
		{"braces inside strings", `{"note": "} {", "scores": {"1": 3, "3": 0, "5": 10}}`, []float64{3, 0, 10}},
	} {
		got, err := parseScores(c.reply, asked)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.why, got, err, c.want)
		}
	}
}

func TestRepliesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ why, reply, want string }{
		{"empty", "", "no complete JSON"},
		{"prose only", "All of them matter.", "no complete JSON"},
		{"one score is missing", `{"1": 3, "5": 10}`, "2 scores, want 3: none for utterance 3"},
		{"one score too many, of the other agent", `{"1": 3, "2": 1, "3": 0, "5": 10}`, "utterance 2, which was not asked for (asked: 1, 3, 5)"},
		{"two scores for one utterance, even equal ones", `{"1": 3, "3": 0, "3": 0, "5": 10}`, "two scores for utterance 3"},
		{"too high", `{"1": 11, "3": 0, "5": 10}`, "utterance 1: score 11 is outside -1..10"},
		{"too low", `{"1": -2, "3": 0, "5": 10}`, "outside -1..10"},
		{"not whole", `{"1": 2.5, "3": 0, "5": 10}`, `"2.5" is not a whole number`},
		{"null", `{"1": null, "3": 0, "5": 10}`, "not a number but null"},
		{"a boolean", `{"1": true, "3": 0, "5": 10}`, "not a number but a boolean"},
		{"a word", `{"1": "high", "3": 0, "5": 10}`, `"high" is not a whole number`},
		{"a sum", `{"1": "3/10", "3": 0, "5": 10}`, `"3/10" is not a whole number`},
		{"by order instead of index", `[3, 0, 10]`, "no complete JSON"},
		{"cut off inside the last number: 1 of 10", `{"1": 3, "3": 0, "5": 1`, "no complete JSON"},
		{"cut off in a list", `[{"index": 1, "score": 3}, {"index": 3, "score": 0}, {"index": 5, "sc`, "1 scores, want 3"},
		{"the keys of other programs, which do not tell utterances apart", `{"Utterance 0 by A": 3, "Utterance 1 by A": 0, "Utterance 2 by A": 1}`, "no complete JSON"},
		{"an index too long for a number", `{"99999999999999999999": 3}`, "no complete JSON"},
		{"too long to look at", strings.Repeat("x", maxReply+1), "at most"},
	} {
		got, err := parseScores(c.reply, asked)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.why, got, err, c.want)
		}
	}
}

// A reply that is cut off anywhere is refused, never read as other scores.
func TestEveryPrefixOfAReplyIsRefused(t *testing.T) {
	for _, reply := range []string{
		`{"1": 10, "3": 10, "5": 10}`,
		`[{"index": 1, "score": 10}, {"index": 3, "score": 10}, {"index": 5, "score": 10}]`,
		`{"1": {"score": 10}, "3": {"score": 10}, "5": {"score": 10}}`,
	} {
		for n := range len(reply) {
			if got, err := parseScores(reply[:n], asked); err == nil && !slices.Equal(got, []float64{10, 10, 10}) {
				t.Errorf("%q is read as %v", reply[:n], got)
			}
		}
	}
}

// Repair has cubic cost on such text; without a bound this test would take
// hours.
func TestDegenerateRepliesAreRefusedAtOnce(t *testing.T) {
	for _, piece := range []string{`"a `, "\"x\n", `'`, `{`, `[1,`, `{'a'}`, `"1": 3, `, "`"} {
		reply := `{"1": ` + strings.Repeat(piece, 20_000) + "}"
		if got, err := parseScores(reply, asked); err == nil {
			t.Errorf("%.20q is read as %v", reply, got)
		}
	}
}

func FuzzParseScores(f *testing.F) {
	for _, reply := range []string{
		`{"scores": {"1": 3, "3": 0, "5": 10}}`, `[{"index": 1, "score": 3}]`, `{'1': 3, 3: 0,}`, "```json\n{\"1\": \"3\"}\n```",
		`{"1": {"score": 1e3}, "3": -1, "5": 2.0}`, `[[[[{"1":{}}]]]]`, `{"1": 3, "3": 0, "5": 1`, `{{{"]}`, `"\`, "\x00{\"1\":\xff}",
	} {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		scores, err := parseScores(reply, asked)
		if err != nil {
			if scores != nil || strings.TrimSpace(err.Error()) == "" {
				t.Errorf("refused with %v, %q", scores, err)
			}
			return
		}
		if len(scores) != len(asked) {
			t.Fatalf("%d scores for %d utterances", len(scores), len(asked))
		}
		for i, s := range scores {
			if s != float64(int(s)) || s < Masked || s > float64(asked[i].max) {
				t.Errorf("score %v is not a whole number of -1..%d", s, asked[i].max)
			}
		}
		again, err := parseScores(reply, asked)
		if err != nil || !slices.Equal(scores, again) {
			t.Errorf("the same reply is read as %v and %v, %v", scores, again, err)
		}
	})
}
