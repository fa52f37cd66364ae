package episode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

var desk = episode.Scene{
	EnvironmentID: "env", Codename: "desk", Scenario: `One desk.<p viewer="environment"> It is broken.</p>`,
	Participants: [2]episode.Participant{
		{ID: "1", Name: "Ann", Background: "Ann is tidy. Ann's secrets: none", Known: "Ann is tidy.", Goal: "Sit (<extra_info>Info: <strategy_hint>ask</strategy_hint></extra_info>)"},
		{ID: "2", Name: "Bo", Background: "Bo sings.", Goal: "Stay."},
	},
}

func TestSceneView(t *testing.T) {
	want := "\nHere is the context of this interaction:\nScenario: One desk.\nParticipants: Ann and Bo\n" +
		"Ann's background: Ann is tidy. Ann's secrets: none\nBo's background: Unknown\nAnn's goal: Sit (Info: ask)\nBo's goal: Unknown\nConversation Starts:\n"
	if got := desk.View(0); got != want {
		t.Errorf("first view is %q, want %q", got, want)
	}
	want = strings.NewReplacer("Ann is tidy. Ann's secrets: none", "Ann is tidy.", "Bo's background: Unknown", "Bo's background: Bo sings.",
		"Sit (Info: ask)", "Unknown", "Bo's goal: Unknown", "Bo's goal: Stay.").Replace(want)
	if got := desk.View(1); got != want {
		t.Errorf("second view is %q, want %q", got, want)
	}
}

func TestSceneViewPassages(t *testing.T) {
	s := desk
	s.Scenario = "A<p viewer='agent_1'> B\n   b</p><p viewer=\"agent_2\">C</p> &"
	for seat, want := range []string{"Scenario: A B\nb &\n", "Scenario: AC &\n"} {
		if got := s.View(seat); !strings.Contains(got, want) {
			t.Errorf("view %d is %q, want %q in it", seat, got, want)
		}
	}
}

func TestPlayRefusesBadScenes(t *testing.T) {
	two := []episode.Agent{episode.Script{}, episode.Script{}}
	for why, names := range map[string][2]string{
		"no name": {"Ann", " "}, "the same name": {"Ann", "Ann"}, "the environment's name": {"Environment", "Bo"},
	} {
		s := desk
		s.Participants[0].Name, s.Participants[1].Name = names[0], names[1]
		if _, err := episode.Play(t.Context(), s, two); err == nil || !strings.Contains(err.Error(), "desk") {
			t.Errorf("%s: error is %v", why, err)
		}
	}
	if _, err := episode.Play(t.Context(), desk, two[:1]); err == nil {
		t.Error("one agent is enough")
	}
}

// silently returns a script of the given length: true speaks, false does nothing.
func silently(speaks ...bool) episode.Script {
	var s episode.Script
	for _, b := range speaks {
		a := episode.Action{Type: episode.None}
		if b {
			a = episode.Action{Type: episode.Speak, Argument: "x"}
		}
		s = append(s, a)
	}
	return s
}

