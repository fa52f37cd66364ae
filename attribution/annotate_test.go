package attribution

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/socialrl/socialrl/episode"
)

// threeDimensions are the dimensions that the published method combines.
func threeDimensions(llm episode.LLM) []Attributor {
	return []Attributor{
		Direct{LLM: llm, Dimension: episode.Goal}, Direct{LLM: llm, Dimension: episode.Relationship}, Direct{LLM: llm, Dimension: episode.Knowledge},
	}
}

// keys returns the keys of an annotation file, sorted.
func keys(t *testing.T, path string) []string {
	t.Helper()
	var ks []string
	for a, err := range ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		ks = append(ks, a.Key.String())
	}
	slices.Sort(ks)
	return ks
}

func failures(t *testing.T, path string) []*Failure {
	t.Helper()
	var fs []*Failure
	for f, err := range ReadFailures(path) {
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

func TestAnnotateWritesEachKeyOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "out.jsonl")
	eps := madeUp(t)
	llm := &model{}
	o := AnnotateOptions{Path: path, Price: Price{Prompt: 1, Completion: 10}}
	sum, err := Annotate(context.Background(), each(append(eps, eps[0])), threeDimensions(llm), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Summary{
		Episodes: 4, Done: 18, Skipped: 6,
		Usage: Usage{Calls: 18, Usage: episode.Usage{PromptTokens: 1800, CompletionTokens: 180, Cost: sum.Usage.Cost}},
	}
	if sum != want || !close12(sum.Usage.Cost, 18*(100+10*10)/1e6) {
		t.Errorf("summary %+v, want %+v: an episode that comes twice is annotated once", sum, want)
	}
	ks := keys(t, path)
	if len(ks) != 18 || len(slices.Compact(ks)) != 18 {
		t.Errorf("%d keys in the file: %q", len(ks), ks)
	}
}

func TestAnnotateSkipsWhatIsFinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	eps := madeUp(t)
	llm := &model{}
	o := AnnotateOptions{Path: path}
	if _, err := Annotate(context.Background(), each(eps[:1]), threeDimensions(llm)[:1], o); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	sum, err := Annotate(context.Background(), each(eps), threeDimensions(llm), o)
	if err != nil || sum.Done != 16 || sum.Skipped != 2 || sum.Earlier.Calls != 2 || llm.calls() != 18 {
		t.Errorf("%+v, %v after %d calls; want 16 done, 2 skipped, 18 calls", sum, err, llm.calls())
	}
	after, _ := os.ReadFile(path)
	if !strings.HasPrefix(string(after), string(before)) {
		t.Error("finished lines were changed")
	}
	// Another scale or a normalised reward is another method: nothing is skipped.
	sum, err = Annotate(context.Background(), each(eps[:1]), []Attributor{Direct{LLM: llm, Scale: 5}, Direct{LLM: llm, Normalized: true}}, o)
	if err != nil || sum.Done != 4 || sum.Skipped != 0 {
		t.Errorf("%+v, %v; want 4 done", sum, err)
	}
}

// A kill leaves the file cut off at any byte. The next run completes it, keeps
// what was whole, and asks only for what was not.
func TestAnnotateResumesFromAFileCutOffAnywhere(t *testing.T) {
	dir := t.TempDir()
	eps := madeUp(t)
	annotate := func(path string, llm episode.LLM) []byte {
		t.Helper()
		o := AnnotateOptions{Path: path, Concurrency: 1}
		if _, err := Annotate(context.Background(), each(eps[:2]), []Attributor{Direct{LLM: llm}, Uniform{}}, o); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	whole := annotate(filepath.Join(dir, "whole.jsonl"), &model{})
	for cut := 0; cut <= len(whole); cut += 1 + len(whole)/97 {
		path := filepath.Join(dir, fmt.Sprintf("cut%d.jsonl", cut))
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		llm := &model{}
		lines := strings.Count(string(whole[:cut]), "\n")
		if got := annotate(path, llm); string(got) != string(whole) || llm.calls() != 4-(lines+1)/2 {
			t.Fatalf("cut after byte %d: %d calls with %d finished lines, equal to an uninterrupted run: %v",
				cut, llm.calls(), lines, string(got) == string(whole))
		}
	}
}

func TestAnnotateLeavesOtherFilesAlone(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"an episode file", `{"episode_id": "E", "social_interactions": ""}` + "\n", ":1: not an attribution"},
		{"a damaged line in the middle", `{"episode_id": "E", "agent"` + "\n" + `{"episode_id": "E", "agent": "A", "utterances": []}` + "\n", ":1:"},
		{"a file without a newline", `[{"input": "x"}]`, ":1: not a line of an annotation file"},
	} {
		path := filepath.Join(t.TempDir(), "out.jsonl")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Uniform{}}, AnnotateOptions{Path: path})
		if err == nil || !strings.Contains(err.Error(), path+c.want) {
			t.Errorf("%s: %v, want an error with %q", c.why, err, path+c.want)
		}
		if after, _ := os.ReadFile(path); string(after) != c.text {
			t.Errorf("%s was changed", c.why)
		}
	}
}

