package world

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// constantJSON answers every prompt with the same action.
func constantJSON(text string, rounds *[]int) func(context.Context, []Prompt) ([]string, error) {
	return func(_ context.Context, prompts []Prompt) ([]string, error) {
		*rounds = append(*rounds, len(prompts))
		replies := make([]string, len(prompts))
		for i := range replies {
			replies[i] = say(text).JSON()
		}
		return replies, nil
	}
}

func TestLockstepPlaysWhatPlayPlays(t *testing.T) {
	cases := Cases(Scenarios()[:30], 2, 1)
	const text = "With patience, what could you pay?"
	var rounds []int
	got, err := Lockstep(context.Background(), cases, true, constantJSON(text, &rounds))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Play(context.Background(), cases, Constant(text))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("episodes differ")
	}
	if rounds[0] != len(cases) {
		t.Errorf("the first round asks %d times, want %d", rounds[0], len(cases))
	}
}

func TestLockstepAsksWithThePromptsOfTheItems(t *testing.T) {
	cases := Cases(Scenarios(), 1, 1)
	asked := map[int]map[int]string{}
	episodes, err := Lockstep(context.Background(), cases, false, func(_ context.Context, prompts []Prompt) ([]string, error) {
		replies := make([]string, len(prompts))
		for i, p := range prompts {
			if i > 0 && prompts[i-1].Case >= p.Case {
				t.Error("prompts are not in the order of the cases")
			}
			if asked[p.Case] == nil {
				asked[p.Case] = map[int]string{}
			}
			asked[p.Case][p.Turn] = p.Text
			replies[i] = say("With haste, what holds you back?").JSON()
		}
		return replies, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range episodes {
		items, err := e.Items(cases[i].Learner.Name, Template())
		if err != nil {
			t.Fatal(err)
		}
		if len(items) != len(asked[i]) {
			t.Errorf("%s: %d items, asked %d times", e.ID, len(items), len(asked[i]))
		}
		for _, item := range items {
			if asked[i][item.Turn] != item.Input {
				t.Errorf("%s, turn %d: asked %q, want %q", e.ID, item.Turn, asked[i][item.Turn], item.Input)
			}
		}
	}
}

func TestLockstepUnreadableReplyDoesNothing(t *testing.T) {
	cases := Cases(Scenarios()[:1], 1, 1)
	episodes, err := Lockstep(context.Background(), cases, true, func(_ context.Context, prompts []Prompt) ([]string, error) {
		return make([]string, len(prompts)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if own := episodes[0].UtterancesOf(cases[0].Learner.Name); len(own) != 0 {
		t.Errorf("the learner said %v", own)
	}
}

func TestLockstepEndsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	_, err := Lockstep(context.Background(), Cases(Scenarios(), 1, 1), true, func(_ context.Context, prompts []Prompt) ([]string, error) {
		if calls++; calls == 2 {
			return nil, broken
		}
		var rounds []int
		return constantJSON("With haste, what holds you back?", &rounds)(context.Background(), prompts)
	})
	if !errors.Is(err, broken) || calls != 2 {
		t.Errorf("error %v after %d calls, want %v after 2", err, calls, broken)
	}
	_, err = Lockstep(context.Background(), Cases(Scenarios(), 1, 1), true, func(context.Context, []Prompt) ([]string, error) {
		return []string{"one"}, nil
	})
	if err == nil {
		t.Error("a wrong number of replies is no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Lockstep(ctx, Cases(Scenarios(), 1, 1), true, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestByScenario(t *testing.T) {
	cases := Cases(Scenarios()[:2], 2, 1)
	got := ByScenario(cases, []Score{{Goal: 1}, {Goal: 3}, {Goal: 5, Words: 2}, {Goal: 5, Words: 4}})
	if want := []Score{{Goal: 2}, {Goal: 5, Words: 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if m := Mean(got); m.Goal != 3.5 {
		t.Errorf("mean goal %v, want 3.5", m.Goal)
	}
}

func TestWordsPerUtterance(t *testing.T) {
	c := caseOf(Favour, 0)
	script := episode.Script{say("One two three."), {Type: episode.None}, say("One.")}
	e, err := PlayCase(context.Background(), c, script, true)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ScoreOf(c, e); err != nil || s.Words != 2 {
		t.Errorf("%v words per utterance, %v, want 2", s.Words, err)
	}
}
