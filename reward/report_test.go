package reward

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// The report's figures on the published episodes are those of scipy, and its seats'
// those of [Summarize].
func TestReportEqualsTheReference(t *testing.T) {
	want := publishedFigures(t)
	r, err := NewReport(publishedEpisodes(t), ReportOptions{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != len(want) {
		t.Fatalf("%d models, want %d", len(r.Models), len(want))
	}
	for _, m := range r.Models {
		w := want[m.Model]
		if m.All.Count != w.Count || m.All.Settings != w.Settings {
			t.Errorf("%s: %+v", m.Model, m.All)
		}
		for d, e := range w.All {
			f := m.All.Scores[d]
			same(t, m.Model+" "+string(d)+" mean", f.Mean, e.Mean)
			same(t, m.Model+" "+string(d)+" margin", f.Margin, e.Margin)
			if !(f.Low <= f.Mean && f.Mean <= f.High) {
				t.Errorf("%s %s: %v outside [%v, %v]", m.Model, d, f.Mean, f.Low, f.High)
			}
		}
		for i, s := range []SeatReport{m.First, m.Second} {
			w := []SeatSummary{w.Seat1, w.Seat2}[i]
			if s.Count != w.Count {
				t.Errorf("%s, seat %d: %d appearances, want %d", m.Model, i+1, s.Count, w.Count)
			}
			for d, mean := range w.Means {
				same(t, m.Model+" "+string(d)+" by seat", s.Scores[d].Mean, mean)
			}
		}
	}
}

// staged is an episode with the given goal scores; NaN is no verdict.
func staged(id, environment, model1, model2 string, goal1, goal2 float64) *episode.Episode {
	e := party()
	e.ID, e.EnvironmentID, e.Models, e.AgentIDs = id, environment, []string{"judge", model1, model2}, []string{"x", "y"}
	j := episode.Judgement{Reasoning: "Agent 1 comments:\ngoal: one\nmore\nAgent 2 comments:\ngoal: two"}
	for _, v := range []float64{goal1, goal2} {
		r := episode.Reward{}
		if !math.IsNaN(v) {
			r = episode.NewReward(score(episode.Goal, v))
		}
		j.Rewards = append(j.Rewards, r)
	}
	e.SetJudgement(j)
	return e
}

// Differences are taken scene by scene: same environment, same characters, same seat;
// each scene counts once.
func TestDifferencesArePaired(t *testing.T) {
	r, err := NewReport([]*episode.Episode{
		staged("1", "a", "old", "partner", 2, 9), staged("2", "a", "old", "partner", 4, 9), // mean 3 in a
		staged("3", "a", "new", "partner", 7, 9),
		staged("4", "b", "old", "partner", 5, 9), staged("5", "b", "new", "partner", 6, 9),
		staged("6", "c", "partner", "new", 1, 0), // nobody to compare with
		staged("7", "d", "old", "partner", math.NaN(), 9), staged("8", "d", "new", "partner", 8, 9),
	}, ReportOptions{Resamples: 500})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Differences, func(d Difference) bool { return d.A == "old" && d.B == "new" })
	if i < 0 {
		t.Fatalf("%+v", r.Differences)
	}
	d := r.Differences[i]
	// scenes a, b and d are shared; d has no score of old's: (3-7 + 5-6) / 2
	if f := d.Scores[episode.Goal]; d.Scenes != 3 || f.N != 2 || f.Mean != -2.5 || f.Low != -4 || f.High != -1 {
		t.Errorf("%d scenes, %+v", d.Scenes, f)
	}
	if d.Words.Mean != 0 || d.Words.N != 3 {
		t.Errorf("words %+v", d.Words)
	}
}

// Failures are counted and listed, and never averaged as 0.
func TestReportCountsFailures(t *testing.T) {
	r, err := NewReport([]*episode.Episode{staged("1", "a", "m", "p", math.NaN(), 3), staged("2", "b", "m", "p", 8, 3)}, ReportOptions{Resamples: 100})
	if err != nil {
		t.Fatal(err)
	}
	m := r.Models[0]
	if m.Model != "m" || m.All.Count != 1 || m.All.Failed != 1 || m.All.Scores[episode.Goal].Mean != 8 {
		t.Errorf("%+v", m.All)
	}
	want := []ReportFailure{{"1", "Ann O'Hara", "m", "not judged"}}
	if !slices.Equal(r.Failures, want) {
		t.Errorf("%+v", r.Failures)
	}
	if _, err := NewReport([]*episode.Episode{{ID: "z"}}, ReportOptions{}); err == nil || !strings.Contains(err.Error(), "episode z") {
		t.Errorf("an episode without agents: %v", err)
	}
}

// Words and tokens are counted per utterance; leaving and doing nothing are none.
func TestReportLengths(t *testing.T) {
	r, err := NewReport([]*episode.Episode{staged("1", "a", "m", "p", 1, 1)}, ReportOptions{
		Resamples: 10, Tokens: func(s string) int { return len(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ann, bo := r.Models[0].All, r.Models[1].All
	// "Hi!\nTurn #9\nBo said: I give you all" has 9 words and 35 bytes, "waves" 1 and 5
	if ann.Utterances.Mean != 2 || ann.Words.Mean != 5 || ann.Tokens.Mean != 20 || ann.Turns.Mean != 4 {
		t.Errorf("%+v, tokens %+v", ann.Measures, ann.Tokens)
	}
	if bo.Utterances.Mean != 0 || bo.Words != (Figure{}) {
		t.Errorf("%+v", bo.Measures)
	}
}

// The report does not depend on the order of the episodes, nor on when it is made.
func TestReportIsDeterministic(t *testing.T) {
	var list []*episode.Episode
	for i := range 40 {
		list = append(list, staged(fmt.Sprint(i), fmt.Sprint(i%7), "m", "p", float64(i*i%11)/10, float64(i%5)/3))
	}
	forms := func() string {
		r, err := NewReport(list, ReportOptions{Resamples: 300, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, write := range []func() error{
			func() error { return r.WriteJSON(&b) }, func() error { return r.WriteMarkdown(&b) }, func() error { return r.WriteHTML(&b) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	}
	first := forms()
	slices.Reverse(list)
	if forms() != first {
		t.Error("the order of the episodes changes the report")
	}
}

// Names and texts are untrusted in every form.
func TestReportEscapes(t *testing.T) {
	evil := `</script><script>alert(1)</script>|` + "`x`" + `[a](javascript:b)` + "\n# h"
	e := staged("1", "a", evil, "p", 1, math.NaN())
	e.Codename, e.Scenario, e.Tag = evil, evil, evil
	e.Reasoning = "Environment comments: " + evil + "\nAgent 1 comments:\ngoal: " + evil
	e.RawMessages[0][0].Text = `said: "` + evil + `"`
	if err := e.SetField(failureField, storedFailure{Error: "x", Tries: []attribution.Try{{Reply: evil, Reason: evil}}}); err != nil {
		t.Fatal(err)
	}
	r, err := NewReport([]*episode.Episode{e}, ReportOptions{Title: evil, Resamples: 10})
	if err != nil {
		t.Fatal(err)
	}
	var page, md bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), "<script"); n != 1 || strings.Contains(page.String(), "alert(1)<") {
		t.Errorf("the page has %d scripts, want its own only", n)
	}
	for _, bad := range []string{"<script", "](java", "\n# h", "| `"} {
		if strings.Contains(md.String(), bad) {
			t.Errorf("the Markdown has %q", bad)
		}
	}
	for line := range strings.Lines(md.String()) {
		if strings.HasPrefix(line, "|") && !strings.HasSuffix(line, "|\n") {
			t.Errorf("a row is broken: %q", line)
		}
	}
}

// The page shades utterances by credit and shows scores with their reasons.
func TestReportPageShowsCreditAndReasons(t *testing.T) {
	e := staged("1", "a", "m", "p", 4, 2)
	direct := &attribution.Attribution{
		Key:     attribution.Key{EpisodeID: "1", Agent: "Ann O'Hara", Method: attribution.Method{Name: "direct", Dimension: episode.Goal, Scale: 3}},
		Credits: []attribution.Credit{{Index: 0, Speaker: "Ann O'Hara", State: attribution.Scored, Attribution: 2, Reward: 2.667}, {Index: 1, Speaker: "Ann O'Hara", State: attribution.MaskedOut}},
	}
	plain := &attribution.Attribution{
		Key:     attribution.Key{EpisodeID: "1", Agent: "Bo", Method: attribution.Method{Name: "discounting", Dimension: episode.Goal}},
		Credits: []attribution.Credit{{Index: 2, Speaker: "Bo", State: attribution.RewardOnly, Reward: -1.5}},
	}
	r, err := NewReport([]*episode.Episode{e}, ReportOptions{Resamples: 10, Credits: []*attribution.Attribution{direct, plain}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--credit:0.667", "credit 2, reward 2.67 (direct/goal/3)", "masked (direct/goal/3)",
		"--credit:1.000", "reward -1.5 (discounting/goal)", "<dd>one\nmore</dd>", "<dd>two</dd>", "Goal: Find a friend you are shy", "Both know Alvin.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Reasons come back as they went in, and as the published episodes have them.
func TestReasons(t *testing.T) {
	e := staged("1", "a", "m", "p", 4, 2)
	if got := Reasons(e, 0); got[episode.Goal] != "one\nmore" || len(got) != 1 {
		t.Errorf("%q", got)
	}
	if got := Reasons(e, 2); len(got) != 0 {
		t.Errorf("a third agent has %q", got)
	}
	for _, e := range publishedEpisodes(t) {
		for seat := range agents {
			if got := Reasons(e, seat); len(got) != 7 {
				t.Errorf("%s, agent %d: %d reasons", e.ID, seat+1, len(got))
			}
		}
	}
}
