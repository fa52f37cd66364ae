package episode_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

func items(t *testing.T, text string) []episode.Item {
	t.Helper()
	var out []episode.Item
	for item, err := range episode.ReadItems(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

func TestItemFileRoundTrip(t *testing.T) {
	want := []episode.Item{
		{Input: "p", Output: `{"action_type": "speak", "argument": "caf\u00e9 <b>"}`},
		episode.Item{EpisodeID: "e", Agent: "José", Turn: 3, Input: "q", Output: "r", Meta: map[string]any{"tag": "x", "z": true}}.WithValue(7),
	}
	var b bytes.Buffer
	if err := episode.WriteItems(&b, episode.ItemSeq(want...)); err != nil {
		t.Fatal(err)
	}
	text := `[
{"input": "p", "output": "{\"action_type\": \"speak\", \"argument\": \"caf\\u00e9 <b>\"}"},
{"input": "q", "output": "r", "value": 7.0, "episode_id": "e", "agent": "Jos\u00e9", "turn": 3, "tag": "x", "z": true}
]
`
	if b.String() != text {
		t.Errorf("wrote %s, want %s", b.String(), text)
	}
	if d := cmp.Diff(want, items(t, text)); d != "" {
		t.Error(d)
	}
	for why, other := range map[string]string{
		"one after the other": strings.NewReplacer("[\n", "", "]\n", "", "},", "}").Replace(text),
		"without newlines":    strings.ReplaceAll(text, "\n", " "),
	} {
		if d := cmp.Diff(want, items(t, other)); d != "" {
			t.Errorf("%s: %s", why, d)
		}
	}
	if got := items(t, "[]"); len(got) != 0 {
		t.Errorf("an empty array has items %v", got)
	}
}

func TestWithValueCopies(t *testing.T) {
	a := episode.Item{}.WithValue(1)
	b := a.WithValue(2)
	if v, ok := a.Value(); v != 1 || !ok {
		t.Errorf("value is %v, %v after a copy was changed", v, ok)
	}
	if v, _ := b.Value(); v != 2 {
		t.Errorf("value is %v, want 2", v)
	}
	if _, ok := (episode.Item{}).Value(); ok {
		t.Error("an item without value has one")
	}
}

// A bad item is named, and the rest is read; broken JSON ends the file.
func TestReadItemsErrors(t *testing.T) {
	for _, c := range []struct {
		why, text string
		good      int
		index     int
	}{
		{"output is missing", `[{"input": "a", "output": "b"}, {"input": "a"}, {"input": "a", "output": "b"}]`, 2, 1},
		{"input is a number", `[{"input": 1, "output": "b"}, {"input": "a", "output": "b"}]`, 1, 0},
		{"value is a text", `[{"input": "a", "output": "b", "value": "high"}]`, 0, 0},
		{"the array is cut off", `[{"input": "a", "output": "b"},`, 1, 1},
		{"the array is not closed", `[{"input": "a", "output": "b"}`, 1, 1},
		{"not JSON", `nonsense`, 0, 0},
	} {
		good, index := 0, -1
		for _, err := range episode.ReadItems(strings.NewReader(c.text)) {
			var ie *episode.ItemError
			if err == nil {
				good++
			} else if errors.As(err, &ie) {
				index = ie.Index
			}
		}
		if good != c.good || index != c.index {
			t.Errorf("%s: %d items and an error about item %d, want %d and %d", c.why, good, index, c.good, c.index)
		}
	}
}

// The files of the Python project load.
func TestReadPublishedItems(t *testing.T) {
	for name, valued := range map[string]bool{"sft.json": false, "rm.json": true} {
		n := 0
		for item, err := range episode.ReadItemFile(fixtures.Data(t, "train", name)) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := episode.ParseAction(item.Output); err != nil {
				t.Errorf("%s: item %d: %v", name, n, err)
			}
			if _, ok := item.Value(); valued && !ok {
				t.Errorf("%s: item %d has no value", name, n)
			}
			n++
		}
		if n == 0 {
			t.Errorf("%s: no items", name)
		}
	}
}