func TestAnnotateKeepsFailuresApartAndTriesThemAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	bad := true
	llm := &model{answer: func(_ int, r episode.Request) (string, error) {
		if bad && strings.Contains(r.Messages[0].Content, "Buy the lamp") {
			return "I would rather not.", nil
		}
		return usable(r).Text, nil
	}}
	var told []error
	o := AnnotateOptions{Path: path, OnFailure: func(err error) { told = append(told, err) }}
	sum, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Direct{LLM: llm}}, o)
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || incomplete.Failed != 1 || !errors.Is(err, ErrNoUsableReply) || sum.Done != 5 || sum.Failed != 1 {
		t.Fatalf("%+v, %v; want 5 done, and an error about 1 failure", sum, err)
	}
	fs := failures(t, path+".failures")
	if len(fs) != 1 || len(fs[0].Tries) != 5 || fs[0].Tries[0].Reply != "I would rather not." || len(told) != 1 {
		t.Errorf("failures %+v, told %v; want one with 5 replies", fs, told)
	}
	bad = false
	sum, err = Annotate(context.Background(), each(madeUp(t)), []Attributor{Direct{LLM: llm}}, o)
	if err != nil || sum.Done != 1 || sum.Skipped != 5 || sum.Earlier.Calls != 10 {
		t.Errorf("%+v, %v; want the failed one done, and 10 earlier calls counted", sum, err)
	}
}

