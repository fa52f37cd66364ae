package episode_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
)

// tournament returns the matches of two talkative players over all scenes of the
// village, in both seats.
func tournament(t testing.TB, tag string) []episode.Match {
	t.Helper()
	p := village(t)
	var scenes []episode.Scene
	for _, c := range p.Pairings {
		s, err := p.PairingScene(c)
		if err != nil {
			t.Fatal(err)
		}
		scenes = append(scenes, s)
	}
	player := func(name string) episode.Player {
		return episode.Player{Model: name, New: func() episode.Agent {
			return episode.Script{{Type: episode.Speak, Argument: name + " speaks"}}
		}}
	}
	return episode.BothSeats(scenes, "judge", player("x"), player("y"), tag)
}

// wordCounter judges by the length of what was said.
var wordCounter = episode.EvaluatorFunc(func(_ context.Context, e *episode.Episode) (episode.Judgement, error) {
	var j episode.Judgement
	for _, name := range e.Agents() {
		words := 0
		for _, u := range e.UtterancesOf(name) {
			words += len(strings.Fields(u.Action.Argument))
		}
		j.Rewards = append(j.Rewards, episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: float64(words)}))
	}
	return j, nil
})

// statuses counts how matches were settled.
func statuses(results []episode.MatchResult) string {
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Status.String()]++
	}
	return fmt.Sprint(counts)
}

func TestBatchPlaysEveryMatchOnce(t *testing.T) {
	store, err := episode.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	matches := tournament(t, "cup")
	calls := 0
	b := episode.Batch{Store: store, Evaluator: wordCounter, OnEpisode: func(episode.MatchResult) { calls++ }}
	first, err := b.Play(t.Context(), matches)
	if err != nil || statuses(first) != "map[played:4]" || calls != 4 {
		t.Fatalf("%s, %d calls, %v", statuses(first), calls, err)
	}
	second, err := b.Play(t.Context(), tournament(t, "cup"))
	if err != nil || statuses(second) != "map[stored:4]" {
		t.Errorf("played again: %s, %v", statuses(second), err)
	}
	for i := range first {
		if d := cmp.Diff(line(t, first[i].Episode), line(t, second[i].Episode)); d != "" || first[i].Episode.Failed() {
			t.Errorf("match %d is not the one that was stored: %s", i, d)
		}
		if first[i].Episode.Models[1+i%2] != "x" {
			t.Errorf("match %d has x in the wrong seat: %v", i, first[i].Episode.Models)
		}
	}
	other, err := b.Play(t.Context(), tournament(t, "another cup"))
	if err != nil || statuses(other) != "map[played:4]" {
		t.Errorf("another tag: %s, %v", statuses(other), err)
	}
}

// What is stored under other ids counts by environment, agents, models and tag, one
// episode for one match.
func TestBatchCountsForeignEpisodes(t *testing.T) {
	store, err := episode.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	matches := tournament(t, "cup")[:1]
	again := matches[0]
	again.Trial = 1
	matches = append(matches, again)
	if matches[0].ID() == matches[1].ID() {
		t.Fatal("two trials have one id")
	}
	m := matches[0]
	e, err := episode.Play(t.Context(), m.Scene, m.Agents, episode.WithTag(m.Tag), episode.WithModels(m.Models[0], m.Models[1], m.Models[2]))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b := episode.Batch{Store: store}
	results, err := b.Play(t.Context(), matches)
	if err != nil || statuses(results) != "map[played:1 stored:1]" || results[0].Episode.ID != e.ID {
		t.Errorf("%s, %v", statuses(results), err)
	}
}

// An episode whose judge failed is kept, and judged when the batch is started again.
func TestBatchKeepsWhatWasPlayed(t *testing.T) {
	store, err := episode.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("judge is away")
	b := episode.Batch{Store: store, Evaluator: episode.EvaluatorFunc(func(context.Context, *episode.Episode) (episode.Judgement, error) {
		return episode.Judgement{}, away
	})}
	results, err := b.Play(t.Context(), tournament(t, "cup"))
	var failed *episode.BatchError
	if !errors.As(err, &failed) || failed.Failed != 4 || !errors.Is(err, away) || statuses(results) != "map[failed:4]" {
		t.Fatalf("%s, %v", statuses(results), err)
	}
	matches := tournament(t, "cup")
	for i := range matches {
		matches[i].Agents = nil // nobody plays any more
	}
	b.Evaluator = wordCounter
	results, err = b.Play(t.Context(), matches)
	if err != nil || statuses(results) != "map[judged:4]" {
		t.Fatalf("%s, %v", statuses(results), err)
	}
	if goal, err := results[0].Episode.Score(results[0].Episode.Agents()[0], episode.Goal); goal != 2 || err != nil {
		t.Errorf("goal is %v, %v", goal, err)
	}
}

func TestBatchStopsAfterFailures(t *testing.T) {
	bad := errors.New("no such model")
	fails := episode.AgentFunc(func(context.Context, episode.Observation) (episode.Action, error) { return episode.Action{}, bad })
	var matches []episode.Match
	for trial := range 50 {
		m := tournament(t, "cup")[0]
		m.Agents, m.Trial = []episode.Agent{fails, fails}, trial
		matches = append(matches, m)
	}
	b := episode.Batch{Concurrency: 1, MaxFailures: 3}
	_, err := b.Play(t.Context(), matches)
	var failed *episode.BatchError
	if !errors.As(err, &failed) || failed.Failed < 3 || failed.Failed > 5 || failed.Failed+failed.Left != 50 || !errors.Is(err, bad) {
		t.Errorf("error is %v", err)
	}
}

