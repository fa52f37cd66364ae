package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/policy/internal/schematest"
	"github.com/socialrl/socialrl/tokenizer"
)

// validator returns the check of a schema by another implementation.
func validator(t testing.TB, schema []byte) func(reply string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(reply string) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(reply)))
		if err != nil {
			return err
		}
		return compiled.Validate(v)
	}
}

// fewest returns the smallest limit that a constraint takes.
func fewest(t testing.TB, c policy.Constraint, ends []int) int {
	t.Helper()
	for limit := 1; limit < 5000; limit++ {
		if _, err := c.Start(limit, ends); err == nil {
			return limit
		} else if !errors.Is(err, policy.ErrConstraintLimit) {
			t.Fatal(err)
		}
	}
	t.Fatal("no limit is enough")
	return 0
}

// A model of random weights, of whom nothing sensible is to be expected, writes valid
// values of random schemas within any limit, the smallest included.
func TestConstrainedRepliesAreCompleteAndValid(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p, err := policy.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	vocab, err := base.Vocabulary()
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for round := range 60 {
		schema := []byte(schematest.Random(rnd, 2))
		c, err := vocab.JSONSchema(schema)
		if err != nil {
			t.Fatalf("%s: %v", schema, err)
		}
		valid := validator(t, schema)
		least := fewest(t, c, base.EndTokens())
		for _, limit := range []int{least, least + 1, least + rnd.IntN(60)} {
			o := policy.SamplingOptions{N: 3, MaxTokens: limit, Temperature: float64(round%3) * 0.8, TopP: 0.95, Seed: uint64(round), Constraint: c, Tokenizer: base.Tokenizer()}
			out, err := p.Generate(context.Background(), [][]int{{1, 2, 3}}, o)
			if err != nil {
				t.Fatalf("%s, limit %d: %v", schema, limit, err)
			}
			for _, r := range out[0] {
				if err := valid(r.Text); err != nil {
					t.Errorf("%s, limit %d: reply %q: %v", schema, limit, r.Text, err)
				}
				if n := len(r.Tokens); r.Truncated || n > limit || r.Tokens[n-1] != tiny.End {
					t.Errorf("%s, limit %d: reply %q of %d tokens, truncated %v", schema, limit, r.Text, n, r.Truncated)
				}
			}
		}
		if _, err := p.Generate(context.Background(), [][]int{{1}}, policy.SamplingOptions{MaxTokens: least - 1, Constraint: c}); least > 1 && !errors.Is(err, policy.ErrConstraintLimit) {
			t.Errorf("%s: limit %d gives %v", schema, least-1, err)
		}
	}
}

// walk draws a reply by a constraint alone: each token that may come has equal chances.
func walk(t testing.TB, c policy.Constraint, tok *tokenizer.Tokenizer, limit, end int, rnd *rand.Rand) string {
	t.Helper()
	state, err := c.Start(limit, []int{end})
	if err != nil {
		t.Fatal(err)
	}
	var reply []byte
	for n := range limit {
		var may []int
		for w, word := range state.Allowed() {
			for ; word != 0; word &= word - 1 {
				may = append(may, w*64+trailing(word))
			}
		}
		if len(may) == 0 {
			t.Fatalf("nothing is allowed after %q, %d of %d tokens", reply, n, limit)
		}
		token := may[rnd.IntN(len(may))]
		if token == end {
			return string(reply)
		}
		reply = append(reply, tok.Bytes(token)...)
		state.Advance(token)
	}
	t.Fatalf("no end after %q, %d tokens", reply, limit)
	return ""
}

func trailing(w uint64) int {
	n := 0
	for ; w&1 == 0; w >>= 1 {
		n++
	}
	return n
}

// realModel names the directory of SmolLM2-135M-Instruct, which is not part of the
// project.
const realModel = "SOCIALRL_SMOLLM2"

// The tokens of real tokenizers cross characters, quotes and braces.
func TestConstraintsHoldWithRealTokenizers(t *testing.T) {
	dirs := []string{fixtures.Data(t, "qwen2.5")}
	if dir := os.Getenv(realModel); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		tok, err := tokenizer.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		end, ok := tok.EOS()
		if !ok {
			t.Fatalf("%s: no end token", dir)
		}
		checkRealTokenizer(t, tok, end)
	}
}

