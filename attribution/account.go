package attribution

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/socialrl/socialrl/episode"
)

// ErrBudget says that the next call could cost more than is left.
var ErrBudget = errors.New("budget is spent")

// Price is what a model's tokens cost, in any currency.
type Price struct {
	Prompt     float64 // of a million tokens of prompt
	Completion float64 // of a million tokens of reply
}

// Cost returns the price of a call.
func (p Price) Cost(promptTokens, completionTokens int) float64 {
	return (p.Prompt*float64(promptTokens) + p.Completion*float64(completionTokens)) / 1e6
}

// Chat asks a model on behalf of an attribution. Within [Annotate] it counts the
// call, its tokens and its cost, and gives an error that wraps [ErrBudget]
// instead of calling where the money does not reach. Attributors of your own
// should ask their models through it. Outside Annotate it is llm.Chat.
//
// Where the reply does not tell its tokens they are estimated at four bytes
// each.
func Chat(ctx context.Context, llm episode.LLM, r episode.Request) (episode.Reply, error) {
	reply, err := accountedChat(ctx, llm, r)
	if m, ok := ctx.Value(meterKey{}).(*meter); ok && err == nil {
		m.add(Usage{Calls: 1, Usage: reply.Usage})
	}
	return reply, err
}

func accountedChat(ctx context.Context, llm episode.LLM, r episode.Request) (episode.Reply, error) {
	a, _ := ctx.Value(accountKey{}).(*account)
	if a == nil {
		reply, err := llm.Chat(ctx, r)
		reply.Usage = completeUsage(reply, r, err)
		return reply, err
	}
	held, err := a.reserve(r)
	if err != nil {
		return episode.Reply{}, err
	}
	reply, err := llm.Chat(ctx, r)
	reply.Usage = completeUsage(reply, r, err)
	if reply.Usage.Cost == 0 {
		reply.Usage.Cost = a.price.Cost(reply.Usage.PromptTokens, reply.Usage.CompletionTokens)
	}
	a.settle(held, reply.Usage, err)
	return reply, err
}

// completeUsage estimates the tokens of an answered call that does not tell
// them.
func completeUsage(reply episode.Reply, r episode.Request, err error) episode.Usage {
	u := reply.Usage
	if err == nil && u.PromptTokens == 0 && u.CompletionTokens == 0 {
		u.PromptTokens, u.CompletionTokens = promptTokens(r), tokens(reply.Text)
	}
	return u
}

// tokens estimates the tokens of a text.
func tokens(text string) int { return (len(text) + 3) / 4 }

// promptTokens estimates the tokens of a request's messages.
func promptTokens(r episode.Request) int {
	n := 0
	for _, m := range r.Messages {
		n += tokens(m.Content) + 4 // the role and its marks
	}
	return n
}

type accountKey struct{}

// account counts what a run spends.
type account struct {
	price       Price
	max         float64 // 0: no limit
	replyTokens int     // expected tokens of a reply
	earlier     float64 // cost of earlier runs

	mu    sync.Mutex
	spent Usage
	held  float64 // expected cost of running calls
}

// estimate returns what a call is expected to take.
func (a *account) estimate(r episode.Request) Usage {
	u := Usage{Calls: 1}
	u.PromptTokens, u.CompletionTokens = promptTokens(r), a.replyTokens
	if r.MaxTokens > 0 {
		u.CompletionTokens = min(u.CompletionTokens, r.MaxTokens)
	}
	u.Cost = a.price.Cost(u.PromptTokens, u.CompletionTokens)
	return u
}

// reserve sets aside the expected cost of a call.
func (a *account) reserve(r episode.Request) (held float64, err error) {
	held = a.estimate(r).Cost
	a.mu.Lock()
	defer a.mu.Unlock()
	used := a.earlier + a.spent.Cost + a.held
	if a.max > 0 && used+held > a.max {
		return 0, fmt.Errorf("attribution: %w: %.6g of %.6g are spent or held for running calls, and the next call is expected to cost %.3g",
			ErrBudget, used, a.max, held)
	}
	a.held += held
	return held, nil
}

// settle replaces the expected cost of a call by the true one.
func (a *account) settle(held float64, u episode.Usage, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= held
	calls := 1
	if err != nil {
		calls = 0
	}
	a.spent.Add(Usage{Calls: calls, Usage: u})
}

// total returns what the run has spent.
func (a *account) total() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent
}
