package policy

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/tokenizer"
)

func generate(t *testing.T, p *Policy, prompts [][]int, o SamplingOptions) [][]Completion {
	t.Helper()
	out, err := p.Generate(context.Background(), prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func randomPrompts(rng *rand.Rand, n int) [][]int {
	prompts := make([][]int, n)
	for i, e := range randomExamples(rng, n, 3) {
		prompts[i] = e.Tokens
	}
	return prompts
}

// Every reply's log-probabilities, recorded while it was sampled, are those that
// training would compute for the same tokens.
func TestSampledEqualsTrained(t *testing.T) {
	for _, engine := range []string{"float64", "cpu"} {
		p := tinyPolicy(t, tinyBase(t, engine, Qwen3), false)
		prompts := randomPrompts(rand.New(rand.NewPCG(4, 4)), 5)
		const temperature = 0.8
		out := generate(t, p, prompts, SamplingOptions{N: 3, MaxTokens: 9, Temperature: temperature, TopK: 12, TopP: 0.95, MinP: 0.01, RepetitionPenalty: 1.1, Seed: 3})
		var examples []Example
		var want []float64
		for i := range out {
			for _, c := range out[i] {
				examples = append(examples, Example{slices.Concat(prompts[i], c.Tokens), len(prompts[i])})
				want = append(want, c.LogProbs...)
			}
		}
		got, err := p.LogProbs(context.Background(), newForest(t, examples...), temperature)
		if err != nil {
			t.Fatal(err)
		}
		within(t, engine, narrow(got.LogProb), narrow(want), 1e-4)
	}
}

// A reply depends on its prompt, the options and its number, not on the company.
func TestRepliesDoNotDependOnTheBatch(t *testing.T) {
	for _, engine := range []string{"float64", "cpu"} {
		p := tinyPolicy(t, tinyBase(t, engine, Qwen2), false)
		prompts := randomPrompts(rand.New(rand.NewPCG(8, 8)), 7)
		o := SamplingOptions{N: 2, MaxTokens: 12, Temperature: 1, Seed: 5}
		together := generate(t, p, prompts, o)
		o.MaxLive = 3
		if diff := cmp.Diff(together, generate(t, p, prompts, o)); diff != "" {
			t.Errorf("%s: three at a time:\n%s", engine, diff)
		}
		for i := range prompts {
			for j := range 2 {
				alone := sampleAlone(t, p, prompts[i], o, uint32(i*2+j))
				if !slices.Equal(alone, together[i][j].Tokens) {
					t.Errorf("%s: reply %d of prompt %d is %v alone, %v together", engine, j, i, alone, together[i][j].Tokens)
				}
			}
		}
	}
}

func sampleAlone(t *testing.T, p *Policy, prompt []int, o SamplingOptions, index uint32) []int {
	t.Helper()
	s := p.NewSession()
	defer s.Close()
	s.MaxRows = 2 // long prompts in pieces
	id, err := s.Add(prompt, o, index)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []int
	for range len(prompt) + o.MaxTokens {
		if len(tokens) == o.MaxTokens || slices.Contains(tokens, 1) {
			break
		}
		got, err := s.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range got {
			if tok.ID != id {
				t.Fatalf("token of sequence %d, want %d", tok.ID, id)
			}
			tokens = append(tokens, tok.Token)
		}
	}
	return tokens
}

// Sequences that come and go leave the others as they are and give their rows back.
func TestSessionAddsAndRemovesMidway(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "float64", Llama), false)
	prompts := randomPrompts(rand.New(rand.NewPCG(6, 1)), 6)
	o := SamplingOptions{MaxTokens: 10, Temperature: 1, Seed: 2, StopTokens: []int{1}}
	s := p.NewSession()
	defer s.Close()
	got := map[int][]int{}
	for round := range 40 {
		if round%2 == 0 && round/2 < len(prompts) {
			if _, err := s.Add(prompts[round/2], o, uint32(round/2)); err != nil {
				t.Fatal(err)
			}
		}
		tokens, err := s.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range tokens {
			got[tok.ID] = append(got[tok.ID], tok.Token)
			if tok.Token == 1 || len(got[tok.ID]) == o.MaxTokens {
				s.Remove(tok.ID)
			}
		}
	}
	for i, prompt := range prompts {
		if want := sampleAlone(t, p, prompt, o, uint32(i)); !slices.Equal(got[i], want) {
			t.Errorf("sequence %d: %v, want %v", i, got[i], want)
		}
	}
	if s.Len() != 0 || len(s.root.children) != 0 {
		t.Errorf("%d sequences and %d runs are left", s.Len(), len(s.root.children))
	}
	if want := []Span{{0, s.cache.rows}}; !slices.Equal(s.cache.free, want) {
		t.Errorf("free rows are %v, want %v", s.cache.free, want)
	}
}

