package episode_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

func TestParseAction(t *testing.T) {
	hello := episode.Action{Type: episode.Speak, Argument: "Hello"}
	for _, c := range []struct {
		why, reply string
		want       episode.Action
	}{
		{"plain", `{"action_type": "speak", "argument": "Hello"}`, hello},
		{"prose around it", `Sure! Here is my action: {"action_type": "speak", "argument": "Hello"} I hope it helps.`, hello},
		{"code fence", "```json\n{\"action_type\": \"speak\",\n \"argument\": \"Hello\"}\n```", hello},
		{"fence that is never closed", "```\n{\"action_type\": \"speak\", \"argument\": \"Hello\"}", hello},
		{"braces in the prose before", `As {Ann} I say {"action_type": "speak", "argument": "Hello"}`, hello},
		{"the schema is repeated first", `{"properties": {"foo": {"type": "string"}}} {"action_type": "speak", "argument": "Hello"}`, hello},
		{"inside another object", `{"response": {"action_type": "speak", "argument": "Hello"}}`, hello},
		{"in a list", `[{"action_type": "speak", "argument": "Hello"}]`, hello},
		{"the first of two", `{"action_type": "speak", "argument": "Hello"} {"action_type": "leave", "argument": ""}`, hello},
		{"single quotes", `{'action_type': 'speak', 'argument': 'Hello'}`, hello},
		{"missing comma", `{"action_type": "speak" "argument": "Hello"}`, hello},
		{"trailing comma", `{"action_type": "speak", "argument": "Hello",}`, hello},
		{"cut off by the token limit", `{"action_type": "speak", "argument": "Hello`, hello},
		{"no closing brace, then a fence", "```json\n{\"action_type\": \"speak\", \"argument\": \"Hello\"\n```", hello},
		{"upper case and space in the type", `{"action_type": " Speak ", "argument": "Hello"}`, hello},
		{"newline inside a string", "{\"action_type\": \"speak\", \"argument\": \"Hello\nBen\"}", episode.Action{Type: episode.Speak, Argument: "Hello\nBen"}},
		{"quotation marks and non-ASCII", `{"action_type": "speak", "argument": "He said \"caf\u00e9\" \ud83d\ude00"}`, episode.Action{Type: episode.Speak, Argument: `He said "café" 😀`}},
		{"none needs no argument", `{"action_type": "none"}`, episode.Action{Type: episode.None}},
		{"what none says is ignored", `{"action_type": "none", "argument": "hm"}`, episode.Action{Type: episode.None}},
		{"leave", `{"action_type": "leave", "argument": ""}`, episode.Action{Type: episode.Leave}},
		{"null argument of leave", `{"action_type": "leave", "argument": null}`, episode.Action{Type: episode.Leave}},
		{"gesture", `{"action_type": "non-verbal communication", "argument": "nods"}`, episode.Action{Type: episode.NonVerbal, Argument: "nods"}},
		{"a bad object before a good one", `{"action_type": "shout", "argument": "x"} {"action_type": "speak", "argument": "Hello"}`, hello},
	} {
		got, err := episode.ParseAction(c.reply)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.why, got, err, c.want)
		}
	}
}

func TestParseActionErrorsTellWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		why, reply string
		want       error
		evidence   string
	}{
		{"empty reply", "", episode.ErrNoAction, ""},
		{"only prose", "I would rather not say.", episode.ErrNoAction, "rather not"},
		{"another object", `{"mood": "good"}`, episode.ErrNoAction, "mood"},
		{"braces without JSON", "I am {very} happy", episode.ErrNoAction, "{very}"},
		{"unknown type", `{"action_type": "shout", "argument": "Hello"}`, episode.ErrActionType, `"shout"`},
		{"type that is a number", `{"action_type": 3, "argument": "Hello"}`, episode.ErrActionType, `"3"`},
		{"no argument", `{"action_type": "speak"}`, episode.ErrNoArgument, "speak"},
		{"empty argument", `{"action_type": "action", "argument": " "}`, episode.ErrNoArgument, "action"},
		{"argument that is no text", `{"action_type": "speak", "argument": ["Hello"]}`, episode.ErrNoArgument, "Hello"},
		{"null argument", `{"action_type": "speak", "argument": null}`, episode.ErrNoArgument, "null"},
	} {
		_, err := episode.ParseAction(c.reply)
		var ae *episode.ActionError
		if !errors.Is(err, c.want) || !errors.As(err, &ae) || ae.Reply != c.reply {
			t.Errorf("%s: error is %v, want %v with the reply", c.why, err, c.want)
		} else if !strings.Contains(strings.ReplaceAll(err.Error(), `\"`, `"`), c.evidence) {
			t.Errorf("%s: error %v does not show %s", c.why, err, c.evidence)
		}
	}
}

// A long reply is quoted only in part.
func TestActionErrorIsShort(t *testing.T) {
	_, err := episode.ParseAction(strings.Repeat("word ", 10_000))
	if n := len(err.Error()); n > 400 {
		t.Errorf("error has %d bytes", n)
	}
}

// Whatever a model writes, parsing gives a valid action or a typed error.
func FuzzParseAction(f *testing.F) {
	for _, s := range []string{
		`{"action_type": "speak", "argument": "Hello"}`, "```json\n{'action_type': 'leave'}\n```", `{"a":{{{`, "{\"action_type\":\"none\"",
		`[{"action_type": 1}]`, "{\"\\ud800\":", strings.Repeat("{", 100), strings.Repeat(`{"a":[`, 50),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		a, err := episode.ParseAction(reply)
		var ae *episode.ActionError
		switch {
		case err == nil && !a.Type.Valid():
			t.Errorf("action %+v is not valid", a)
		case err != nil && !errors.As(err, &ae):
			t.Errorf("error %v is not an ActionError", err)
		case err == nil:
			again, err := episode.ParseAction(a.JSON())
			if err != nil || again.Type != a.Type || strings.ToValidUTF8(again.Argument, "\ufffd") != strings.ToValidUTF8(a.Argument, "\ufffd") {
				t.Errorf("%s does not parse back: %+v, %v", a.JSON(), again, err)
			}
		}
	})
}
