// Package jobs spreads the work of the example programs over machines that share a
// Redis, with the task engine asynq (github.com/hibiken/asynq). One program, such as
// annotate, plans the jobs, hands them out and collects the results; any number of
// processes of examples/worker do them.
//
//	q, err := jobs.Open(ctx, "redis://:PASSWORD@HOST:6379")
//	defer q.Close()
//	err = q.Submit(ctx, job)           // as many as are to run at once
//	result, err := q.Wait(ctx, job)    // in the order in which results are wanted
//	err = q.Forget(job)                // once the result is on the disk
//
// # What is promised
//
// A job is known by its key and its payload. However often it is submitted, by however
// many processes, it is in the queue once, and its result stays there until it is
// forgotten, or for a week.
//
// A worker that dies with a job, also by kill -9, stops renewing its lease on it, which
// lasts 30 seconds. Every worker looks once a minute, and when it starts, for leases that
// have been over for 30 seconds, and puts such jobs back into the queue. A worker that is
// only cut off from the Redis may do a job that another one does as well: the result of a
// job may be computed twice, but there is one place for it, and it is collected once.
//
// A program that is interrupted takes back the jobs that nobody has begun. One that is
// killed leaves them; started again it finds its jobs, and the results of those that
// were done meanwhile.
//
// Directories and files that a job names must be there on the machines of the workers.
// Passwords and API keys do not travel with jobs: each worker has its own.
package jobs
