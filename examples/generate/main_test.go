package main

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

var command clitest.Program = run

// model is the directory of a tiny model of random weights.
var model string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if model, err = os.MkdirTemp("", "generate"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(model)
		if err := tiny.Write(model); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// execute runs the program on the model.
func execute(stdin string, args ...string) (code int, stdout, stderr string) {
	return command.Run(stdin, append([]string{"-model", model, "-dtype", "f32"}, args...)...)
}

func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	code, stdout, stderr := execute(stdin, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

// A prompt is the same from the flag, a file and standard input, whose last newline
// is not part of it.
func TestPrompt(t *testing.T) {
	t.Parallel()
	path := clitest.WriteFile(t, t.TempDir(), "prompt", "Hello\n")
	want := must(t, "", "-prompt", "Hello", "-max-tokens", "12")
	for _, got := range []string{must(t, "", "-prompt-file", path, "-max-tokens", "12"), must(t, "Hello\n", "-max-tokens", "12")} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	chat := must(t, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", "-raw", "-max-tokens", "12")
	if chat != want {
		t.Errorf("raw text of the chat gives %q, want %q", chat, want)
	}
}

// The flags reach the sampler: what the program prints is what the library draws.
func TestLogProbs(t *testing.T) {
	t.Parallel()
	stdout := must(t, "ab", "-raw", "-logprobs", "-n", "3", "-max-tokens", "9", "-temperature", "0.8", "-top-k", "40", "-top-p", "0.9",
		"-min-p", "0.001", "-repetition-penalty", "1.1", "-seed", "7", "-stop", "zz")
	base := tiny.Base(t, "cpu")
	p, err := policy.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Generate(t.Context(), [][]int{base.Tokenizer().Encode("ab")}, policy.SamplingOptions{N: 3, MaxTokens: 9, Temperature: 0.8,
		TopK: 40, TopP: 0.9, MinP: 0.001, RepetitionPenalty: 1.1, Seed: 7, Stop: []string{"zz"}, Tokenizer: base.Tokenizer()})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), stdout)
	}
	for i, line := range lines {
		var r reply
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		w, sum := want[0][i], 0.0
		if r.Index != i || len(r.Tokens) != len(w.Tokens) || (r.FinishReason == "length") != w.Truncated {
			t.Fatalf("%+v, want %+v", r, w)
		}
		for j, tok := range r.Tokens {
			if tok.ID != w.Tokens[j] || tok.LogProb != w.LogProbs[j] {
				t.Errorf("reply %d, token %d: %+v, want %d %v", i, j, tok, w.Tokens[j], w.LogProbs[j])
			}
			sum += tok.LogProb
		}
		if math.Abs(sum-r.LogProb) > 1e-12 {
			t.Errorf("log-probability %v, want %v", r.LogProb, sum)
		}
	}
}

func TestSeveralReplies(t *testing.T) {
	t.Parallel()
	stdout := must(t, "", "-prompt", "x", "-n", "2", "-max-tokens", "4")
	if !strings.HasPrefix(stdout, "--- 1 of 2\n") || !strings.Contains(stdout, "\n--- 2 of 2\n") {
		t.Errorf("%q", stdout)
	}
}

// A reply with an adapter differs from that of the bare model once the adapter does
// something.
func TestAdapter(t *testing.T) {
	t.Parallel()
	base := tiny.Base(t, "cpu")
	a, err := policy.NewAdapter(base, lora.Config{Rank: 2, Alpha: 64, Targets: lora.AllLinear}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, param := range a.Params() {
		v := make([]float32, param.Value.Len())
		for i := range v {
			v[i] = float32(i%7) / 7
		}
		base.Engine().Write(param.Value, v)
	}
	dir := t.TempDir()
	if err := policy.SaveAdapter(a, dir); err != nil {
		t.Fatal(err)
	}
	args := []string{"-prompt", "x", "-temperature", "0", "-logprobs", "-max-tokens", "4"}
	if bare, adapted := must(t, "", args...), must(t, "", append(args, "-adapter", dir)...); bare == adapted {
		t.Errorf("both are %s", bare)
	}
}

// A template file takes the place of the model's own.
func TestTemplate(t *testing.T) {
	t.Parallel()
	path := clitest.WriteFile(t, t.TempDir(), "chat.jinja", "{% for m in messages %}<{{ m.content }}>{% endfor %}")
	if got, want := must(t, "", "-template", path, "-prompt", "x"), must(t, "", "-raw", "-prompt", "<x>"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"-model=":                    "-model is missing",
		"-n 0":                       "-n is 0",
		"-max-tokens 0":              "-max-tokens is 0",
		"-temperature -1":            "-temperature is -1",
		"-top-k -1":                  "-top-k is -1",
		"-top-p 0":                   "-top-p is 0",
		"-min-p 2":                   "-min-p is 2",
		"-repetition-penalty 0":      "-repetition-penalty is 0",
		"-dtype x":                   `-dtype is "x"`,
		"-device abacus":             `-device: lora: unknown engine "abacus"`,
		"-device cuda:0:f16":         `-device: lora: engine "cuda:0:f16"`,
		"-prompt x -prompt-file y":   "exclude each other",
		"-stop=":                     "empty text",
		"one two":                    `unexpected argument "one"`,
		"-temperature warm":          "-temperature",
		"-prompt x -no-such-flag":    "not defined",
		"-prompt x -logprobs=perhap": "logprobs",
	} {
		command.Want(t, 2, want, append([]string{"-model", model}, strings.Fields(flags)...)...)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for want, flags := range map[string]string{
		"none.txt": "-prompt-file none.txt",
		"none":     "-adapter none -prompt x",
		"config":   "-model none -prompt x",
		"none.j":   "-template none.j -prompt x",
		"empty":    "-raw -prompt=",
	} {
		code, _, stderr := execute("", strings.Fields(flags)...)
		_, line, _ := strings.Cut(stderr, "\ngenerate: ")
		if code != 1 || !strings.Contains(line, want) || strings.Count(line, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, want 1 and %q in one line", flags, code, line, want)
		}
	}
}
