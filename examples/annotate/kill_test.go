package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/flaky"
)

// job is an annotation that is killed and started again.
type job struct {
	t                 *testing.T
	program, episodes string
	out               string
	server            *flaky.Server
	rng               *rand.Rand
	runs              int
	prompts           map[string]attribution.Key // what is to be asked
	finished          map[attribution.Key]bool   // in the file
	concurrency       int
}

func (j *job) start() (*exec.Cmd, *bytes.Buffer) {
	j.t.Helper()
	j.runs++
	cmd := exec.Command(j.program, "-episodes", j.episodes, "-out", j.out, "-dimensions", "goal,relationship,knowledge",
		"-url", j.server.URL+"/run"+strconv.Itoa(j.runs), "-model", "flaky", "-concurrency", strconv.Itoa(j.concurrency))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	return cmd, &output
}

// plan asks the library what is to be asked.
func (j *job) plan() {
	j.t.Helper()
	j.prompts = map[string]attribution.Key{}
	o := attribution.AnnotateOptions{DryRun: true, OnRequest: func(k attribution.Key, r episode.Request) {
		j.prompts[r.Messages[0].Content] = k
	}}
	var methods []attribution.Attributor
	for _, d := range []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge} {
		methods = append(methods, attribution.Direct{Dimension: d})
	}
	sum, err := attribution.Annotate(context.Background(), episode.ReadFile(j.episodes), methods, o)
	if err != nil || sum.Done != len(j.prompts) {
		j.t.Fatalf("%d prompts for %+v, %v", len(j.prompts), sum, err)
	}
}

// mostAnswers is how many calls of a run that is to be killed are answered. The
// kills cannot come too late then, however slow the machine is.
const mostAnswers = 3

// killOne runs the program and kills it: right after its start, or after a few of
// its calls have arrived and some time has passed.
func (j *job) killOne() {
	j.t.Helper()
	for len(j.server.Arrived()) > 0 {
		<-j.server.Arrived()
	}
	j.server.Limit("run"+strconv.Itoa(j.runs+1), mostAnswers)
	cmd, output := j.start()
	deadline := time.After(time.Minute)
	calls := j.rng.IntN(4)
	for range calls {
		select {
		case <-j.server.Arrived():
		case <-deadline:
			j.t.Fatalf("run %d made no call for a minute\n%s", j.runs, output)
		}
	}
	time.Sleep(time.Duration(j.rng.IntN(60)) * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		j.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		j.t.Fatalf("run %d ended before it was killed: %v\n%s", j.runs, err, output)
	}
	j.inspect()
}

// inspect reads the file after a run, as it is: whole lines, no key twice.
// Everything that was answered usefully is in it, except for calls that ran.
func (j *job) inspect() {
	j.t.Helper()
	text, err := os.ReadFile(j.out)
	if err != nil && !os.IsNotExist(err) {
		j.t.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	before := len(j.finished)
	now := map[attribution.Key]bool{}
	for a, err := range attribution.ReadJSONL(bytes.NewReader(text)) {
		if err != nil {
			j.t.Fatal(err)
		}
		if now[a.Key] {
			j.t.Errorf("after run %d %s stands twice in the file", j.runs, a.Key)
		}
		now[a.Key] = true
	}
	for k := range j.finished {
		if !now[k] {
			j.t.Errorf("run %d lost %s", j.runs, k)
		}
	}
	j.checkCalls(now, len(now)-before)
	j.finished = now
}

// checkCalls compares the server's own count of the last run with the file.
func (j *job) checkCalls(now map[attribution.Key]bool, added int) {
	j.t.Helper()
	useful := 0
	for _, c := range j.server.Calls() {
		if c.Run != "run"+strconv.Itoa(j.runs) {
			continue
		}
		key, ok := j.prompts[c.Prompt]
		switch {
		case !ok:
			j.t.Errorf("run %d asked something that was not planned:\n%s", j.runs, c.Prompt)
		case j.finished[key]:
			j.t.Errorf("run %d repeated the finished call for %s", j.runs, key)
		}
		if c.Useful() {
			useful++
		}
	}
	if lost := useful - added; lost < 0 || lost > j.concurrency {
		j.t.Errorf("run %d got %d useful replies and kept %d; at most the %d running calls may be lost", j.runs, useful, added, j.concurrency)
	}
}

// The endpoint fails 30% of calls, the program is killed at 20 random moments,
// and at the end every key stands in the file once. The server's own count shows
// that nothing that was finished was asked again, and that the program waited
// when it was told to.
func TestAnnotateSurvivesKillsAndAFlakyEndpoint(t *testing.T) {
	t.Parallel()
	j := &job{
		t: t, program: program(t), episodes: episodesFile(t), out: filepath.Join(t.TempDir(), "out.jsonl"),
		server: flaky.New(flaky.Config{
			Seed: 7, Share: 0.3, Delay: 40 * time.Millisecond, SlowDelay: 300 * time.Millisecond, RetryAfter: 1,
		}),
		rng: rand.New(rand.NewPCG(11, 13)), concurrency: 4,
	}
	defer j.server.Close()
	j.plan()
	kills := 20
	if len(j.prompts) <= kills*mostAnswers { // the made-up sample has work for a few kills only
		kills = (len(j.prompts) - 1) / mostAnswers
	}
	for range kills {
		j.killOne()
	}
	if len(j.finished) == len(j.prompts) {
		t.Fatal("everything was finished before the last kill: the kills prove nothing")
	}
	j.finish()
	t.Logf("%d keys, %d kills, %d calls: %v", len(j.prompts), kills, len(j.server.Calls()), faultCounts(j.server))
}

// finish lets the program end, and once more find that nothing is left.
func (j *job) finish() {
	j.t.Helper()
	for range 2 {
		cmd, output := j.start()
		if err := cmd.Wait(); err != nil {
			j.t.Fatalf("run %d: %v\n%s", j.runs, err, output)
		}
		j.inspect()
	}
	if len(j.finished) != len(j.prompts) {
		j.t.Errorf("%d keys are finished, want %d", len(j.finished), len(j.prompts))
	}
	for _, k := range j.prompts {
		if !j.finished[k] {
			j.t.Errorf("%s is missing", k)
		}
	}
	if broken := j.server.BrokenWaits(); len(broken) > 0 {
		j.t.Errorf("Retry-After was not obeyed: %s", strings.Join(broken, "; "))
	}
	counts := faultCounts(j.server)
	for _, f := range flaky.Faults() {
		if len(j.prompts) >= 60 && counts[f] == 0 {
			j.t.Errorf("the server never served %q: the test proves less than it says", f)
		}
	}
}

func faultCounts(s *flaky.Server) map[flaky.Fault]int {
	counts := map[flaky.Fault]int{}
	for _, c := range s.Calls() {
		counts[c.Fault]++
	}
	return counts
}
