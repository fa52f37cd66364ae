package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/socialrl/socialrl/internal/redisurl"
)

// Queue is a connection to a Redis that holds jobs. It may be used by several
// goroutines.
type Queue struct {
	client *redis.Client
	send   *asynq.Client
	look   *asynq.Inspector
}

// Open connects to the Redis at a URL such as redis://:PASSWORD@host:6379/0. Errors
// never hold the password.
func Open(ctx context.Context, rawURL string) (*Queue, error) {
	client, err := redisurl.Open(rawURL)
	if err != nil {
		return nil, err
	}
	q := &Queue{client, asynq.NewClientFromRedisClient(client), asynq.NewInspectorFromRedisClient(client)}
	if err := client.Ping(ctx).Err(); err != nil {
		client.Close()
		return nil, q.fail("connect", err)
	}
	return q, nil
}

// Addr is the host and port of the Redis.
func (q *Queue) Addr() string { return q.client.Options().Addr }

// Close closes the connection.
func (q *Queue) Close() error { return q.client.Close() }

// fail wraps an error. One whose text holds the password is replaced.
func (q *Queue) fail(op string, err error) error {
	secret := q.client.Options().Password
	if secret != "" && strings.Contains(err.Error(), secret) {
		err = errors.New(strings.ReplaceAll(err.Error(), secret, "***"))
	}
	return fmt.Errorf("redis %s: %s: %w", q.Addr(), op, err)
}

// Submit puts a job into the queue unless it is there, waiting, running or done. A job
// that was given up is put there anew.
func (q *Queue) Submit(ctx context.Context, j Job) error {
	err := q.enqueue(ctx, j)
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		return err
	}
	info, err := q.info(j)
	if err != nil || info == nil || info.State != asynq.TaskStateArchived {
		return err
	}
	if err := q.Forget(j); err != nil {
		return err
	}
	if err := q.enqueue(ctx, j); !errors.Is(err, asynq.ErrTaskIDConflict) { // another process was quicker
		return err
	}
	return nil
}

func (q *Queue) enqueue(ctx context.Context, j Job) error {
	_, err := q.send.EnqueueContext(ctx, asynq.NewTask(string(j.Kind), j.Payload), asynq.TaskID(j.ID()),
		asynq.Queue(j.Kind.queue()), asynq.Retention(keep), asynq.Timeout(longest), asynq.MaxRetry(deaths))
	if err != nil {
		return q.fail("submit "+j.Key, err)
	}
	return nil
}

// info returns what is known of a job, nil where it is not in the queue.
func (q *Queue) info(j Job) (*asynq.TaskInfo, error) {
	info, err := q.look.GetTaskInfo(j.Kind.queue(), j.ID())
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, q.fail("look at "+j.Key, err)
	}
	return info, nil
}

func gone(err error) bool {
	return errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound)
}

// The time between two looks at a job that somebody waits for.
const (
	leastWait = 10 * time.Millisecond
	mostWait  = 250 * time.Millisecond
)

// Wait returns the result of a job as soon as there is one. A job that is not in the
// queue is submitted. A job that was given up is an error that says what went wrong
// last.
func (q *Queue) Wait(ctx context.Context, j Job) ([]byte, error) {
	for wait := leastWait; ; wait = min(2*wait, mostWait) {
		info, err := q.info(j)
		switch {
		case err != nil:
			return nil, err
		case info == nil:
			if err := q.Submit(ctx, j); err != nil {
				return nil, err
			}
		case info.State == asynq.TaskStateCompleted:
			return info.Result, nil
		case info.State == asynq.TaskStateArchived:
			return nil, fmt.Errorf("%s was given up after %d attempts; the last: %s", j.Key, info.Retried+1, info.LastErr)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// Forget removes a job and its result from the queue. What a worker is about to do
// stays, and so does its result.
func (q *Queue) Forget(j Job) error {
	err := q.look.DeleteTask(j.Kind.queue(), j.ID())
	if err == nil || gone(err) {
		return nil
	}
	if info, _ := q.info(j); info == nil || info.State == asynq.TaskStateActive {
		return nil
	}
	return q.fail("forget "+j.Key, err)
}

// Withdraw removes a job that nobody has begun from the queue. One that is running or
// done stays, and so does its result.
func (q *Queue) Withdraw(j Job) error {
	info, err := q.info(j)
	if err != nil || info == nil || info.State == asynq.TaskStateActive || info.State == asynq.TaskStateCompleted {
		return err
	}
	return q.Forget(j)
}

// Watch tells how many workers there are for jobs of a kind, at once and whenever that
// changes, until stop is called or the Redis cannot be asked.
func (q *Queue) Watch(kind Kind, tell func(text string)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := -1; ; {
			n, err := q.Workers(kind)
			if err != nil {
				return
			}
			if n != last {
				tell(q.describe(n))
			}
			last = n
			select {
			case <-done:
				return
			case <-time.After(2 * time.Second):
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func (q *Queue) describe(workers int) string {
	switch workers {
	case 0:
		return fmt.Sprintf("no worker is connected to redis %s; start examples/worker", q.Addr())
	case 1:
		return fmt.Sprintf("1 worker is connected to redis %s", q.Addr())
	}
	return fmt.Sprintf("%d workers are connected to redis %s", workers, q.Addr())
}

// Workers returns how many processes are ready to do jobs of a kind.
func (q *Queue) Workers(kind Kind) (int, error) {
	servers, err := q.look.Servers()
	if err != nil {
		return 0, q.fail("count workers", err)
	}
	n := 0
	for _, s := range servers {
		if s.Queues[kind.queue()] > 0 {
			n++
		}
	}
	return n, nil
}
