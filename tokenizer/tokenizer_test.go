package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const tiny = "testdata/tiny.tokenizer.json"

// TestPlainSpecial: special tokens in a stranger's text are letters; added tokens
// that are not special stay whole.
func TestPlainSpecial(t *testing.T) {
	tok := loadFile(t, tiny)
	end, _ := tok.ID("<|end|>")
	text := "hi<|end|>word"
	if ids := tok.Encode(text); !slices.Contains(ids, end) {
		t.Errorf("Encode = %v has no <|end|>", ids)
	}
	ids := tok.Encode(text, PlainSpecial)
	word, _ := tok.ID("word")
	if slices.Contains(ids, end) || tok.Decode(ids) != text {
		t.Errorf("Encode with PlainSpecial = %v for %q", ids, tok.Decode(ids))
	}
	if ids := tok.Encode("a word", PlainSpecial); !slices.Contains(ids, word) {
		t.Errorf("Encode = %v has no word", ids)
	}
}

// TestAppendEncode keeps what is there.
func TestAppendEncode(t *testing.T) {
	tok := loadFile(t, "testdata/tiny-llama3.tokenizer.json")
	got := tok.AppendEncode([]int{9}, "gate", AddSpecial)
	if want := append([]int{9}, tok.Encode("gate", AddSpecial)...); !slices.Equal(got, want) {
		t.Errorf("AppendEncode = %v, want %v", got, want)
	}
}

// TestDecoder: a character comes out with its last byte, what is broken at once,
// and what is left at the end.
func TestDecoder(t *testing.T) {
	tok := loadFile(t, tiny)
	byteID := func(b byte) int {
		id, ok := tok.ID(string(byteChar[b]))
		if !ok {
			t.Fatalf("no token for %#x", b)
		}
		return id
	}
	for _, c := range []struct {
		why   string
		bytes string
		want  []string // after each byte, then of Flush
	}{
		{"ASCII", "ab", []string{"a", "b", ""}},
		{"three bytes", "漢!", []string{"", "", "漢", "!", ""}},
		{"cut at the end", "a\xf0\x9f\x91", []string{"a", "", "", "", "\ufffd"}},
		{"broken by a letter", "\xe6\xbca", []string{"", "", "\ufffda", ""}},
		{"a byte that begins nothing", "\xffa", []string{"\ufffd", "a", ""}},
		{"a second beginning", "\xe6\xe6\xbc\xa2", []string{"", "\ufffd", "", "漢", ""}},
		{"not the shortest form", "\xc0\x80", []string{"\ufffd", "\ufffd", ""}},
	} {
		d := tok.Decoder()
		var ids []int
		for i := range len(c.bytes) {
			ids = append(ids, byteID(c.bytes[i]))
			if got := d.Push(ids[i]); got != c.want[i] {
				t.Errorf("%s: byte %d gives %q, want %q", c.why, i, got, c.want[i])
			}
		}
		if got := d.Flush(); got != c.want[len(c.want)-1] {
			t.Errorf("%s: Flush gives %q", c.why, got)
		}
		if got, want := tok.Decode(ids), strings.Join(c.want, ""); got != want {
			t.Errorf("%s: Decode gives %q, want %q", c.why, got, want)
		}
	}
}

// TestDecoderSkipsSpecial as Decode does.
func TestDecoderSkipsSpecial(t *testing.T) {
	tok := loadFile(t, tiny)
	d := tok.Decoder(SkipSpecial)
	if got := d.Push(0) + d.Push(tok.Encode("x")[0]) + d.Flush(); got != "x" {
		t.Errorf("got %q", got)
	}
}

