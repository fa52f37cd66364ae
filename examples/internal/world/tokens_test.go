package world

import (
	"context"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/tokenizer"
)

func mustTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// allItems returns the learner's items of episodes of noisy players.
func allItems(t testing.TB, n int) []episode.Item {
	t.Helper()
	cases := Cases(Scenarios(), n, 1)
	episodes, err := Play(context.Background(), cases, Noisy(1))
	if err != nil {
		t.Fatal(err)
	}
	var all []episode.Item
	for i, e := range episodes {
		items, err := e.Items(cases[i].Learner.Name, Template())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, items...)
	}
	return all
}

func TestVocabulary(t *testing.T) {
	if n := mustTokenizer(t).VocabSize(); n > 512 {
		t.Errorf("%d tokens, want at most 512", n)
	}
}

// Prompts and replies are short, which is what makes the quickstart quick.
func TestTokenCounts(t *testing.T) {
	tok := mustTokenizer(t)
	var prompts, replies []int
	for _, item := range allItems(t, 4) {
		prompts = append(prompts, len(tok.Encode(item.Input)))
		replies = append(replies, len(tok.Encode(item.Output)))
	}
	slices.Sort(prompts)
	slices.Sort(replies)
	median, longest := prompts[len(prompts)/2], prompts[len(prompts)-1]
	t.Logf("prompts: median %d, at most %d tokens; replies: median %d, at most %d", median, longest, replies[len(replies)/2], replies[len(replies)-1])
	if median > 100 || longest > 200 {
		t.Errorf("prompts have %d tokens in the median and at most %d, want 100 and 200", median, longest)
	}
	if replies[0] < 6 || replies[len(replies)-1] > 20 {
		t.Errorf("replies have %d to %d tokens, want 6 to 20", replies[0], replies[len(replies)-1])
	}
}

// Every prompt and reply comes back from its tokens, and no reply holds a token
// that ends it early.
func TestTokensRoundTrip(t *testing.T) {
	tok := mustTokenizer(t)
	end, ok := tok.EOS()
	if !ok {
		t.Fatal("the tokenizer has no token that ends a reply")
	}
	for _, item := range allItems(t, 1) {
		for _, text := range []string{item.Input, item.Output} {
			ids := tok.Encode(text)
			if got := tok.Decode(ids); got != text {
				t.Errorf("%q comes back as %q", text, got)
			}
			if slices.Contains(ids, end) {
				t.Errorf("%q holds the token that ends a reply", text)
			}
		}
	}
	for _, text := range []string{"", "Zoë's café: 10 €?", "\x00\xff"} {
		want := text
		if text == "\x00\xff" {
			want = "\x00\uFFFD" // text that is no UTF-8 is replaced
		}
		if got := tok.Decode(tok.Encode(text)); got != want {
			t.Errorf("%q comes back as %q, want %q", text, got, want)
		}
	}
}

// The chat template frames prompt and reply by one token each.
func TestChatTemplate(t *testing.T) {
	tok := mustTokenizer(t)
	chat := []tokenizer.Message{{Role: "user", Content: "Ann:"}, {Role: "assistant", Content: "Hello."}}
	text, err := tok.Render(chat)
	if want := "<|user|>Ann:<|reply|>Hello.<|end|>"; err != nil || text != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
	plain := len(tok.Encode("Ann:")) + len(tok.Encode("Hello."))
	if n := len(tok.Encode(text)); n != plain+3 {
		t.Errorf("%d tokens, want %d", n, plain+3)
	}
}