// An interrupted batch keeps what is finished and goes on where it stopped, and the
// bound on matches at once is kept.
func TestBatchIsInterrupted(t *testing.T) {
	store, err := episode.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := 0
	b := episode.Batch{Store: store, Concurrency: 1, OnEpisode: func(episode.MatchResult) {
		if done++; done == 2 {
			cancel()
		}
	}}
	if _, err := b.Play(ctx, tournament(t, "cup")); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	b.OnEpisode = nil
	results, err := b.Play(t.Context(), tournament(t, "cup"))
	if err != nil || statuses(results) != "map[played:2 stored:2]" {
		t.Errorf("%s, %v", statuses(results), err)
	}
}

func TestBatchRunsMatchesTogether(t *testing.T) {
	var running, most atomic.Int32
	var meet sync.WaitGroup
	meet.Add(3)
	waits := episode.AgentFunc(func(context.Context, episode.Observation) (episode.Action, error) {
		most.Store(max(most.Load(), running.Add(1)))
		meet.Done()
		meet.Wait() // nobody goes on before three have come
		running.Add(-1)
		return episode.Action{Type: episode.Leave}, nil
	})
	matches := tournament(t, "cup")[:3]
	for i := range matches {
		matches[i].Agents[0] = waits
	}
	b := episode.Batch{Concurrency: 3}
	if results, err := b.Play(t.Context(), matches); err != nil || statuses(results) != "map[played:3]" || most.Load() > 3 {
		t.Errorf("%s, %d at once, %v", statuses(results), most.Load(), err)
	}
}

func TestGate(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	slow := episode.LLMFunc(func(context.Context, episode.Request) (episode.Reply, error) {
		most.Store(max(most.Load(), now.Add(1)))
		<-release
		now.Add(-1)
		return episode.Reply{}, nil
	})
	llm := episode.NewGate(2).Limit(slow)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { llm.Chat(t.Context(), episode.Request{}) })
	}
	for range 10 {
		release <- struct{}{}
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Errorf("%d calls at once, want at most 2", most.Load())
	}
	full := episode.NewGate(1)
	full <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := full.Limit(slow).Chat(ctx, episode.Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting at a gate ends with %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "")
	t.Setenv("OPENAI_BASE_URL", "")
	e := &episode.Endpoints{}
	if _, err := e.Open("gpt-4o"); err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("without a key: error is %v", err)
	}
	t.Setenv("OPENAI_API_KEY", "for the default endpoint alone")
	keys := map[string]string{}
	e = &episode.Endpoints{URL: "http://default/v1", Key: func(url string) string { keys[url] = "k"; return "k" }}
	a, err := e.Open("custom/social@http://host:8000/v1")
	b, err2 := e.Open("custom/social@http://host:8000/v1")
	c, err3 := e.Open("plain")
	if err := errors.Join(err, err2, err3); err != nil || a != b || a == c {
		t.Fatalf("%v %v %v, %v", a, b, c, err)
	}
	if fmt.Sprint(a) != "social@http://host:8000/v1" || fmt.Sprint(c) != "plain@http://default/v1" || len(keys) != 2 {
		t.Errorf("opened %v and %v with keys for %v", a, c, keys)
	}
	for _, bad := range []string{"", "custom/x", "custom/@http://h/v1", "custom/x@ftp://h", "custom/x@http://"} {
		if _, err := e.Open(bad); err == nil {
			t.Errorf("%q is opened", bad)
		}
	}
}

// Every order asks whom it should, tells both what was done, and ends by the same
// rules.
func TestOrders(t *testing.T) {
	talk := func(n int) episode.Script { return silently(slices.Repeat([]bool{true}, n)...) }
	e, err := episode.Play(t.Context(), desk, []episode.Agent{talk(9), talk(2)}, episode.WithOrder(episode.Simultaneous, 0))
	if err != nil {
		t.Fatal(err)
	}
	if want := "Turn #0: Ann said: \"x\";Bo said: \"x\"\n"; e.RawMessages[1][1].Text != want {
		t.Errorf("told %q, want %q", e.RawMessages[1][1].Text, want)
	}
	if n := len(e.RawMessages) - 1; n != 3 || !strings.HasSuffix(e.Reasoning, "Agent 2 is leaving; ") || len(e.Utterances()) != 6 {
		t.Errorf("%d turns, %s, %v", n, e.Reasoning, e.Utterances())
	}
	silent, err := episode.Play(t.Context(), desk, []episode.Agent{silently(true, false, false, false), silently(true, false, false, false)},
		episode.WithOrder(episode.Simultaneous, 0), episode.WithStale(episode.StaleActions))
	if n := len(silent.RawMessages) - 1; err != nil || n != 4 || !strings.Contains(silent.Reasoning, "stales") {
		t.Errorf("three silent turns of both: %d turns, %s, %v", n, silent.Reasoning, err)
	}
}

func TestRandomOrder(t *testing.T) {
	talk := silently(slices.Repeat([]bool{true}, 40)...)
	play := func(seed uint64, id string) string {
		e, err := episode.Play(t.Context(), desk, []episode.Agent{talk, talk}, episode.WithID(id),
			episode.WithOrder(episode.RandomOrder, seed), episode.WithMaxTurns(40))
		if err != nil {
			t.Fatal(err)
		}
		var who []string
		for _, u := range e.Utterances() {
			who = append(who, u.Speaker[:1])
		}
		return strings.Join(who, "")
	}
	first := play(1, "e")
	if len(first) != 40 || first != play(1, "e") || first == play(2, "e") || first == play(1, "f") {
		t.Errorf("orders are %s, %s, %s", first, play(2, "e"), play(1, "f"))
	}
	if n := strings.Count(first, "A"); n < 8 || n > 32 || strings.Count(first, "AA")+strings.Count(first, "BB") == 0 {
		t.Errorf("%s is not random", first)
	}
}