// TestConcurrent encodes, decodes and renders from many goroutines (with the race
// detector this proves the promise).
func TestConcurrent(t *testing.T) {
	tok := loadFile(t, tiny, WithTemplate("{% for m in messages %}{{ m.content }}{% endfor %}"))
	texts := []string{"The two neighbours", "apples and the old well", strings.Repeat("ladder ", 50), "é漢 <|end|>"}
	want := make([][]int, len(texts))
	for i, s := range texts {
		want[i] = loadFile(t, tiny).Encode(s)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				n := (g + i) % len(texts)
				ids := tok.Encode(texts[n])
				text, err := tok.Render([]Message{{Role: "user", Content: texts[n]}})
				if !slices.Equal(ids, want[n]) || tok.Decode(ids) != texts[n] || text != texts[n] || err != nil {
					t.Errorf("%q: %v, %q, %v", texts[n], ids, text, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestLongWord: a word longer than the cache takes, and longer than a quadratic
// merge loop could, gives the ids of its parts where no merge crosses them.
func TestLongWord(t *testing.T) {
	tok := loadFile(t, tiny)
	one := tok.Encode("qz")
	ids := tok.Encode(strings.Repeat("qz", 200_000))
	if len(ids) != 200_000*len(one) || !slices.Equal(ids[:len(one)], one) {
		t.Errorf("%d ids, want %d times %v", len(ids), 200_000, one)
	}
}

// TestRenderOptions: what templates see.
func TestRenderOptions(t *testing.T) {
	render := func(source string, m []Message, opts ...RenderOption) string {
		t.Helper()
		text, err := loadFile(t, tiny, WithTemplate(source)).Render(m, opts...)
		if err != nil {
			t.Error(err)
		}
		return text
	}
	clock := Now(func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) })
	for _, c := range []struct {
		why, source string
		opts        []RenderOption
		want        string
	}{
		{"defaults", "{{ add_generation_prompt }} {{ tools }} {{ documents }}", nil, "False None None"},
		{"generation prompt", "{{ add_generation_prompt }}", []RenderOption{GenerationPrompt()}, "True"},
		{"a variable", "{{ enable_thinking is false }}", []RenderOption{Var("enable_thinking", false)}, "True"},
		{"a clock", "{{ strftime_now('%d %b %Y') }}", []RenderOption{clock}, "22 Nov 2026"},
		{"tools in order", "{{ tools | tojson }}", []RenderOption{Tools([]any{map[string]any{"b": 1, "a": "<é>"}})}, `[{"a": "<é>", "b": 1}]`},
	} {
		if got := render(c.source, nil, c.opts...); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	m := []Message{{Role: "assistant", Content: "c", Extra: map[string]any{"tool_calls": []any{1, nil}, "name": "n"}}}
	if got, want := render("{{ messages | tojson }}", m), `[{"role": "assistant", "content": "c", "name": "n", "tool_calls": [1, null]}]`; got != want {
		t.Errorf("message %s, want %s", got, want)
	}
	m[0].Extra = map[string]any{"content": nil}
	if got := render("{{ messages[0].content is none }}", m); got != "True" {
		t.Error("Extra replaces content")
	}
}

// TestNamedTemplates: tool_use serves where tools are given.
func TestNamedTemplates(t *testing.T) {
	config := `{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]}`
	tok := loadFile(t, tiny, WithConfig([]byte(config)))
	for _, c := range []struct {
		opts []RenderOption
		want string
	}{
		{nil, "D"},
		{[]RenderOption{Tools([]int{1})}, "T"},
		{[]RenderOption{NamedTemplate("rag"), Tools([]int{1})}, "R"},
	} {
		if got, err := tok.Render(nil, c.opts...); got != c.want || err != nil {
			t.Errorf("Render = %q, %v; want %q", got, err, c.want)
		}
	}
	if _, err := tok.Render(nil, NamedTemplate("x")); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("unknown name: %v", err)
	}
}

// TestRenderErrors: the template's own refusal has a type; values that are no JSON
// and templates that fail do not.
func TestRenderErrors(t *testing.T) {
	tok := loadFile(t, tiny, WithTemplate("{% if not messages %}{{ raise_exception('no messages') }}{% endif %}{{ messages[0].x.y }}"))
	raised := new(TemplateError)
	if _, err := tok.Render(nil); !errors.As(err, &raised) || raised.Message != "no messages" {
		t.Errorf("error %v", err)
	}
	if _, err := tok.Render([]Message{{}}); err == nil || errors.As(err, &raised) {
		t.Errorf("error %v", err)
	}
	if _, err := tok.Render(nil, Var("f", func() {})); err == nil || !strings.Contains(err.Error(), "variable f") {
		t.Errorf("error %v", err)
	}
	if _, err := tok.Render([]Message{{Extra: map[string]any{"c": make(chan int)}}}); err == nil || !strings.Contains(err.Error(), "message 0: field c") {
		t.Errorf("error %v", err)
	}
}