func TestAnnotateGoesOnAfterEpisodesItCannotUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	text, err := os.ReadFile("testdata/episodes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	file := "{broken\n" + `{"episode_id": "X", "social_goals": {"A": "", "B": ""}, "rewards": [0.0, 0.0], "social_interactions": "A said: \"hi\""}` + "\n" + string(text)
	sum, err := Annotate(context.Background(), episode.ReadJSONL(strings.NewReader(file)), []Attributor{Uniform{}}, AnnotateOptions{Path: path})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || sum.BadEpisodes != 1 || sum.Failed != 2 || sum.Done != 6 || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("%+v, %v; want a bad line, two agents without a judgement, 6 done", sum, err)
	}
	if fs := failures(t, path+".failures"); len(fs) != 2 || !strings.Contains(fs[0].Err.Error(), "not judged") {
		t.Errorf("failures are %v", fs)
	}
}

// Episodes and agents that cannot be filed do not spoil the files for the next
// run.
func TestAnnotateSurvivesNamelessEpisodesAndAgents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	nameless := *madeUp(t)[0]
	nameless.ID = ""
	agent := *madeUp(t)[0]
	agent.AgentsBackground, agent.SocialGoals = nil, episode.Named{{Name: maeve}, {Name: ""}}
	for range 2 {
		_, err := Annotate(context.Background(), each([]*episode.Episode{&nameless, &agent}), []Attributor{Uniform{}}, AnnotateOptions{Path: path})
		var incomplete *IncompleteError
		if !errors.As(err, &incomplete) || incomplete.BadEpisodes != 1 || incomplete.Failed != 1 {
			t.Errorf("got %v, want an episode without an id and an agent without a name", err)
		}
	}
	if ks := keys(t, path); len(ks) != 1 {
		t.Errorf("keys are %q, want Maeve's", ks)
	}
}

func TestAnnotateRunsConcurrentlyUpToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		llm := &model{answer: func(_ int, r episode.Request) (string, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return usable(r).Text, nil
		}}
		start := time.Now()
		o := AnnotateOptions{Path: filepath.Join(t.TempDir(), "out.jsonl"), Concurrency: 6}
		if _, err := Annotate(t.Context(), each(madeUp(t)), threeDimensions(llm), o); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); most != 6 || took != 3*time.Second {
			t.Errorf("18 calls of 1 s ran %d at once in %v, want 6 in 3 s", most, took)
		}
	})
}

func TestAnnotateStopsWhenTheContextIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	ctx, cancel := context.WithCancel(context.Background())
	llm := &model{answer: func(call int, r episode.Request) (string, error) {
		if call == 5 {
			cancel()
			return "", ctx.Err()
		}
		return usable(r).Text, nil
	}}
	sum, err := Annotate(ctx, each(madeUp(t)), threeDimensions(llm), AnnotateOptions{Path: path, Concurrency: 1})
	if !errors.Is(err, context.Canceled) || sum.Done != 5 || sum.Failed != 0 || len(keys(t, path)) != 5 || len(failures(t, path+".failures")) != 0 {
		t.Errorf("%+v, %v; want 5 done, no failures", sum, err)
	}
}

// refused is the error of an endpoint that refuses for good.
type refused struct{}

func (refused) Error() string   { return "status 401: wrong key" }
func (refused) Permanent() bool { return true }

// badAddress is the error of a model without a usable address.
func badAddress() error {
	_, err := episode.NewRemote("localhost", "", "m").Chat(context.Background(), episode.Request{Messages: episode.Prompt("hi")})
	return err
}

func TestAnnotateStopsWhereTheEndpointRefuses(t *testing.T) {
	for _, c := range []struct {
		why   string
		err   error
		stops bool
	}{
		{"a model that says so itself", refused{}, true},
		{"a wrong key", &episode.RemoteError{Endpoint: "http://h/v1", Status: 401, Tries: 1}, true},
		{"an unknown model", &episode.RemoteError{Endpoint: "http://h/v1", Status: 404, Tries: 1}, true},
		{"an empty account", &episode.RemoteError{Endpoint: "http://h/v1", Status: 429, Message: "You exceeded your quota", Tries: 1}, true},
		{"an address that is none", badAddress(), true},
		{"a busy server: others may get through", &episode.RemoteError{Endpoint: "http://h/v1", Status: 429, Tries: 6}, false},
		{"one prompt that is too long", &episode.RemoteError{Endpoint: "http://h/v1", Status: 400, Tries: 1}, false},
		{"a server that broke", &episode.RemoteError{Endpoint: "http://h/v1", Status: 503, Tries: 6}, false},
	} {
		path := filepath.Join(t.TempDir(), "out.jsonl")
		llm := &model{answer: func(int, episode.Request) (string, error) { return "", c.err }}
		sum, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(llm), AnnotateOptions{Path: path, Concurrency: 1})
		if !errors.Is(err, c.err) || c.stops != (llm.calls() == 1) || sum.Failed != llm.calls() {
			t.Errorf("%s: %+v, %v after %d calls; want it to stop: %v", c.why, sum, err, llm.calls(), c.stops)
		}
	}
}

func TestAnnotateSaysWhereThereAreNoEpisodes(t *testing.T) {
	o := AnnotateOptions{Path: filepath.Join(t.TempDir(), "out.jsonl")}
	_, err := Annotate(context.Background(), episode.ReadFile("testdata/missing.jsonl"), []Attributor{Uniform{}}, o)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing.jsonl") {
		t.Errorf("got %v, want that the file does not exist", err)
	}
}

func TestAnnotateRefusesAFileThatIsBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	o := AnnotateOptions{Path: path}
	inner := error(nil)
	llm := &model{answer: func(call int, r episode.Request) (string, error) {
		if call == 0 {
			_, inner = Annotate(context.Background(), each(madeUp(t)), []Attributor{Uniform{}}, o)
		}
		return usable(r).Text, nil
	}}
	if _, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Direct{LLM: llm}}, o); err != nil {
		t.Fatal(err)
	}
	if inner == nil || !strings.Contains(inner.Error(), path+": another process is writing to it") {
		t.Errorf("a second run beside the first: %v", inner)
	}
	if _, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Uniform{}}, o); err != nil {
		t.Errorf("a run after the first: %v", err)
	}
}

func TestAnnotateOfOneSide(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	o := AnnotateOptions{Path: path, Agents: func(ep *episode.Episode) []string { return ep.Agents()[:1] }}
	sum, err := Annotate(context.Background(), each(madeUp(t)), []Attributor{Uniform{}}, o)
	if err != nil || sum.Done != 3 {
		t.Errorf("%+v, %v; want the first speakers of 3 episodes", sum, err)
	}
}

func TestAnnotateTellsProgress(t *testing.T) {
	var last Summary
	o := AnnotateOptions{Path: filepath.Join(t.TempDir(), "out.jsonl"), OnProgress: func(s Summary) {
		if s.Done < last.Done || s.Usage.Calls < last.Usage.Calls {
			t.Errorf("progress went back from %+v to %+v", last, s)
		}
		last = s
	}}
	sum, err := Annotate(context.Background(), each(madeUp(t)), threeDimensions(&model{}), o)
	if err != nil || last != sum {
		t.Errorf("last progress %+v, summary %+v, %v", last, sum, err)
	}
}

// bare is an attributor without a description.
type bare struct{}

func (bare) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	return Uniform{}.Attribute(ctx, ep, agent)
}

func TestAnnotateRefusesWrongOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	for _, c := range []struct {
		why     string
		methods []Attributor
		o       AnnotateOptions
		want    string
	}{
		{"nothing to do", nil, AnnotateOptions{Path: path}, "no methods"},
		{"no file", []Attributor{Uniform{}}, AnnotateOptions{}, "Path is missing"},
		{"no description", []Attributor{bare{}}, AnnotateOptions{Path: path}, "bare has no Method; use Named"},
		{"one description twice", []Attributor{Discounting{}, Discounting{Gamma: 0.5}}, AnnotateOptions{Path: path}, "two methods are called discounting/goal"},
		{"a bound on costs nobody knows", []Attributor{Uniform{}}, AnnotateOptions{Path: path, MaxCost: 1}, "MaxCost needs a Price"},
		{"negative concurrency", []Attributor{Uniform{}}, AnnotateOptions{Path: path, Concurrency: -1}, "Concurrency is -1"},
	} {
		if _, err := Annotate(context.Background(), each(nil), c.methods, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.why, err, c.want)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused run made its file")
	}
}

func TestNamedFilesUnderItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	m := Method{Name: "mine", Dimension: episode.Goal}
	if _, err := Annotate(context.Background(), each(madeUp(t)[:1]), []Attributor{Named(m, bare{}), Uniform{}}, AnnotateOptions{Path: path}); err != nil {
		t.Fatal(err)
	}
	if ks := keys(t, path); len(ks) != 4 || !strings.HasPrefix(ks[2], "mine/goal of") {
		t.Errorf("keys are %q", ks)
	}
	m.Name = "stubborn"
	stubborn := Named(m, Direct{LLM: replies("no"), Tries: 1})
	if _, err := Annotate(context.Background(), each(madeUp(t)[:1]), []Attributor{stubborn}, AnnotateOptions{Path: path}); !errors.Is(err, ErrNoUsableReply) {
		t.Fatal(err)
	}
	if fs := failures(t, path+".failures"); len(fs) != 2 || fs[0].Method != m {
		t.Errorf("failures are %v, want two of %s", fs, m)
	}
	sum, err := Annotate(context.Background(), each(madeUp(t)[:1]), []Attributor{stubborn, Named(Method{Name: "b", Dimension: episode.Goal}, bare{})}, AnnotateOptions{DryRun: true})
	if err != nil || sum.Usage.Calls != 2 || sum.Done != 4 {
		t.Errorf("a dry run says %+v, %v", sum, err)
	}
}
