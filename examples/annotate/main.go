// Command annotate gives every utterance of a file of episodes its share of the
// episode's scores, by a chat model or in closed form, and writes JSON lines.
//
//	annotate -episodes episodes.jsonl -out annotated.jsonl \
//	    -url https://api.openai.com/v1 -model gpt-4o -dimensions goal,relationship,knowledge
//
// With -redis the work is done by any number of processes of examples/worker, on
// any machines that share the Redis; the file is the one that -concurrency 1 writes.
//
// Started again with the same files it continues where it stopped. It exits with
// 0 when everything is annotated, with 1 when something failed, was interrupted
// or went over the budget, and with 2 on wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/progress"
)

func main() { os.Exit(run(os.Args[1:])) }

// run is the program; it returns the exit code.
func run(args []string) int {
	f, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "annotate:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := f.checkFiles(); err != nil {
		fmt.Fprintln(os.Stderr, "annotate:", err)
		return 1
	}
	bar := progress.New(os.Stderr, "annotate", 0)
	f.options.OnProgress = func(s attribution.Summary) { bar.Set(s.Done, note(s)) }
	f.options.OnFailure = func(err error) { logBadLine(bar, err) }
	if f.showPrompts {
		f.options.OnRequest = showPrompt
	}
	sum, err := f.annotate(ctx, bar)
	bar.Close()
	report(sum, f.options)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted; start again to go on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "annotate:", err)
		return 1
	}
	return 0
}

// annotate does the work, or has workers do it.
func (s *settings) annotate(ctx context.Context, bar *progress.Bar) (attribution.Summary, error) {
	episodes := episode.ReadFile(s.episodes)
	if s.redis == "" || s.options.DryRun {
		return attribution.Annotate(ctx, episodes, s.methods, s.options)
	}
	q, err := jobs.Open(ctx, s.redis)
	if err != nil {
		return attribution.Summary{}, err
	}
	defer q.Close()
	stop := q.Watch(jobs.Annotate, func(text string) { bar.Logf("annotate: %s", text) })
	defer stop()
	return q.Annotate(ctx, episodes, jobs.AnnotateOptions{
		AnnotateOptions: s.options, Methods: s.spec, Endpoint: s.endpoint, Ahead: s.ahead,
	})
}

// logBadLine tells of an episode that cannot be read. Failed attributions stand
// in their file.
func logBadLine(bar *progress.Bar, err error) {
	var line *episode.LineError
	if errors.As(err, &line) {
		bar.Logf("annotate: %v", err)
	}
}

// note is what stands beside the progress.
func note(s attribution.Summary) string {
	n := fmt.Sprintf("%d skipped, %d failed, %d calls, %d tokens", s.Skipped, s.Failed, s.Usage.Calls,
		s.Usage.PromptTokens+s.Usage.CompletionTokens)
	if s.Usage.Cost > 0 {
		n += fmt.Sprintf(", cost %.4f", s.Usage.Cost)
	}
	return n
}

// report prints the totals on standard output.
func report(s attribution.Summary, o attribution.AnnotateOptions) {
	verb := "annotated"
	if o.DryRun {
		verb = "to annotate"
	}
	fmt.Printf("episodes %d, unreadable %d, %s %d, skipped %d, failed %d\n", s.Episodes, s.BadEpisodes, verb, s.Done, s.Skipped, s.Failed)
	fmt.Printf("calls %d, prompt tokens %d, reply tokens %d, cost %.6f\n",
		s.Usage.Calls, s.Usage.PromptTokens, s.Usage.CompletionTokens, s.Usage.Cost)
	if s.Earlier.Calls > 0 {
		fmt.Printf("earlier runs: calls %d, cost %.6f\n", s.Earlier.Calls, s.Earlier.Cost)
	}
}

// showPrompt prints what a call would ask.
func showPrompt(k attribution.Key, r episode.Request) {
	fmt.Printf("=== %s\n", k)
	for _, m := range r.Messages {
		fmt.Printf("[%s]\n%s\n", m.Role, m.Content)
	}
}