func TestGenerateStops(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "float64", Qwen2), false)
	prompt := [][]int{{3, 4, 5}}
	free := generate(t, p, prompt, SamplingOptions{MaxTokens: 8, StopTokens: []int{}})[0][0]
	if len(free.Tokens) != 8 || !free.Truncated {
		t.Fatalf("without end tokens: %d tokens, truncated %v", len(free.Tokens), free.Truncated)
	}
	at := slices.Index(free.Tokens, free.Tokens[3])
	end := generate(t, p, prompt, SamplingOptions{MaxTokens: 8, StopTokens: []int{free.Tokens[3]}})[0][0]
	if diff := cmp.Diff(free.Tokens[:at+1], end.Tokens); diff != "" || end.Truncated {
		t.Errorf("end token: truncated %v\n%s", end.Truncated, diff)
	}
	late := generate(t, p, prompt, SamplingOptions{MaxTokens: 8, MinTokens: 6, StopTokens: []int{free.Tokens[0]}})[0][0]
	if len(late.Tokens) < 6 || slices.Contains(late.Tokens[:6], free.Tokens[0]) {
		t.Errorf("MinTokens 6: %v holds the end token %d early", late.Tokens, free.Tokens[0])
	}
}

// A session draws no end token before MinTokens either, the model's own where none are
// named.
func TestSessionDrawsNoEndTokenEarly(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "float64", Qwen2), false)
	s := p.NewSession()
	defer s.Close()
	const sequences, least = 40, 4
	for i := range sequences {
		if _, err := s.Add([]int{3, 4, 5}, SamplingOptions{MaxTokens: 8, MinTokens: least, Temperature: 4, Seed: 1}, uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	late := 0
	for step := range 8 {
		drawn, err := s.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drawn {
			if !slices.Contains(p.Base().EndTokens(), d.Token) {
				continue
			}
			if step < least {
				t.Fatalf("step %d draws the end token %d, want none before %d", step, d.Token, least)
			}
			late++
		}
	}
	if late == 0 {
		t.Error("no end token is drawn later, so that nothing is tested")
	}
}

func TestGenerateStopsAtStrings(t *testing.T) {
	data, err := os.ReadFile("../tokenizer/testdata/tiny.tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(data)
	if err != nil {
		t.Fatal(err)
	}
	p := tinyPolicy(t, tinyBase(t, "float64", Qwen2), false)
	p.base.cfg.VocabSize = min(p.base.cfg.VocabSize, tok.VocabSize())
	o := SamplingOptions{MaxTokens: 12, Temperature: 1, Seed: 4, Tokenizer: tok, StopTokens: []int{}}
	free := generate(t, p, [][]int{{3, 4}}, o)[0][0]
	if want := tok.Decode(free.Tokens, tokenizer.SkipSpecial); free.Text != want {
		t.Errorf("text %q, want %q", free.Text, want)
	}
	stop := free.Text[len(free.Text)/2 : len(free.Text)/2+2]
	o.Stop = []string{stop}
	got := generate(t, p, [][]int{{3, 4}}, o)[0][0]
	if want, _, _ := strings.Cut(free.Text, stop); got.Text != want {
		t.Errorf("text with stop %q is %q, want %q", stop, got.Text, want)
	}
	if len(got.Tokens) > len(free.Tokens) || !slices.Equal(got.Tokens, free.Tokens[:len(got.Tokens)]) {
		t.Errorf("tokens %v do not begin %v", got.Tokens, free.Tokens)
	}
}

func TestGenerateRefuses(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "float64", Qwen2), false)
	tests := map[string]struct {
		prompt []int
		o      SamplingOptions
	}{
		"no tokens allowed":          {[]int{1}, SamplingOptions{}},
		"negative temperature":       {[]int{1}, SamplingOptions{MaxTokens: 1, Temperature: -1}},
		"top-p above 1":              {[]int{1}, SamplingOptions{MaxTokens: 1, TopP: 1.5}},
		"empty prompt":               {nil, SamplingOptions{MaxTokens: 1}},
		"token beyond vocabulary":    {[]int{23}, SamplingOptions{MaxTokens: 1}},
		"stop without tokenizer":     {[]int{1}, SamplingOptions{MaxTokens: 1, Stop: []string{"x"}}},
		"negative number of replies": {[]int{1}, SamplingOptions{MaxTokens: 1, N: -1}},
	}
	for name, tt := range tests {
		if _, err := p.Generate(context.Background(), [][]int{tt.prompt}, tt.o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
