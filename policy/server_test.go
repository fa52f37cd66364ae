package policy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

const apiKey = "sk-test"

// serve starts a server of the tiny model; the base is called tiny.
func serve(t testing.TB, cfg policy.ServerConfig) (*policy.Server, *httptest.Server) {
	t.Helper()
	cfg.Name = "tiny"
	s := policy.NewServer(tiny.Base(t, "cpu"), cfg)
	web := httptest.NewServer(s)
	t.Cleanup(func() { web.Close(); s.Close() })
	return s, web
}

// post sends a body and returns status and answer.
func post(t testing.TB, url, body string) (int, http.Header, map[string]any) {
	t.Helper()
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	return send(t, r)
}

func send(t testing.TB, r *http.Request) (int, http.Header, map[string]any) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("status %d: %q: %v", answer.StatusCode, data, err)
	}
	return answer.StatusCode, answer.Header, v
}

func errorOf(t testing.TB, v map[string]any) (message, param, code string) {
	t.Helper()
	e, ok := v["error"].(map[string]any)
	if !ok {
		t.Fatalf("no error object in %v", v)
	}
	message, _ = e["message"].(string)
	param, _ = e["param"].(string)
	code, _ = e["code"].(string)
	if kind, _ := e["type"].(string); message == "" || kind == "" {
		t.Errorf("error object %v lacks message or type", e)
	}
	return message, param, code
}

const hello = `"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]`

