package attribution

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// The made-up agents of testdata/episodes.jsonl.
const (
	maeve = "Maeve O'Malley"
	jose  = "José Núñez-Ortega"
)

// madeUp returns the made-up episodes.
func madeUp(t testing.TB) []*episode.Episode {
	t.Helper()
	var eps []*episode.Episode
	for ep, err := range episode.ReadFile("testdata/episodes.jsonl") {
		if err != nil {
			t.Fatal(err)
		}
		eps = append(eps, ep)
	}
	return eps
}

// each yields episodes without errors.
func each(eps []*episode.Episode) iter.Seq2[*episode.Episode, error] {
	return func(yield func(*episode.Episode, error) bool) {
		for _, ep := range eps {
			if !yield(ep, nil) {
				return
			}
		}
	}
}

// model is a scripted chat model. It notes what it is asked and answers with
// answer, or with a valid reply where that is nil.
type model struct {
	answer func(call int, r episode.Request) (string, error)

	mu      sync.Mutex
	prompts []string
}

func (m *model) Chat(ctx context.Context, r episode.Request) (episode.Reply, error) {
	if err := ctx.Err(); err != nil {
		return episode.Reply{}, err
	}
	m.mu.Lock()
	call := len(m.prompts)
	m.prompts = append(m.prompts, r.Messages[0].Content)
	m.mu.Unlock()
	if m.answer == nil {
		return usable(r), nil
	}
	text, err := m.answer(call, r)
	return episode.Reply{Text: text, Usage: episode.Usage{PromptTokens: 100, CompletionTokens: 10}}, err
}

func (m *model) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.prompts)
}

// usable scores every utterance asked for with its index modulo 4.
func usable(r episode.Request) episode.Reply {
	_, rest, _ := strings.Cut(r.Messages[0].Content, "The keys are: ")
	keys, _, _ := strings.Cut(rest, ".")
	var entries []string
	for _, k := range strings.Split(keys, ", ") {
		var index int
		fmt.Sscan(k, &index)
		entries = append(entries, fmt.Sprintf("%q: %d", k, index%4))
	}
	return episode.Reply{
		Text:  "{\"scores\": {" + strings.Join(entries, ", ") + "}}",
		Usage: episode.Usage{PromptTokens: 100, CompletionTokens: 10},
	}
}

// replies answers with the given texts in turn, and with the last for ever.
func replies(texts ...string) *model {
	return &model{answer: func(call int, _ episode.Request) (string, error) {
		return texts[min(call, len(texts)-1)], nil
	}}
}

// figures returns the attributions and rewards of the agent's utterances.
func figures(a *Attribution) (attributions, rewards []float64) {
	for _, c := range a.Own() {
		attributions, rewards = append(attributions, c.Attribution), append(rewards, c.Reward)
	}
	return attributions, rewards
}

func wantFigures(t *testing.T, a *Attribution, attributions, rewards []float64) {
	t.Helper()
	gotA, gotR := figures(a)
	if !slices.Equal(gotA, attributions) || !slices.EqualFunc(gotR, rewards, close12) {
		t.Errorf("%s: attributions %v, rewards %v; want %v, %v", a.Key, gotA, gotR, attributions, rewards)
	}
}

func close12(x, y float64) bool { return math.Abs(x-y) < 1e-12 }
