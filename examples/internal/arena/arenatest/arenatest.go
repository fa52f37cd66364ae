// Package arenatest makes what tests of programs that play need: a model that acts,
// and a judge that follows a rule.
package arenatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// Template is the prompt that the model of [WriteModel] has learned with.
const Template = "{history}\n{agent}:"

// Main is the TestMain of such a program: it runs the program itself where a test has
// started it as a child, and otherwise the tests, with the models of [WriteModel] in a
// folder that it names.
func Main(m *testing.M, command clitest.Program, folder *string) {
	command.Child()
	os.Exit(func() int {
		var err error
		if *folder, err = os.MkdirTemp("", "arena"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(*folder)
		if err := WriteModel(*folder); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// WriteModel trains a model of the miniature world to talk, and writes to dir the
// model itself (model), a LoRA adapter that talks otherwise (adapter), and the file
// of its prompt (prompt.txt).
func WriteModel(dir string) error {
	eng, err := lora.Open("cpu")
	if err != nil {
		return err
	}
	defer eng.Close()
	base, err := newBase(eng)
	if err != nil {
		return err
	}
	defer base.Close()
	all, err := policy.NewFull(base)
	if err != nil {
		return err
	}
	p, err := policy.New(base, all)
	if err != nil {
		return err
	}
	if err := train(p, filepath.Join(dir, "talk"), 30, 3e-3, 0); err != nil {
		return err
	}
	if err := export(p, filepath.Join(dir, "model")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "prompt.txt"), []byte(Template), 0o644); err != nil {
		return err
	}
	return writeAdapter(eng, dir)
}

// newBase makes the model with fresh weights: small, and of a shape that files have.
func newBase(eng lora.Engine) (*policy.Base, error) {
	tok, err := world.Tokenizer()
	if err != nil {
		return nil, err
	}
	end, ok := tok.EOS()
	if !ok {
		return nil, errors.New("the tokenizer has no end token")
	}
	base, err := policy.NewBase(eng, policy.Config{
		ModelType: policy.Qwen2, VocabSize: 512, HiddenSize: 64, IntermediateSize: 96, Layers: 2,
		Heads: 4, KVHeads: 2, HeadDim: 16, RMSNormEps: 1e-6, RopeTheta: 10000, MaxPositions: 4096,
		TieEmbeddings: true, EOS: []int{end}, InitializerRange: 0.05,
	}, 1)
	if err != nil {
		return nil, err
	}
	base.SetTokenizer(tok)
	return base, nil
}

func export(p *policy.Policy, dir string) error {
	if err := p.Export(dir, lora.DTypeF32); err != nil {
		return err
	}
	files, err := world.TokenizerFiles()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeAdapter(eng lora.Engine, dir string) error {
	base, err := policy.LoadBase(eng, filepath.Join(dir, "model"), lora.F32)
	if err != nil {
		return err
	}
	defer base.Close()
	a, err := policy.NewAdapter(base, lora.Config{Rank: 4, Alpha: 16, Targets: lora.QV}, 2)
	if err != nil {
		return err
	}
	defer a.Close()
	p, err := policy.New(base, a)
	if err != nil {
		return err
	}
	if err := train(p, filepath.Join(dir, "other"), 5, 1e-2, 1); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, "other", "adapter"), filepath.Join(dir, "adapter"))
}

// train clones scripted talk, in which nobody leaves; shift chooses what is said.
func train(p *policy.Policy, dir string, steps int, lr float64, shift int) error {
	items, err := talk(shift)
	if err != nil {
		return err
	}
	cfg := policy.SFTConfig{FitConfig: policy.FitConfig{
		Dir: dir, Epochs: 1000, MaxSteps: steps, Batch: 20, LR: lr, Warmup: 3, Schedule: "linear", Seed: 1,
	}}
	_, err = policy.SFT(context.Background(), p, items, cfg)
	return err
}

// talk returns the items of episodes in which both sides make moves of their kind.
func talk(shift int) ([]episode.Item, error) {
	profiles := world.Profiles()
	hard, err := profiles.Benchmark(episode.BenchmarkHard)
	if err != nil {
		return nil, err
	}
	template, err := episode.NewPromptTemplate(Template)
	if err != nil {
		return nil, err
	}
	var items []episode.Item
	for i, env := range hard {
		agents := profiles.Agents
		scene, err := profiles.Scene(env.ID, agents[i].ID, agents[i+shift+1].ID)
		if err != nil {
			return nil, err
		}
		e, err := episode.Play(context.Background(), scene, []episode.Agent{talker(i + shift), talker(i + shift + 1)},
			episode.WithID(env.ID), episode.WithMaxTurns(10))
		if err != nil {
			return nil, err
		}
		for _, name := range e.Agents() {
			own, err := e.Items(name, template)
			if err != nil {
				return nil, err
			}
			items = append(items, own...)
		}
	}
	return items, nil
}

// talker says something else in every turn.
func talker(n int) episode.Script {
	var s episode.Script
	kinds := world.Kinds()
	for turn := range 10 {
		moves := world.Moves(kinds[(n+turn)%len(kinds)])
		k := kinds[(n+turn)%len(kinds)]
		s = append(s, episode.Action{Type: episode.Speak, Argument: moves[(7*n+3*turn)%len(moves)].Text(k)})
	}
	return s
}

// Judge serves a judge of SOTOPIA-EVAL behind the OpenAI API: its scores depend on
// every letter of what it is asked, and on nothing else.
func Judge(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{
			"finish_reason": "stop", "message": map[string]string{"role": "assistant", "content": verdict(q.Messages[0].Content)},
		}}})
	}))
	t.Cleanup(s.Close)
	return s
}

// verdict is what the judge answers.
func verdict(prompt string) string {
	var agents []string
	for agent := range 2 {
		var scores []string
		for i, d := range episode.Dimensions() {
			h := fnv.New32a()
			fmt.Fprint(h, agent, i, prompt)
			lo, hi, _ := d.Range()
			score := int(lo) + int(h.Sum32()>>8)%(int(hi)-int(lo)+1)
			scores = append(scores, fmt.Sprintf(`"%s": {"reasoning": "By rule.", "score": %d}`, d, score))
		}
		agents = append(agents, fmt.Sprintf(`"agent_%d": {%s}`, agent+1, strings.Join(scores, ", ")))
	}
	return "{" + strings.Join(agents, ", ") + "}"
}