// Requests that are wrong get a status of 4xx with OpenAI's error object, and the
// server goes on.
func TestServerRefusesWhatIsWrong(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{APIKey: apiKey, MaxTokens: 64, MaxReplies: 8, MaxCache: 400})
	schema := func(s string) string {
		return `{` + hello + `, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": ` + s + `}}}`
	}
	for _, c := range []struct {
		why, path, body string
		status          int
		param, code     string
	}{
		{"not JSON", "/v1/chat/completions", `{"model": `, 400, "", "invalid_json"},
		{"nothing at all", "/v1/chat/completions", ``, 400, "", "invalid_json"},
		{"a list", "/v1/chat/completions", `[]`, 400, "", "invalid_value"},
		{"two objects", "/v1/chat/completions", `{} {}`, 400, "", "invalid_json"},
		{"a number as text", "/v1/chat/completions", `{"model": 7}`, 400, "model", "invalid_value"},
		{"a text as number", "/v1/chat/completions", `{` + hello + `, "max_tokens": "many"}`, 400, "max_tokens", "invalid_value"},
		{"messages of another type", "/v1/chat/completions", `{"model": "tiny", "messages": "Hi"}`, 400, "messages", "invalid_value"},
		{"no model", "/v1/chat/completions", `{"messages": []}`, 400, "model", "missing_model"},
		{"unknown model", "/v1/chat/completions", `{"model": "gpt", "messages": [{"role": "user", "content": "Hi"}]}`, 404, "model", "model_not_found"},
		{"no messages", "/v1/chat/completions", `{"model": "tiny", "messages": []}`, 400, "messages", "invalid_value"},
		{"no role", "/v1/chat/completions", `{"model": "tiny", "messages": [{"content": "Hi"}]}`, 400, "messages[0].role", "invalid_value"},
		{"content of another type", "/v1/chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": 3}]}`, 400, "messages[0].content", "invalid_value"},
		{"a picture", "/v1/chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, 400, "messages[0].content", "invalid_value"},
		{"10 MB", "/v1/chat/completions", `{` + hello + `, "user": "` + strings.Repeat("x", 10<<20) + `"}`, 413, "", "request_too_large"},
		{"negative tokens", "/v1/chat/completions", `{` + hello + `, "max_tokens": -1}`, 400, "max_tokens", "invalid_value"},
		{"too many tokens", "/v1/chat/completions", `{` + hello + `, "max_completion_tokens": 65}`, 400, "max_completion_tokens", "invalid_value"},
		{"negative n", "/v1/chat/completions", `{` + hello + `, "n": -2}`, 400, "n", "invalid_value"},
		{"too many replies", "/v1/chat/completions", `{` + hello + `, "n": 9}`, 400, "n", "invalid_value"},
		{"temperature", "/v1/chat/completions", `{` + hello + `, "temperature": -0.1}`, 400, "temperature", "invalid_value"},
		{"top_p", "/v1/chat/completions", `{` + hello + `, "top_p": 1.5}`, 400, "top_p", "invalid_value"},
		{"an empty stop", "/v1/chat/completions", `{` + hello + `, "stop": ["a", ""]}`, 400, "stop", "invalid_value"},
		{"a stop of another type", "/v1/chat/completions", `{` + hello + `, "stop": {}}`, 400, "stop", "invalid_value"},
		{"tools", "/v1/chat/completions", `{` + hello + `, "tools": [{"type": "function"}]}`, 400, "tools", "invalid_value"},
		{"penalty", "/v1/chat/completions", `{` + hello + `, "presence_penalty": 1}`, 400, "presence_penalty", "invalid_value"},
		{"frequency_penalty", "/v1/chat/completions", `{` + hello + `, "frequency_penalty": 0.5}`, 400, "frequency_penalty", "invalid_value"},
		{"echo", "/v1/chat/completions", `{` + hello + `, "echo": true}`, 400, "echo", "invalid_value"},
		{"guided_json", "/v1/chat/completions", `{` + hello + `, "guided_json": {"type": "null"}}`, 400, "guided_json", "invalid_value"},
		{"guided_choice", "/v1/chat/completions", `{` + hello + `, "guided_choice": ["a"]}`, 400, "guided_choice", "invalid_value"},
		{"structured_outputs", "/v1/chat/completions", `{` + hello + `, "structured_outputs": {"regex": "a"}}`, 400, "structured_outputs", "invalid_value"},
		{"min_tokens", "/v1/chat/completions", `{` + hello + `, "min_tokens": 3}`, 400, "min_tokens", "invalid_value"},
		{"ignore_eos", "/v1/chat/completions", `{` + hello + `, "ignore_eos": true}`, 400, "ignore_eos", "invalid_value"},
		{"stop_token_ids", "/v1/chat/completions", `{` + hello + `, "stop_token_ids": [1]}`, 400, "stop_token_ids", "invalid_value"},
		{"bad_words", "/v1/chat/completions", `{` + hello + `, "bad_words": ["x"]}`, 400, "bad_words", "invalid_value"},
		{"use_beam_search", "/v1/chat/completions", `{` + hello + `, "use_beam_search": true}`, 400, "use_beam_search", "invalid_value"},
		{"prompt_logprobs", "/v1/chat/completions", `{` + hello + `, "prompt_logprobs": 0}`, 400, "prompt_logprobs", "invalid_value"},
		{"chat_template_kwargs", "/v1/chat/completions", `{` + hello + `, "chat_template_kwargs": {"a": 1}}`, 400, "chat_template_kwargs", "invalid_value"},
		{"add_generation_prompt", "/v1/chat/completions", `{` + hello + `, "add_generation_prompt": false}`, 400, "add_generation_prompt", "invalid_value"},
		{"top_logprobs without logprobs", "/v1/chat/completions", `{` + hello + `, "top_logprobs": 2}`, 400, "top_logprobs", "invalid_value"},
		{"stream options without a stream", "/v1/chat/completions", `{` + hello + `, "stream_options": {"include_usage": true}}`, 400, "stream_options", "invalid_value"},
		{"format", "/v1/chat/completions", `{` + hello + `, "response_format": {"type": "xml"}}`, 400, "response_format.type", "invalid_value"},
		{"no schema", "/v1/chat/completions", `{` + hello + `, "response_format": {"type": "json_schema"}}`, 400, "response_format.json_schema", "invalid_value"},
		{"invalid schema", "/v1/chat/completions", schema(`{"type": "text"}`), 400, "response_format.json_schema", "invalid_value"},
		{"schema that nothing fits", "/v1/chat/completions", schema(`{"type": "integer", "minimum": 2, "maximum": 1}`), 400, "response_format.json_schema", "invalid_value"},
		{"limit below the schema's shortest", "/v1/chat/completions", `{` + hello + `, "max_tokens": 2, "response_format": {"type": "json_object"}}`, 400, "max_tokens", "invalid_value"},
		{"no prompt", "/v1/completions", `{"model": "tiny"}`, 400, "prompt", "invalid_value"},
		{"empty prompt", "/v1/completions", `{"model": "tiny", "prompt": []}`, 400, "prompt", "invalid_value"},
		{"prompt of another type", "/v1/completions", `{"model": "tiny", "prompt": {"a": 1}}`, 400, "prompt", "invalid_value"},
		{"token outside the vocabulary", "/v1/completions", `{"model": "tiny", "prompt": [1, 999]}`, 400, "prompt", "invalid_value"},
		{"prompt beyond the context", "/v1/completions", `{"model": "tiny", "prompt": "` + strings.Repeat("x", 600) + `"}`, 400, "messages", "context_length_exceeded"},
		{"more than the cache holds", "/v1/completions", `{"model": "tiny", "prompt": "` + strings.Repeat("x", 350) + `", "max_tokens": 64}`, 400, "max_tokens", "invalid_value"},
		{"echo", "/v1/completions", `{"model": "tiny", "prompt": "x", "echo": true}`, 400, "echo", "invalid_value"},
		{"loading turned off", "/v1/load_lora_adapter", `{"lora_name": "a", "lora_path": "b"}`, 403, "", "adapters_disabled"},
		{"no reward model", "/score", `{"input": "a", "outputs": ["b"]}`, 501, "", "no_scorer"},
		{"nothing to score", "/score", `{"input": "a"}`, 400, "outputs", "invalid_value"},
		{"another place", "/v1/images", `{}`, 404, "", "not_found"},
	} {
		status, _, v := post(t, web.URL+c.path, c.body)
		_, param, code := errorOf(t, v)
		if status != c.status || param != c.param || code != c.code {
			t.Errorf("%s: %d, %q, %q (%v), want %d, %q, %q", c.why, status, param, code, v, c.status, c.param, c.code)
		}
	}
	if status, _, v := post(t, web.URL+"/v1/chat/completions", `{`+hello+`, "max_tokens": 2}`); status != 200 {
		t.Errorf("after all that: %d %v", status, v)
	}
}

func TestServerAsksForTheKey(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{APIKey: apiKey})
	for _, given := range []string{"", "Bearer", "Bearer sk-tesT", "Bearer " + apiKey + "x"} {
		r, _ := http.NewRequest("GET", web.URL+"/v1/models", nil)
		r.Header.Set("Authorization", given)
		status, _, v := send(t, r)
		if _, _, code := errorOf(t, v); status != 401 || code != "invalid_api_key" {
			t.Errorf("%q: %d, %s", given, status, code)
		}
	}
	for _, open := range []string{"/health", "/metrics"} {
		answer, err := http.Get(web.URL + open)
		if err != nil || answer.StatusCode != 200 {
			t.Errorf("%s: %v, %v", open, answer, err)
		}
		answer.Body.Close()
	}
}

// reply asks for one completion and returns its text and why it ended.
func reply(t testing.TB, url, body string) (string, string) {
	t.Helper()
	status, _, v := post(t, url+"/v1/completions", body)
	if status != 200 {
		t.Errorf("%s: %d %v", body, status, v)
		return "", ""
	}
	c := v["choices"].([]any)[0].(map[string]any)
	return c["text"].(string), c["finish_reason"].(string)
}

// A seeded reply is that of Generate, whoever else is served at the time.
func TestServedRepliesAreThoseOfGenerate(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p, _ := policy.New(base, nil)
	want := map[int]string{}
	for i := range 12 {
		out, err := p.Generate(context.Background(), [][]int{base.Tokenizer().Encode(prompt(i))}, policy.SamplingOptions{
			MaxTokens: 20, Temperature: 0.9, TopP: 0.9, RepetitionPenalty: 1, Seed: uint64(i), Tokenizer: base.Tokenizer()})
		if err != nil {
			t.Fatal(err)
		}
		want[i] = out[0][0].Text
	}
	_, web := serve(t, policy.ServerConfig{PromptRows: 3, MaxLive: 5})
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			got, _ := reply(t, web.URL, fmt.Sprintf(`{"model": "tiny", "prompt": %q, "max_tokens": 20, "temperature": 0.9, "top_p": 0.9, "seed": %d}`, prompt(i), i))
			if got != want[i] {
				t.Errorf("reply %d: %q, want %q", i, got, want[i])
			}
		})
	}
	group.Wait()
}

func prompt(i int) string { return strings.Repeat("abc", i%4) + fmt.Sprint("prompt ", i) }

// events reads the data of a stream of server-sent events.
func events(t testing.TB, r io.Reader) []string {
	t.Helper()
	var out []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			out = append(out, data)
		} else if lines.Text() != "" {
			t.Errorf("line %q in a stream", lines.Text())
		}
	}
	return out
}

// The parts of a stream are the reply, whatever the stop text straddles, and no part
// of a stop text is sent.
func TestStreamsHoldStopTextsBack(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{})
	ask := func(more string) string {
		return `{"model": "tiny", "prompt": "Good", "max_tokens": 40, "seed": 3, "temperature": 1` + more + `}`
	}
	whole, finish := reply(t, web.URL, ask(""))
	if finish != "length" || len(whole) < 20 {
		t.Fatalf("reply %q ended by %s: the test needs a longer one", whole, finish)
	}
	runes := []rune(whole)
	stop := string(runes[8:11])
	want := whole[:strings.Index(whole, stop)]
	stops, _ := json.Marshal([]string{string(runes[9:13]) + "never", stop, "also never"})
	for _, more := range []string{fmt.Sprintf(`, "stop": %s`, stops), fmt.Sprintf(`, "stop": %s, "stream": true, "stream_options": {"include_usage": true}`, stops)} {
		if !strings.Contains(more, "stream") {
			if got, finish := reply(t, web.URL, ask(more)); got != want || finish != "stop" {
				t.Errorf("stopped reply %q by %s, want %q", got, finish, want)
			}
			continue
		}
		answer, err := http.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(ask(more)))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		checkStream(t, events(t, answer.Body), want)
	}
}

func checkStream(t *testing.T, data []string, want string) {
	t.Helper()
	if data[len(data)-1] != "[DONE]" {
		t.Fatalf("the stream ends with %q", data[len(data)-1])
	}
	got, finish, used := "", "", 0.0
	for _, d := range data[:len(data)-1] {
		var v struct {
			Choices []struct {
				Text   string
				Finish string `json:"finish_reason"`
			}
			Usage map[string]float64
		}
		if err := json.Unmarshal([]byte(d), &v); err != nil {
			t.Fatalf("%q: %v", d, err)
		}
		for _, c := range v.Choices {
			got, finish = got+c.Text, finish+c.Finish
		}
		used += v.Usage["total_tokens"]
	}
	if got != want || finish != "stop" || used < float64(len("Good")) {
		t.Errorf("stream %q ended by %q with %v tokens, want %q", got, finish, used, want)
	}
}

// slow asks for long streams; it returns their bodies.
func slow(t testing.TB, ctx context.Context, url string, n int) []*http.Response {
	t.Helper()
	out := make([]*http.Response, n)
	for i := range out {
		body := fmt.Sprintf(`{"model": "tiny", "prompt": "%d", "max_tokens": 500, "stream": true, "stop": ["\u0000\u0001\u0002"], "response_format": {"type": "json_schema", "json_schema": {"name": "long", "schema": {"type": "string", "minLength": 450}}}}`, i)
		r, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/completions", strings.NewReader(body))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = answer
	}
	return out
}

// metric reads one number of /metrics.
func metric(t testing.TB, url, name string) float64 {
	t.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		var v float64
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no %s among the metrics", name)
	return 0
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after a long time", what)
		}
	}
}

// A full queue answers 429 and says when to come back; a client that goes away makes
// room.
func TestServerQueuesAndForgetsClients(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{MaxLive: 2, MaxQueue: 1})
	ctx, hangUp := context.WithCancel(context.Background())
	running := slow(t, ctx, web.URL, 2)
	first := make([]byte, 6)
	for _, r := range running {
		if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != "data: " {
			t.Fatalf("a stream begins with %q, %v", first, err)
		}
	}
	done := make(chan string)
	go func() {
		text, _ := reply(t, web.URL, `{"model": "tiny", "prompt": "x", "max_tokens": 3}`)
		done <- text
	}()
	eventually(t, "a request waits", func() bool { return metric(t, web.URL, "socialrl_requests_waiting") == 1 })
	if metric(t, web.URL, "socialrl_replies_live") == 2 { // the streams may end before
		status, header, v := post(t, web.URL+"/v1/completions", `{"model": "tiny", "prompt": "x", "max_tokens": 3}`)
		if status == 429 && header.Get("Retry-After") == "" {
			t.Errorf("a full server answers %d %v without Retry-After", status, v)
		}
	}
	hangUp()
	<-done
	for _, r := range running {
		r.Body.Close()
	}
	eventually(t, "all have ended", func() bool {
		return metric(t, web.URL, "socialrl_replies_live") == 0 && metric(t, web.URL, "socialrl_requests_waiting") == 0
	})
}

// A request that takes too long ends with an error; one that is under way while the
// server shuts down is finished, and new ones are refused.
func TestServerEndsInTimeAndInOrder(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{Timeout: time.Nanosecond})
	if status, _, v := post(t, web.URL+"/v1/completions", `{"model": "tiny", "prompt": "x"}`); status != 504 {
		t.Errorf("a request without time: %d %v", status, v)
	}
	s, web := serve(t, policy.ServerConfig{})
	running := slow(t, context.Background(), web.URL, 1)[0]
	defer running.Body.Close()
	ended := make(chan error)
	go func() { ended <- s.Shutdown(context.Background()) }()
	eventually(t, "new requests are refused", func() bool {
		answer, err := http.Get(web.URL + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode == 503 && answer.Header.Get("Retry-After") != ""
	})
	data := events(t, running.Body)
	if data[len(data)-1] != "[DONE]" {
		t.Errorf("the stream under way ends with %q", data[len(data)-1])
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The next turn of a chat finds the last one in the cache and gets the reply that it
// would get without, though prompts are let go in between.
func TestServerKeepsPrompts(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{Keep: 120})
	_, fresh := serve(t, policy.ServerConfig{Keep: 1})
	chat := strings.Repeat("Long ago. ", 4)
	for turn := range 12 {
		ask := fmt.Sprintf(`{"model": "tiny", "prompt": %q, "max_tokens": 6, "seed": %d}`, chat, turn)
		got, _ := reply(t, web.URL, ask)
		if want, _ := reply(t, fresh.URL, ask); got != want {
			t.Errorf("turn %d: %q, without a cache %q", turn, got, want)
		}
		reply(t, web.URL, fmt.Sprintf(`{"model": "tiny", "prompt": "other %d", "max_tokens": 2}`, turn))
		if chat += " And then."; turn == 1 {
			if cached := metric(t, web.URL, "socialrl_cached_tokens_total"); cached < 40 {
				t.Errorf("%v tokens were found in the cache, want the last turn's 40", cached)
			}
		}
	}
	if cached := metric(t, fresh.URL, "socialrl_cached_tokens_total"); cached != 0 {
		t.Errorf("%v tokens were found in a cache that keeps none", cached)
	}
}

// Adapters are served under names of their own, loaded and unloaded while the server
// runs, from below one directory only.
func TestServerLoadsAdapters(t *testing.T) {
	dir := t.TempDir()
	base := tiny.Base(t, "cpu")
	a, err := policy.NewAdapter(base, lora.Config{Rank: 2, Alpha: 64, Targets: lora.AllLinear}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, param := range a.Params() {
		values := make([]float32, param.Value.Len())
		for j := range values {
			values[j] = float32((lora.Key{Seed: 1, Index: uint32(i)}).Normal(uint64(j)))
		}
		a.Engine().Write(param.Value, values)
	}
	if err := policy.SaveAdapter(a, filepath.Join(dir, "loud")); err != nil {
		t.Fatal(err)
	}
	s := policy.NewServer(base, policy.ServerConfig{Name: "tiny", Adapters: dir})
	web := httptest.NewServer(s)
	defer s.Close()
	defer web.Close()
	ask := func(model string) string {
		text, _ := reply(t, web.URL, fmt.Sprintf(`{"model": %q, "prompt": "Hello", "max_tokens": 12, "seed": 1}`, model))
		return text
	}
	before := ask("tiny")
	for _, path := range []string{"..", filepath.Dir(dir), "missing", ""} {
		if status, _, v := post(t, web.URL+"/v1/load_lora_adapter", fmt.Sprintf(`{"lora_name": "x", "lora_path": %q}`, path)); status != 400 {
			t.Errorf("path %q: %d %v", path, status, v)
		}
	}
	if status, _, v := post(t, web.URL+"/v1/load_lora_adapter", `{"lora_name": "loud", "lora_path": "loud"}`); status != 200 {
		t.Fatalf("load: %d %v", status, v)
	}
	if status, _, _ := post(t, web.URL+"/v1/load_lora_adapter", `{"lora_name": "loud", "lora_path": "loud"}`); status != 400 {
		t.Error("one name is loaded twice")
	}
	if with := ask("loud"); with == before || ask("tiny") != before {
		t.Errorf("replies with %q and without %q the adapter", with, before)
	}
	if status, _, v := post(t, web.URL+"/v1/unload_lora_adapter", `{"lora_name": "loud"}`); status != 200 {
		t.Errorf("unload: %d %v", status, v)
	}
	for _, path := range []string{"/v1/unload_lora_adapter", "/v1/completions"} {
		if status, _, _ := post(t, web.URL+path, `{"lora_name": "loud", "model": "loud", "prompt": "x"}`); status != 404 {
			t.Errorf("%s after unloading: %d", path, status)
		}
	}
}

// scorerFunc scores by a function.
type scorerFunc func(chat []tokenizer.Message, reply string) float64

func (f scorerFunc) ScoreReplies(_ context.Context, chat []tokenizer.Message, replies []string) ([]float64, error) {
	out := make([]float64, len(replies))
	for i, r := range replies {
		out[i] = f(chat, r)
	}
	return out, nil
}

func TestServerScoresAndPicksTheBest(t *testing.T) {
	s, web := serve(t, policy.ServerConfig{BestOf: 6})
	count := func(_ []tokenizer.Message, reply string) float64 {
		if reply == "" {
			return math.NaN()
		}
		return float64(strings.Count(reply, "a"))
	}
	s.SetScorer(scorerFunc(count))
	_, _, v := post(t, web.URL+"/score", `{"input": "Hi", "outputs": ["banana", "", "x"]}`)
	if got, _ := json.Marshal(v["scores"]); string(got) != "[3,null,0]" {
		t.Errorf("scores %s", got)
	}
	status, _, v := post(t, web.URL+"/sotopia/chat/completions", `{"messages": []}`)
	if status != 400 || v["error"] != "Messages are required." {
		t.Errorf("no messages: %d %v", status, v)
	}
	ask := `"messages": [{"role": "user", "content": "Hi"}], "max_new_tokens": 30, "seed": 4`
	_, _, v = post(t, web.URL+"/v1/chat/completions", `{"model": "tiny", "n": 6, `+ask+`}`)
	want, best := "", -1.0
	for _, c := range v["choices"].([]any) {
		text := c.(map[string]any)["message"].(map[string]any)["content"].(string)
		if score := count(nil, text); score > best {
			want, best = text, score
		}
	}
	status, _, v = post(t, web.URL+"/sotopia/chat/completions", `{`+ask+`}`)
	if status != 200 {
		t.Fatalf("%d %v", status, v)
	}
	got := v["choices"].([]any)[0].(map[string]any)["message"].(map[string]any)["content"]
	if len(v["choices"].([]any)) != 1 || got != want || v["model"] != "custom-rejection-sampler-model" {
		t.Errorf("best of six %v, want %q", v, want)
	}
}

// Constrained replies over the wire are complete whatever the limit.
func TestServerKeepsToSchemas(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{})
	schema := `{"type": "object", "properties": {"mood": {"enum": ["calm", "cross"]}, "n": {"type": "integer", "minimum": 1, "maximum": 5}}, "required": ["mood", "n"]}`
	valid := validator(t, []byte(schema))
	for i := range 6 {
		body := fmt.Sprintf(`{%s, "n": 3, "max_tokens": %d, "response_format": {"type": "json_schema", "json_schema": {"name": "m", "schema": %s}}}`, hello, 24+i, schema)
		status, _, v := post(t, web.URL+"/v1/chat/completions", body)
		if status != 200 {
			t.Fatalf("%d %v", status, v)
		}
		for _, c := range v["choices"].([]any) {
			c := c.(map[string]any)
			text := c["message"].(map[string]any)["content"].(string)
			if err := valid(text); err != nil || c["finish_reason"] != "stop" {
				t.Errorf("%q ended by %v: %v", text, c["finish_reason"], err)
			}
		}
	}
}

// Log-probabilities are those of the model, the drawn token's among the top ones, and
// the probabilities of all tokens sum to one.
func TestServerTellsLogProbabilities(t *testing.T) {
	_, web := serve(t, policy.ServerConfig{})
	_, _, v := post(t, web.URL+"/v1/chat/completions", `{`+hello+`, "max_tokens": 5, "temperature": 0, "logprobs": true, "top_logprobs": 20}`)
	data, _ := json.Marshal(v["choices"].([]any)[0].(map[string]any)["logprobs"])
	var got struct {
		Content []struct {
			LogProb float64
			Bytes   []int
			Top     []struct {
				LogProb float64
				Bytes   []int
			} `json:"top_logprobs"`
		}
	}
	if err := json.Unmarshal(bytes.ToLower(data), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Content) == 0 {
		t.Fatal("no tokens")
	}
	for _, c := range got.Content {
		sum := 0.0
		for _, top := range c.Top {
			sum += math.Exp(top.LogProb)
		}
		if len(c.Top) != 20 || math.Abs(c.Top[0].LogProb-c.LogProb) > 1e-5 || sum > 1+1e-6 || c.Bytes[0] != c.Top[0].Bytes[0] {
			t.Errorf("token %v: top %v, sum %v", c.Bytes, c.Top, sum)
		}
	}
}
