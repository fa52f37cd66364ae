package episode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// replies answers calls with texts, in turn.
func replies(texts ...string) (episode.LLM, *[]episode.Request) {
	var mu sync.Mutex
	var asked []episode.Request
	return episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r)
		return episode.Reply{Text: texts[(len(asked)-1)%len(texts)], Usage: episode.Usage{PromptTokens: 10, CompletionTokens: 1}}, nil
	}), &asked
}

func said(text string) string { return episode.Action{Type: episode.Speak, Argument: text}.JSON() }

// What became of every reply stands in the episode, and survives its file.
func TestRepliesAreCounted(t *testing.T) {
	first, _ := replies(said("a"), "prose", said("b"), "more prose", `{"action_type": "leave"}`)
	mender, asked := replies(said("mended"), "no")
	a := &episode.LLMAgent{LLM: first, Reformat: mender}
	e, err := episode.Play(t.Context(), desk, []episode.Agent{a, silently(true, true, true, true, true)}, episode.WithStale(episode.StaleActions))
	if err != nil {
		t.Fatal(err)
	}
	want := episode.ReplyStats{Replies: 5, Repaired: 1, Lost: 1, Usage: episode.Usage{PromptTokens: 70, CompletionTokens: 7}}
	got, err := e.Replies()
	if err != nil || got != [2]episode.ReplyStats{want, {}} || want.Parsed() != 0.6 || len(*asked) != 2 {
		t.Errorf("counted %+v, %v, want %+v", got, err, want)
	}
	if texts := fmt.Sprint(e.SocialInteractions); !strings.Contains(texts, `Ann said: "mended"`) || strings.Count(texts, "Ann") != 4 {
		t.Errorf("interactions are %s", texts)
	}
	for again, err := range episode.ReadJSONL(strings.NewReader(line(t, e))) {
		if r, err2 := again.Replies(); errors.Join(err, err2) != nil || r != got {
			t.Errorf("read again: %+v, %v", r, err)
		}
	}
	quiet, err := episode.Play(t.Context(), desk, []episode.Agent{episode.Script{}, episode.Script{}})
	if err != nil || strings.Contains(line(t, quiet), "replies") {
		t.Errorf("an episode without models has counts: %s, %v", line(t, quiet), err)
	}
}

// Seeds differ by episode, seat, turn and proposal, and repeat.
func TestReplySeeds(t *testing.T) {
	seeds := map[int64]string{}
	for _, o := range []episode.Observation{
		{EpisodeID: "a"}, {EpisodeID: "b"}, {EpisodeID: "a", Seat: 1}, {EpisodeID: "a", Turn: 2},
	} {
		llm, asked := replies(said("x"))
		agent := &episode.LLMAgent{LLM: llm, Seed: 5}
		for range 2 {
			if _, err := agent.Act(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if *(*asked)[0].Seed != *(*asked)[1].Seed {
			t.Errorf("%v: the seed does not repeat", o)
		}
		if _, err := agent.Propose(t.Context(), o, 3); err != nil {
			t.Fatal(err)
		}
		for i, r := range (*asked)[2:] {
			seeds[*r.Seed] = fmt.Sprint(o, i)
		}
	}
	if len(seeds) != 12 {
		t.Errorf("%d different seeds of 12: %v", len(seeds), seeds)
	}
}

// An agent asks for actions that can be read as they stand, and names a plainer form
// for endpoints that do not know that one.
func TestActionSchema(t *testing.T) {
	for _, schema := range []json.RawMessage{episode.ActionSchema(), episode.ExactActionSchema()} {
		var v map[string]any
		if err := json.Unmarshal(schema, &v); err != nil {
			t.Fatal(err)
		}
	}
	llm, asked := replies(said("x"))
	for _, free := range []bool{false, true} {
		if _, err := (&episode.LLMAgent{LLM: llm, FreeText: free}).Act(t.Context(), episode.Observation{}); err != nil {
			t.Fatal(err)
		}
	}
	if bound := (*asked)[0]; !bytes.Equal(bound.Schema, episode.ExactActionSchema()) || !bytes.Equal(bound.PlainSchema, episode.ActionSchema()) {
		t.Errorf("asked for %s or %s", bound.Schema, bound.PlainSchema)
	}
	if free := (*asked)[1]; free.Schema != nil || free.PlainSchema != nil {
		t.Error("a schema is asked for where it should not be")
	}
}

func TestBestOfN(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		why     string
		replies []string
		scores  []float64
		want    string
		err     error
	}{
		{"the best", []string{said("a"), said("b"), said("c")}, []float64{1, 3, 2}, "b", nil},
		{"the first on a tie", []string{said("a"), said("b"), said("c")}, []float64{1, 2, 2}, "b", nil},
		{"not one without a score", []string{said("a"), said("b"), said("c")}, []float64{nan, -1, nan}, "b", nil},
		{"nothing can be scored", []string{said("a"), said("b"), said("c")}, []float64{nan, nan, nan}, "", episode.ErrUnscored},
		{"what is no action is no proposal", []string{"prose", said("b"), "prose"}, []float64{1}, "b", nil},
		{"where none is, the first is repaired", []string{"p", "q", "r"}, []float64{1}, "mended", nil},
	} {
		llm := episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
			if r.Seed == nil {
				return episode.Reply{Text: said("mended")}, nil
			}
			return episode.Reply{Text: c.replies[indexOfSeed(*r.Seed)]}, nil
		})
		var seen []string
		b := &episode.BestOfN{N: 3, Agent: &episode.LLMAgent{LLM: llm, Seed: 5, Reformat: llm},
			Scorer: episode.ActionScorerFunc(func(_ context.Context, _ episode.Observation, ps []episode.Proposal) ([]float64, error) {
				for _, p := range ps {
					seen = append(seen, p.Reply)
				}
				return c.scores, nil
			})}
		got, err := b.Act(t.Context(), episode.Observation{EpisodeID: "e"})
		if got.Argument != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v after %q", c.why, got, err, seen)
		}
	}
	short := &episode.BestOfN{N: 1, Agent: &episode.LLMAgent{LLM: func() episode.LLM { l, _ := replies(said("x")); return l }()},
		Scorer: episode.ActionScorerFunc(func(context.Context, episode.Observation, []episode.Proposal) ([]float64, error) { return nil, nil })}
	if _, err := short.Act(t.Context(), episode.Observation{}); err == nil {
		t.Error("a scorer may leave proposals out")
	}
}

