package grammar

import (
	"slices"
	"testing"
)

// words is a vocabulary of the given texts and of all bytes after them.
func words(texts ...string) *Vocabulary {
	return NewVocabulary(len(texts)+256, func(t int) []byte {
		if t < len(texts) {
			return []byte(texts[t])
		}
		return []byte{byte(t - len(texts))}
	})
}

func allowed(mask []uint64, token int) bool { return mask[token/64]>>(token%64)&1 != 0 }

func TestFewestTokensThatSpellAText(t *testing.T) {
	v := words("ab", "abc", "cde", "", "ab")
	for text, want := range map[string]int{
		"":       0,
		"abc":    1,
		"abcde":  2, // ab cde: the longest first would take abc d e
		"abcabc": 2,
		"xyz":    3,
	} {
		if got := v.Fewest(text); got != want {
			t.Errorf("%q: %d tokens, want %d", text, got, want)
		}
	}
	if got := NewVocabulary(1, func(int) []byte { return []byte("a") }).Fewest("ab"); got < never {
		t.Errorf("a text that no tokens spell: %d", got)
	}
}

// Masks hold the tokens that the schema allows, tokens across its parts among them,
// and under a budget only those behind which it can still be met.
func TestMasksFollowSchemaAndBudget(t *testing.T) {
	texts := []string{`{"`, `":`, `"}`, `, "`, `true`, `": true}`, `["`, ``, `aaaa`}
	v := words(texts...)
	g, term := compile(t, `{"type": "object", "properties": {"a": {"type": "string", "maxLength": 6}}, "required": ["a"]}`)
	a := NewAutomaton(g, term, v)
	check := func(at *Term, left int, want ...string) {
		t.Helper()
		mask := a.Mask(at, left)
		for i, text := range texts {
			if got := allowed(mask, i); got != slices.Contains(want, text) {
				t.Errorf("%q with %d tokens left: allowed %v", text, left, got)
			}
		}
	}
	check(a.Start(), 100, `{"`)
	at := a.Next(a.Start(), 0)
	at = a.Next(at, len(texts)+'a')
	check(at, 100, `":`)
	at = a.Next(at, 1)
	at = a.Next(at, len(texts)+'"')
	check(at, 100, `{"`, `"}`, `, "`, `true`, `["`, `aaaa`) // some end the string
	check(at, 1, `{"`, `"}`, `, "`, `true`, `["`, `aaaa`)
	check(at, 0, `"}`)
	at = a.Next(at, 8)
	check(at, 100, `{"`, `"}`, `, "`, `["`) // two characters are left
	if a.Next(at, 8) != nil || a.Next(at, 7) != nil {
		t.Error("a token that may not come has a next state")
	}
	if end := a.Next(at, 2); !end.Final() {
		t.Error("the object does not end")
	}
	if got := a.Fewest(a.Start()); got != 5 { // {" a ": " "}
		t.Errorf("the shortest object has %d tokens", got)
	}
}
