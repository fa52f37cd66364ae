package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
)

func localModel(t *testing.T, o policy.LocalOptions) *policy.Local {
	t.Helper()
	p, err := policy.New(tiny.Base(t, "cpu"), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := policy.NewLocal(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// request asks for a short reply with a seed.
func request(text string, seed int64) episode.Request {
	return episode.Request{Messages: episode.Prompt(text), Temperature: new(1.0), MaxTokens: 12, Seed: &seed}
}

// A reply is the same alone and beside others, and with or without what earlier
// calls left in the cache; calls that come together are drawn together.
func TestLocalRepliesDependOnTheirRequestAlone(t *testing.T) {
	const n = 12
	alone := make([]episode.Reply, n)
	for i := range n {
		l := localModel(t, policy.LocalOptions{})
		reply, err := l.Chat(t.Context(), request(fmt.Sprint("Hello ", i/3), int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		alone[i] = reply
	}
	together := localModel(t, policy.LocalOptions{Keep: 2})
	for range 2 {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				reply, err := together.Chat(t.Context(), request(fmt.Sprint("Hello ", i/3), int64(i)))
				if err != nil || reply != alone[i] {
					t.Errorf("call %d: %+v, %v, want %+v", i, reply, err, alone[i])
				}
			})
		}
		wg.Wait()
	}
	if s := together.Stats(); s.Calls != 2*n || s.MostLive < 2 || s.Steps >= s.ReplyTokens || s.CachedTokens == 0 {
		t.Errorf("%+v: the calls were not drawn together", s)
	}
}

// An agent's next prompt costs what is new in it.
func TestLocalKeepsPrompts(t *testing.T) {
	l := localModel(t, policy.LocalOptions{})
	history := "The two of you have one boat, and a storm is on its way."
	computed := 0
	for turn := range 5 {
		before := l.Stats()
		if _, err := l.Chat(t.Context(), request(history+" Now?", 1)); err != nil {
			t.Fatal(err)
		}
		s := l.Stats()
		computed = s.PromptTokens - before.PromptTokens - (s.CachedTokens - before.CachedTokens)
		if turn > 0 && computed > 120 {
			t.Errorf("turn %d computed %d tokens of its prompt of %d", turn, computed, s.PromptTokens-before.PromptTokens)
		}
		history += strings.Repeat("a", 20)
	}
}

// With the schema of an action every reply is one, whatever the model would say.
func TestLocalKeepsToSchemas(t *testing.T) {
	l := localModel(t, policy.LocalOptions{})
	agent := &episode.LLMAgent{LLM: l, Seed: 3, MaxTokens: 80}
	scene := episode.Scene{Scenario: "A boat.", Participants: [2]episode.Participant{{Name: "Ann"}, {Name: "Bo"}}}
	template, err := episode.NewPromptTemplate("{history}\n{agent}:")
	if err != nil {
		t.Fatal(err)
	}
	agent.Template = template
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			e, err := episode.Play(t.Context(), scene, []episode.Agent{agent, agent}, episode.WithID(fmt.Sprint("e", i)), episode.WithMaxTurns(4))
			if err != nil {
				t.Error(err)
				return
			}
			r, err := e.Replies()
			if total := r[0].Replies + r[1].Replies; err != nil || total == 0 || r[0].Parsed() != 1 || r[1].Parsed() != 1 {
				t.Errorf("replies %+v, %v", r, err)
			}
		})
	}
	wg.Wait()
}

// A call that is given up leaves room for others, and a closed model refuses.
func TestLocalGivesUp(t *testing.T) {
	l := localModel(t, policy.LocalOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Chat(ctx, request("Hello", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if _, err := l.Chat(t.Context(), request("Hello", 1)); err != nil {
		t.Error(err)
	}
	l.Close()
	if _, err := l.Chat(t.Context(), request("Hello", 1)); err == nil {
		t.Error("a closed model answers")
	}
}

// A prompt beyond the window loses its oldest turns, and is refused where that is
// not enough.
func TestLocalWindow(t *testing.T) {
	l := localModel(t, policy.LocalOptions{Window: 160})
	turns := "View.\nTurn #0: " + strings.Repeat("a", 60) + "\nTurn #1: " + strings.Repeat("b", 60) + "\nNow?"
	reply, err := l.Chat(t.Context(), request(turns, 1))
	if err != nil || reply.Usage.PromptTokens > 148 {
		t.Errorf("%+v, %v", reply, err)
	}
	if _, err := l.Chat(t.Context(), request(strings.Repeat("a", 200), 1)); !errors.Is(err, policy.ErrTooLong) {
		t.Errorf("error is %v", err)
	}
	for why, r := range map[string]episode.Request{
		"no messages": {}, "a bad schema": {Messages: episode.Prompt("x"), Schema: []byte(`{"type": "boat"}`)},
		"a bad temperature": {Messages: episode.Prompt("x"), Temperature: new(-1.0)},
	} {
		if _, err := l.Chat(t.Context(), r); err == nil {
			t.Errorf("%s is answered", why)
		}
	}
}