func checkRealTokenizer(t *testing.T, tok *tokenizer.Tokenizer, end int) {
	t.Helper()
	vocab := policy.NewVocabulary(tok, tok.VocabSize()+100)
	rnd := rand.New(rand.NewPCG(3, 9))
	schemas := [][]byte{episode.ActionSchema(), episode.ExactActionSchema()}
	for range 4 {
		schemas = append(schemas, []byte(schematest.Random(rnd, 2)))
	}
	for _, schema := range schemas {
		c, err := vocab.JSONSchema(schema)
		if err != nil {
			t.Fatal(err)
		}
		valid := validator(t, schema)
		least := fewest(t, c, []int{end})
		for i := range 10 {
			reply := walk(t, c, tok, least+i*i, end, rnd)
			if err := valid(reply); err != nil {
				t.Errorf("%s: %q: %v", schema, reply, err)
			}
		}
	}
}

// Every reply to the exact schema is an action as it stands; the free object is an
// object.
func TestConstrainedActionsParse(t *testing.T) {
	base := tiny.Base(t, "cpu")
	vocab, err := base.Vocabulary()
	if err != nil {
		t.Fatal(err)
	}
	exact, err := vocab.JSONSchema(episode.ExactActionSchema())
	if err != nil {
		t.Fatal(err)
	}
	anyObject, err := vocab.JSONObject()
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	seen := map[episode.ActionType]int{}
	for range 200 {
		reply := walk(t, exact, base.Tokenizer(), 90, tiny.End, rnd)
		var a episode.Action
		if err := json.Unmarshal([]byte(reply), &a); err != nil {
			t.Fatalf("%q: %v", reply, err)
		}
		if _, err := episode.ParseAction(reply); err != nil {
			t.Errorf("%q: %v", reply, err)
		}
		seen[a.Type]++
		if err := json.Unmarshal([]byte(walk(t, anyObject, base.Tokenizer(), 40, tiny.End, rnd)), &map[string]any{}); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != len(episode.ActionTypes()) {
		t.Errorf("types written: %v, want all five", seen)
	}
}

func TestConstraintsAreChecked(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p, _ := policy.New(base, nil)
	vocab, _ := base.Vocabulary()
	c, err := vocab.JSONObject()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]policy.SamplingOptions{
		"a limit below {} and its end": {MaxTokens: 2, Constraint: c},
		"MinTokens":                    {MaxTokens: 9, MinTokens: 1, Constraint: c},
		"no end token":                 {MaxTokens: 9, StopTokens: []int{}, Constraint: c},
	} {
		if out, err := p.Generate(context.Background(), [][]int{{1}}, o); err == nil {
			t.Errorf("%s: no error, replies %v", name, out)
		}
	}
	out, err := p.Generate(context.Background(), [][]int{{1}}, policy.SamplingOptions{MaxTokens: 3, Constraint: c})
	if err != nil || !slices.Equal(out[0][0].Tokens, []int{'{', '}', tiny.End}) {
		t.Errorf("the shortest object: %v, %v", out, err)
	}
	if _, err := vocab.JSONSchema([]byte(`{"type": "nothing"}`)); err == nil {
		t.Error("a wrong schema is compiled")
	}
}

func ExampleVocabulary_JSONSchema() {
	base, closeBase, err := tiny.Load("cpu")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeBase()
	p, _ := policy.New(base, nil)
	vocab, _ := base.Vocabulary()
	constraint, err := vocab.JSONSchema(episode.ExactActionSchema())
	if err != nil {
		fmt.Println(err)
		return
	}
	replies, err := p.Generate(context.Background(), [][]int{{'H', 'i'}}, policy.SamplingOptions{
		MaxTokens: 48, Temperature: 1, Seed: 1, Constraint: constraint, Tokenizer: base.Tokenizer()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = episode.ParseAction(replies[0][0].Text)
	fmt.Println(len(replies[0][0].Tokens) <= 48, err)
	// Output: true <nil>
}