func TestPlayEnds(t *testing.T) {
	talk := silently(slices.Repeat([]bool{true}, 20)...)
	for _, c := range []struct {
		why           string
		first, second episode.Script
		opts          []episode.Option
		actions       int
		cause         string
	}{
		{"20 actions", talk, talk, nil, 20, "The conversation is too long; "},
		{"another limit", talk, talk, []episode.Option{episode.WithMaxTurns(5)}, 5, "The conversation is too long; "},
		{"first leaves", silently(true), talk, nil, 3, "Agent 1 is leaving; "},
		{"second leaves", talk, silently(true, true), nil, 6, "Agent 2 is leaving; "},
		{"last action leaves", talk, silently(true), []episode.Option{episode.WithMaxTurns(4)}, 4, "The conversation is too long; Agent 2 is leaving; "},
		{"one silence of the second ends it", talk, silently(true, false), nil, 4, "The conversation stales for too long; "},
		{"one silence of the first does not", silently(true, false, true, true), silently(true, true), nil, 6, "Agent 2 is leaving; "},
		{"silence from the start", silently(false, false), silently(false), nil, 2, "The conversation stales for too long; "},
		{"counting turns, three in a row end it", silently(true, true, false), silently(true, false, false), []episode.Option{episode.WithStale(episode.StaleActions)}, 6, "The conversation stales for too long; "},
		{"counting turns, two do not", silently(true, false, true), silently(false, true), []episode.Option{episode.WithStale(episode.StaleActions)}, 6, "Agent 2 is leaving; "},
	} {
		e, err := episode.Play(t.Context(), desk, []episode.Agent{c.first, c.second}, c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(e.RawMessages) - 1; n != c.actions || e.Reasoning != "Environment comments: terminated: "+c.cause {
			t.Errorf("%s: %d actions, %s", c.why, n, e.Reasoning)
		}
	}
}

func TestPlayedEpisodeIsComplete(t *testing.T) {
	reward := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: 8}, episode.DimensionScore{Dimension: episode.Secret, Score: -1})
	judge := episode.EvaluatorFunc(func(_ context.Context, e *episode.Episode) (episode.Judgement, error) {
		return episode.Judgement{Rewards: []episode.Reward{reward, {}}, Reasoning: "Agent 1 comments:\ngoal: reached"}, nil
	})
	var spoken []string
	var seen [][]string
	first := episode.AgentFunc(func(_ context.Context, o episode.Observation) (episode.Action, error) {
		seen = append(seen, o.Messages)
		if o.Turn == 2 {
			return episode.Action{Type: episode.Leave}, nil
		}
		return episode.Action{Type: episode.Speak, Argument: "Hi"}, nil
	})
	e, err := episode.Play(t.Context(), desk, []episode.Agent{first, episode.Script{{Type: episode.PhysicalAction, Argument: "sits"}}},
		episode.WithID("id"), episode.WithTag("tag"), episode.WithModels("j", "a", "b"), episode.WithEvaluator(judge),
		episode.OnTurn(func(u episode.Utterance) { spoken = append(spoken, u.Text) }))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		desk.View(0), "Turn #0: Ann said: \"Hi\"\n", "Turn #1: Bo [action] sits\n",
	}
	if d := cmp.Diff([][]string{want[:1], want}, seen); d != "" {
		t.Errorf("first agent saw %s", d)
	}
	if got := e.RawMessages[len(e.RawMessages)-1]; len(got) != 2 || got[1] != (episode.LogMessage{Sender: "Environment", Receiver: "Bo", Text: "Turn #2: Ann left the conversation\n"}) {
		t.Errorf("last turn is %q", got)
	}
	if want := "Ann said: \"Hi\"\n\nBo: [action] sits\n\nAnn: left the conversation"; e.SocialInteractions != want {
		t.Errorf("interactions are %q, want %q", e.SocialInteractions, want)
	}
	if score, err := e.Score("Ann", episode.Overall); score != 3.5 || err != nil {
		t.Errorf("overall score is %v, %v", score, err)
	}
	if _, err := e.Score("Bo", episode.Goal); !errors.Is(err, episode.ErrNotJudged) || !e.Failed() {
		t.Errorf("error is %v, want %v", err, episode.ErrNotJudged)
	}
	if fmt.Sprint(spoken) != `[said: "Hi" [action] sits left the conversation]` {
		t.Errorf("callback got %q", spoken)
	}
	checkRoundTrip(t, e)
}

// checkRoundTrip fails the test where an episode changes by being written and read.
func checkRoundTrip(t *testing.T, e *episode.Episode) {
	t.Helper()
	for again, err := range episode.ReadJSONL(strings.NewReader(line(t, e))) {
		if err != nil {
			t.Fatal(err)
		}
		if line(t, again) != line(t, e) || !reflect.DeepEqual(again.Utterances(), e.Utterances()) || !reflect.DeepEqual(again.Rewards, e.Rewards) {
			t.Errorf("read again it is %s", line(t, again))
		}
	}
}

