package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// Handler does a job and returns its result. What goes wrong in the job itself belongs
// into the result: an error says that this worker could not do it, and that it is to be
// tried again.
type Handler func(ctx context.Context, payload []byte) (result []byte, err error)

// WorkOptions say how a worker works.
type WorkOptions struct {
	Handlers    map[Kind]Handler // what it does
	Concurrency int              // jobs at once; 0 is the number of processors
	// Grace is how long running jobs may go on when the worker is stopped; those that
	// are not done then go back into the queue. 0 is 8 seconds.
	Grace time.Duration
	// OnJob is told every job that the worker was done with, with the error where it
	// could not do it; nil for none. It is called by several goroutines.
	OnJob func(kind Kind, took time.Duration, err error)
	// OnTrouble is told what is wrong with the connection; nil for none.
	OnTrouble func(text string)
}

// Work does jobs until ctx is done.
func (q *Queue) Work(ctx context.Context, o WorkOptions) error {
	queues := map[string]int{}
	for kind := range o.Handlers {
		queues[kind.queue()] = 1
	}
	if len(queues) == 0 {
		return errors.New("jobs: Work: no handlers")
	}
	server := asynq.NewServerFromRedisClient(q.client, asynq.Config{
		Queues: queues, Concurrency: o.Concurrency, ShutdownTimeout: o.Grace,
		TaskCheckInterval: 100 * time.Millisecond, DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc: retryDelay, Logger: logger{q, o.OnTrouble}, LogLevel: asynq.ErrorLevel,
	})
	if err := server.Start(asynq.HandlerFunc(o.handle)); err != nil {
		return q.fail("work", err)
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// handle does one job.
func (o WorkOptions) handle(ctx context.Context, t *asynq.Task) error {
	start := time.Now()
	kind := Kind(t.Type())
	result, err := o.do(ctx, kind, t.Payload())
	if err == nil {
		_, err = t.ResultWriter().Write(result)
	}
	if o.OnJob != nil {
		o.OnJob(kind, time.Since(start), err)
	}
	return err
}

func (o WorkOptions) do(ctx context.Context, kind Kind, payload []byte) ([]byte, error) {
	do, ok := o.Handlers[kind]
	if !ok {
		return nil, fmt.Errorf("this worker does no jobs of kind %q", kind)
	}
	return do(ctx, payload)
}

// retryDelay sends the job of a worker that died to another one at once. A worker that
// could not do its job leaves it alone for a while.
func retryDelay(n int, err error, _ *asynq.Task) time.Duration {
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return 0
	}
	return min(time.Second<<n, time.Minute)
}

// logger passes errors of the engine on.
type logger struct {
	q    *Queue
	tell func(string)
}

func (logger) Debug(...any) {}
func (logger) Info(...any)  {}
func (logger) Warn(...any)  {}

// Error tells an error.
func (l logger) Error(args ...any) {
	if l.tell != nil {
		l.tell(l.q.fail("work", errors.New(fmt.Sprint(args...))).Error())
	}
}

// Fatal tells an error as well: the program decides when it ends.
func (l logger) Fatal(args ...any) { l.Error(args...) }
