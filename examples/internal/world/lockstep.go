package world

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/socialrl/socialrl/episode"
)

// Prompt is what a learner is asked at one of its turns.
type Prompt struct {
	Case int    // index of the case that is played
	Turn int    // turn of the episode
	Text string // what [Template] makes of the learner's view
}

// Lockstep plays all cases at once with a function that answers many prompts
// together, such as a model that samples in batches: every round asks for one
// reply in each episode that is not over, in the order of the cases. A reply
// that holds no action counts as doing nothing. Episodes are judged where judge
// is true. The first error ends everything.
func Lockstep(ctx context.Context, cases []Case, judge bool, reply func(context.Context, []Prompt) ([]string, error), opts ...episode.Option) ([]*episode.Episode, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	asked := make(chan question)
	episodes := make([]*episode.Episode, len(cases))
	var wg sync.WaitGroup
	for i, c := range cases {
		wg.Go(func() {
			defer func() { asked <- question{done: true} }()
			e, err := PlayCase(ctx, c, asker(i, asked), judge, opts...)
			if err != nil {
				cancel(err)
			}
			episodes[i] = e
		})
	}
	answerAll(ctx, cancel, len(cases), asked, reply)
	wg.Wait()
	return episodes, context.Cause(ctx)
}

// question is a prompt that waits for its reply, or word that an episode is over.
type question struct {
	Prompt
	reply chan<- string
	done  bool
}

// asker is an agent that has others answer.
func asker(i int, asked chan<- question) episode.Agent {
	return Replies(func(ctx context.Context, _ Case, turn int, prompt string) (string, error) {
		reply := make(chan string, 1)
		asked <- question{Prompt: Prompt{i, turn, prompt}, reply: reply}
		text, ok := <-reply
		if !ok {
			return "", context.Cause(ctx)
		}
		return text, nil
	})(Case{})
}

// answerAll answers round by round until n episodes are over.
func answerAll(ctx context.Context, cancel context.CancelCauseFunc, n int, asked <-chan question, reply func(context.Context, []Prompt) ([]string, error)) {
	for n > 0 {
		var round []question
		for len(round) < n {
			if q := <-asked; q.done {
				n--
			} else {
				round = append(round, q)
			}
		}
		if n > 0 {
			answer(ctx, cancel, round, reply)
		}
	}
}

func answer(ctx context.Context, cancel context.CancelCauseFunc, round []question, reply func(context.Context, []Prompt) ([]string, error)) {
	slices.SortFunc(round, func(a, b question) int { return cmp.Compare(a.Case, b.Case) })
	prompts := make([]Prompt, len(round))
	for i, q := range round {
		prompts[i] = q.Prompt
	}
	var texts []string
	err := context.Cause(ctx)
	if err == nil {
		texts, err = reply(ctx, prompts)
	}
	if err == nil && len(texts) != len(prompts) {
		err = fmt.Errorf("world: %d replies to %d prompts", len(texts), len(prompts))
	}
	if err != nil {
		cancel(err)
	}
	for i, q := range round {
		if err == nil {
			q.reply <- texts[i]
		}
		close(q.reply)
	}
}
