package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/redistest"
)

func open(t *testing.T, url string) *jobs.Queue {
	t.Helper()
	q, err := jobs.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func newJob(t *testing.T, key string, payload any) jobs.Job {
	t.Helper()
	j, err := jobs.NewJob(jobs.Annotate, key, payload)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// start starts a worker, which stops before the test ends.
func start(t *testing.T, q *jobs.Queue, h jobs.Handler) {
	t.Helper()
	startWith(t, q, map[jobs.Kind]jobs.Handler{jobs.Annotate: h})
}

func startWith(t *testing.T, q *jobs.Queue, handlers map[jobs.Kind]jobs.Handler) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- q.Work(ctx, jobs.WorkOptions{
			Handlers: handlers, Concurrency: 2, Grace: time.Second,
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func wait(t *testing.T, q *jobs.Queue, j jobs.Job) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result, err := q.Wait(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

// A job is its kind, key and payload: with other settings it is another job, and the same
// job from anywhere has the same name.
func TestJobsAreKnownByKeyAndPayload(t *testing.T) {
	a := newJob(t, "a", 1)
	for _, c := range []struct {
		why   string
		other jobs.Job
		same  bool
	}{
		{"the same", newJob(t, "a", 1), true},
		{"another key", newJob(t, "b", 1), false},
		{"another payload", newJob(t, "a", 2), false},
		{"the border of key and payload elsewhere", newJob(t, "a 1", ""), false},
	} {
		if same := a.ID() == c.other.ID(); same != c.same {
			t.Errorf("%s: same name: %t, want %t", c.why, same, c.same)
		}
	}
}

// However often a job is submitted it is done once, and its result waits until it is
// forgotten.
func TestJobsAreDoneOnce(t *testing.T) {
	t.Parallel()
	url := redistest.Start(t)
	q, other := open(t, url), open(t, url)
	var done atomic.Int64
	first := newJob(t, "first", 1)
	for _, from := range []*jobs.Queue{q, q, other} {
		if err := from.Submit(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	start(t, q, func(_ context.Context, payload []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s done %d", payload, done.Add(1)), nil
	})
	for range 2 {
		if got := wait(t, other, first); got != "1 done 1" {
			t.Errorf("result is %q", got)
		}
		if err := other.Submit(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Forget(first); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, other, first); got != "1 done 2" {
		t.Errorf("result after it was forgotten is %q", got)
	}
}

// A worker that cannot do a job leaves it to another attempt; one that panics does not
// take the worker with it.
func TestFailedAttemptsAreRepeated(t *testing.T) {
	t.Parallel()
	q := open(t, redistest.Start(t))
	var attempts atomic.Int64
	start(t, q, func(context.Context, []byte) ([]byte, error) {
		switch attempts.Add(1) {
		case 1:
			return nil, errors.New("no memory")
		case 2:
			panic("broken")
		}
		return []byte("at last"), nil
	})
	if got := wait(t, q, newJob(t, "hard", 1)); got != "at last" {
		t.Errorf("result is %q", got)
	}
}

// What nobody has begun can be taken back; results stay.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	q := open(t, redistest.Start(t))
	a, b := newJob(t, "a", 1), newJob(t, "b", 2)
	done := make(chan string, 10)
	if err := errors.Join(q.Submit(t.Context(), a), q.Withdraw(a), q.Withdraw(a), q.Submit(t.Context(), b)); err != nil {
		t.Fatal(err)
	}
	start(t, q, func(_ context.Context, payload []byte) ([]byte, error) {
		done <- string(payload)
		return payload, nil
	})
	if got := wait(t, q, b); got != "2" || len(done) != 1 {
		t.Errorf("result is %q after %d jobs, want one", got, len(done))
	}
	if err := q.Withdraw(b); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, q, b); got != "2" || len(done) != 1 {
		t.Errorf("the result was withdrawn")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	q := open(t, redistest.Start(t))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errors.New("no patience"))
	defer cancel()
	if _, err := q.Wait(ctx, newJob(t, "a", 1)); err == nil || err.Error() != "no patience" {
		t.Errorf("error is %v", err)
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	url := redistest.Start(t)
	for _, wrong := range []string{strings.Replace(url, "pass", "hunter2", 1), "redis://:hunter2@127.0.0.1:1"} {
		_, err := jobs.Open(t.Context(), wrong)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "127.0.0.1:") {
			t.Errorf("error is %v, want one with the address and without the password", err)
		}
	}
}

// Values are entered n places ahead of the one that is asked for, and come in order.
func TestAhead(t *testing.T) {
	broken := errors.New("line 3 is broken")
	seq := func(yield func(int, error) bool) {
		for i := range 5 {
			if i == 2 && !yield(0, broken) || i != 2 && !yield(i, nil) {
				return
			}
		}
	}
	var events []string
	for v, err := range jobs.Ahead(seq, 2, func(v int) error { events = append(events, fmt.Sprint("enter ", v)); return nil }) {
		events = append(events, fmt.Sprint("take ", v, " ", err))
	}
	want := []string{
		"enter 0", "enter 1", "take 0 <nil>", "enter 3", "take 1 <nil>", "enter 4",
		"take 0 line 3 is broken", "take 3 <nil>", "take 4 <nil>",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events are\n%q, want\n%q", events, want)
	}
}

func TestAheadEndsWhereEnteringFails(t *testing.T) {
	full := errors.New("full")
	seq := func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) && yield(3, nil) }
	var got []string
	for v, err := range jobs.Ahead(seq, 1, func(v int) error {
		if v == 3 {
			return full
		}
		return nil
	}) {
		got = append(got, fmt.Sprint(v, " ", err))
	}
	if want := []string{"1 <nil>", "3 full"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