func TestPlayErrors(t *testing.T) {
	bad := errors.New("model is away")
	fails := episode.AgentFunc(func(context.Context, episode.Observation) (episode.Action, error) { return episode.Action{}, bad })
	dances := episode.Script{{Type: "dance"}}
	judge := episode.EvaluatorFunc(func(context.Context, *episode.Episode) (episode.Judgement, error) { return episode.Judgement{}, bad })
	short := episode.EvaluatorFunc(func(context.Context, *episode.Episode) (episode.Judgement, error) { return episode.Judgement{}, nil })
	for _, c := range []struct {
		why   string
		first episode.Agent
		opts  []episode.Option
		want  error
	}{
		{"agent", fails, nil, bad},
		{"unknown action", dances, nil, episode.ErrActionType},
		{"evaluator", episode.Script{}, []episode.Option{episode.WithEvaluator(judge)}, bad},
		{"evaluator without rewards", episode.Script{}, []episode.Option{episode.WithEvaluator(short)}, nil},
	} {
		e, err := episode.Play(t.Context(), desk, []episode.Agent{c.first, episode.Script{}}, append(c.opts, episode.WithID("e7"))...)
		if err == nil || e != nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), "e7") {
			t.Errorf("%s: got %v, %v", c.why, e, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := episode.Play(done, desk, []episode.Agent{episode.Script{}, episode.Script{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// Acting out the recorded actions of the published episodes gives their
// messages again, and their ends, but for one that had another limit.
func TestPlayReproducesPublishedEpisodes(t *testing.T) {
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		turns := len(e.RawMessages) - 1
		limit := max(20, turns)
		if turns == 20 {
			limit = 21 // these logs allow one more, and name the limit only there
		}
		got, err := episode.Play(t.Context(), sceneOf(e), recorded(e), episode.WithMaxTurns(limit))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e.RawMessages[1:], got.RawMessages[1:]); d != "" {
			t.Errorf("%s: messages differ: %s", e.ID, d)
		}
		if got.SocialInteractions != e.SocialInteractions {
			t.Errorf("%s: interactions are %q, want %q", e.ID, got.SocialInteractions, e.SocialInteractions)
		}
		if cause, _, _ := strings.Cut(e.Reasoning, "\n"); got.Reasoning != cause {
			t.Errorf("%s: %q, want %q", e.ID, got.Reasoning, cause)
		}
	}
}

func sceneOf(e *episode.Episode) episode.Scene {
	s := episode.Scene{EnvironmentID: e.EnvironmentID, Scenario: e.Scenario}
	for i, name := range e.Agents() {
		s.Participants[i] = episode.Participant{Name: name, Background: e.AgentsBackground[i].Text, Goal: e.SocialGoals[i].Text}
	}
	return s
}

// recorded returns agents that repeat what was done in an episode.
func recorded(e *episode.Episode) []episode.Agent {
	agents := make([]episode.Agent, 2)
	for seat, name := range e.Agents() {
		agents[seat] = episode.AgentFunc(func(_ context.Context, o episode.Observation) (episode.Action, error) {
			for _, m := range e.RawMessages[o.Turn] {
				if m.Sender == name {
					return episode.ParseActionText(m.Text)
				}
			}
			return episode.Action{}, fmt.Errorf("nothing recorded in turn %d", o.Turn)
		})
	}
	return agents
}

// asSeen is a text of a profile as an agent's view shows it.
func asSeen(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`(?s)<p viewer="environment">.*?</p>`, ""}, {`</?(extra_info|strategy_hint|clarification_hint)>`, ""}, {`\n +`, "\n"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return strings.TrimSpace(text)
}

// A document without the line's rest tells the published lines again, as far as
// the agents saw them.
func TestDocumentTellsTheRest(t *testing.T) {
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		doc, err := e.Document()
		if err != nil {
			t.Fatal(err)
		}
		alone := append(doc[:bytes.LastIndex(doc, []byte(`, "jsonl": `))], '}') // as a Python program would have stored it
		got, err := episode.ParseDocument(alone)
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.SocialGoals {
			compareText(t, e.ID+" background", got.AgentsBackground[i].Text, e.AgentsBackground[i].Text)
			compareText(t, e.ID+" goal", got.SocialGoals[i].Text, e.SocialGoals[i].Text)
		}
		compareText(t, e.ID+" scenario", got.Scenario, e.Scenario)
		if got.SocialInteractions != e.SocialInteractions || !slices.Equal(got.Agents(), e.Agents()) || !reflect.DeepEqual(got.Rewards, e.Rewards) {
			t.Errorf("%s: agents %q, interactions %q, rewards %v", e.ID, got.Agents(), got.SocialInteractions, got.Rewards)
		}
	}
}

func compareText(t *testing.T, what, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != asSeen(want) {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func TestLLMAgent(t *testing.T) {
	const good = `{"action_type": "speak", "argument": "Hi"}`
	o := episode.Observation{Agent: "Ann", Turn: 2, Messages: []string{"view", "Turn #0: x"}}
	for _, c := range []struct {
		why, reply, reformat string
		want                 episode.Action
		errors               int
	}{
		{"a good reply", good, "", episode.Action{Type: episode.Speak, Argument: "Hi"}, 0},
		{"a reply that can be reformatted", "I say hi", good, episode.Action{Type: episode.Speak, Argument: "Hi"}, 1},
		{"a reply that cannot", "I say hi", "sorry", episode.Action{Type: episode.None}, 2},
		{"nobody to reformat", "I say hi", "", episode.Action{Type: episode.None}, 1},
	} {
		var asked []episode.Request
		answer := func(text string) episode.LLM {
			return episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
				asked = append(asked, r)
				return episode.Reply{Text: text}, nil
			})
		}
		failures := 0
		a := &episode.LLMAgent{LLM: answer(c.reply), OnError: func(episode.Observation, error) { failures++ }}
		if c.reformat != "" {
			a.Reformat = answer(c.reformat)
		}
		got, err := a.Act(t.Context(), o)
		if err != nil || got != c.want || failures != c.errors {
			t.Errorf("%s: got %+v, %v with %d failures", c.why, got, err, failures)
		}
		if p := asked[0].Messages[0].Content; p != episode.DefaultPrompt().Render("Ann", "view\nTurn #0: x", 2) || *asked[0].Temperature != 1 {
			t.Errorf("%s: asked %q", c.why, p)
		}
		if last := asked[len(asked)-1]; len(asked) > 1 && !strings.HasSuffix(last.Messages[0].Content, c.reply) {
			t.Errorf("%s: reformatting does not show the reply", c.why)
		}
	}
}

// knownOf cuts out of an agent's view what it says of the other's background.
func knownOf(view, other string) string {
	_, rest, _ := strings.Cut(view, "\n"+other+"'s background: ")
	known, _, _ := strings.Cut(rest, "\n")
	return known
}

// The views of the published episodes come out byte for byte. Those of strangers
// in logs of 2023 say nothing where newer ones say Unknown.
func TestPublishedViews(t *testing.T) {
	counts := map[bool]int{}
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		names := e.Agents()
		for seat := range names {
			want := e.RawMessages[0][seat].Text
			s := sceneOf(e)
			s.Participants[1-seat].Known = knownOf(want, names[1-seat])
			stranger := s.Participants[1-seat].Known == ""
			counts[stranger]++
			got := s.View(seat)
			if stranger {
				got = strings.Replace(got, names[1-seat]+"'s background: Unknown", names[1-seat]+"'s background: ", 1)
			}
			if got != want {
				t.Errorf("%s: view is %q, want %q", e.ID, got, want)
			}
		}
	}
	if counts[false] != 18 || counts[true] != 6 {
		t.Errorf("%d views and %d of strangers, want 18 and 6", counts[false], counts[true])
	}
}
