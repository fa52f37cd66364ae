package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

var command clitest.Program = run

// start serves with the flags until the test ends, and returns the address.
func start(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		done <- serve(ctx, args, cli.Streams{Out: in, Err: &log})
		in.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("ended with %v; printed\n%s", err, log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v", err, <-done)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "serving at "))
}

func ask(t *testing.T, url, body string) string {
	t.Helper()
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("%s: %s %s %v", body, answer.Status, text, err)
	}
	return string(text)
}

// Base, adapter and reward model of the flags are served, behind the key.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	clitest.WriteModels(t, dir)
	writeAdapter(t, filepath.Join(dir, "model"), filepath.Join(dir, "adapter"))
	t.Setenv("SERVE_TEST_KEY", "secret")
	url := start(t, "-model", filepath.Join(dir, "model"), "-dtype", "f32", "-addr", "127.0.0.1:0", "-name", "bare", "-adapter", "social="+filepath.Join(dir, "adapter"),
		"-reward-model", filepath.Join(dir, "rm"), "-key-env", "SERVE_TEST_KEY", "-best-of", "2")
	for _, model := range []string{"bare", "social"} {
		text := ask(t, url+"/v1/chat/completions", `{"model": "`+model+`", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]}`)
		if !strings.Contains(text, `"model":"`+model+`"`) {
			t.Errorf("reply %s", text)
		}
	}
	if text := ask(t, url+"/score", `{"input": "a", "outputs": ["b", "c"]}`); strings.Contains(text, "null") || strings.Count(text, ",") < 1 {
		t.Errorf("scores %s", text)
	}
	if text := ask(t, url+"/sotopia/chat/completions", `{"messages": [{"role": "user", "content": "Hi"}], "max_new_tokens": 3}`); !strings.Contains(text, "custom-rejection-sampler-model") {
		t.Errorf("best of two: %s", text)
	}
	answer, err := http.Get(url + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without key: %s", answer.Status)
	}
}

// writeAdapter writes a new adapter of a model.
func writeAdapter(t *testing.T, model, dir string) {
	t.Helper()
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	base, err := policy.LoadBase(eng, model, lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	a, err := policy.NewAdapter(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := policy.SaveAdapter(a, dir); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	for text, args := range map[string]string{
		"-model is missing":         "",
		"want NAME=DIR":             "-model m -adapter x",
		"-max-live is 0":            "-model m -max-live 0",
		"SERVE_TEST_UNSET is empty": "-model m -key-env SERVE_TEST_UNSET",
	} {
		command.Want(t, 2, text, strings.Fields(args)...)
	}
	command.Want(t, 1, "open no-such-folder", "-model", "m", "-adapters", "no-such-folder")
}