// indexOfSeed returns the place of a proposal among three by its seed.
func indexOfSeed(seed int64) int {
	var order []int64
	probe := &episode.LLMAgent{Seed: 5}
	for i := range 3 {
		order = append(order, probeSeed(probe, i))
	}
	for i, s := range order {
		if s == seed {
			return i
		}
	}
	return -1
}

// probeSeed returns the seed that an agent sends for its i-th proposal.
func probeSeed(a *episode.LLMAgent, i int) int64 {
	return episode.ReplySeed(a.Seed, episode.Observation{EpisodeID: "e"}, i)
}

func TestHuman(t *testing.T) {
	var out bytes.Buffer
	h := &episode.Human{Out: &out, In: strings.NewReader("Hello there\n\n/dance\n/do  sits down\n/show\n/show smiles\n/none\n/leave\n")}
	o := episode.Observation{EpisodeID: "e", Agent: "Ann", Messages: []string{"\nview\n"}}
	for i, want := range []episode.Action{
		{Type: episode.Speak, Argument: "Hello there"}, {Type: episode.PhysicalAction, Argument: "sits down"},
		{Type: episode.NonVerbal, Argument: "smiles"}, {Type: episode.None}, {Type: episode.Leave}, {Type: episode.Leave},
	} {
		got, err := h.Act(t.Context(), o)
		if err != nil || got != want {
			t.Errorf("action %d: %+v, %v, want %+v", i, got, err, want)
		}
		o.Messages = append(o.Messages, fmt.Sprintf("Turn #%d: something", i))
	}
	for text, want := range map[string]int{"view": 1, "Turn #2: something": 1, "nothing typed": 1, `unknown command "/dance"`: 1, "/show needs words": 1} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%q is shown %d times, want %d, in\n%s", text, n, want, &out)
		}
	}
	reader, writer := io.Pipe()
	defer writer.Close()
	waits := &episode.Human{In: reader, Out: io.Discard}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waits.Act(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a line ends with %v", err)
	}
}

// An endpoint that does not know a schema's keywords is asked for the plainer one, one
// without schemas for a JSON object, and one that has neither for nothing; later calls
// know it.
func TestRemoteFallsBackFromSchemas(t *testing.T) {
	exact := episode.Request{Messages: episode.Prompt("Hi"), Schema: episode.ExactActionSchema(), PlainSchema: episode.ActionSchema()}
	plain := episode.Request{Messages: episode.Prompt("Hi"), Schema: episode.ActionSchema()}
	for _, c := range []struct {
		why     string
		request episode.Request
		refuses []string
		want    []string // forms of the requests of two calls
	}{
		{"all is there", exact, nil, []string{"anyOf", "anyOf"}},
		{"fewer keywords", exact, []string{"anyOf"}, []string{"anyOf", "json_schema", "json_schema"}},
		{"no schemas", exact, []string{"anyOf", "json_schema"}, []string{"anyOf", "json_schema", "json_object", "json_object"}},
		{"nothing", exact, []string{"anyOf", "json_schema", "json_object"}, []string{"anyOf", "json_schema", "json_object", "none", "none"}},
		{"all is there for the only schema", plain, nil, []string{"json_schema", "json_schema"}},
		{"the only schema is refused", plain, []string{"json_schema"}, []string{"json_schema", "json_object", "json_object"}},
	} {
		var forms []string
		e := &endpoint{answer: func(_ int, body string) (int, http.Header, string) {
			form := formIn(body)
			forms = append(forms, form)
			if slices.Contains(c.refuses, form) {
				return 400, nil, `{"error": {"message": "This model does not know response_format ` + form + `"}}`
			}
			return good(0, "")
		}}
		r := remote(e)
		for range 2 {
			if _, err := r.Chat(t.Context(), c.request); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		if !slices.Equal(forms, c.want) {
			t.Errorf("%s: asked for %v, want %v", c.why, forms, c.want)
		}
	}
}

// formIn returns the form of reply that the body of a request asks for.
func formIn(body string) string {
	for _, form := range []string{"anyOf", "json_schema", "json_object"} {
		if strings.Contains(body, `"`+form+`"`) {
			return form
		}
	}
	return "none"
}
