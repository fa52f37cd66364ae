// Command load measures a server: one client alone, then many at once, of whom every
// tenth request is hung up on midway.
//
//	load -url http://127.0.0.1:8000 -model SmolLM2-135M-Instruct -clients 32 -time 60s -prompt 64 -reply 128
//
// Every client sends one request after the other, each with a prompt of its own. It
// prints tokens a second by the server's own count (prompts counted), the ratio, lost
// requests, and the server's memory after a third of the time and at the end. A lost request, one
// that ended neither in full nor by hanging up, makes it fail.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/socialrl/socialrl/examples/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("load", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, load)
}

// settings are the parsed flags.
type settings struct {
	url, model, keyEnv             string
	clients, prompt, reply, hangUp int
	alone, time                    time.Duration
	seed                           uint64
}

const synopsis = `Usage: load -model NAME [-url URL] [flags]

Measures a server: one client alone, then many at once.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("load", synopsis)
	fs.StringVar(&s.url, "url", "http://127.0.0.1:8000", "`URL` of the server, without /v1")
	fs.StringVar(&s.model, "model", "", "`name` of the model (required)")
	fs.StringVar(&s.keyEnv, "key-env", "", "environment `variable` with the server's key")
	fs.IntVar(&s.clients, "clients", 32, "clients at a time")
	fs.DurationVar(&s.alone, "alone", 20*time.Second, "time of the one client")
	fs.DurationVar(&s.time, "time", time.Minute, "time of all clients")
	fs.IntVar(&s.prompt, "prompt", 64, "most tokens of a prompt, roughly")
	fs.IntVar(&s.reply, "reply", 128, "tokens of a reply")
	fs.IntVar(&s.hangUp, "hang-up", 10, "hang up on one of so many requests; 0 on none")
	fs.Uint64Var(&s.seed, "seed", 1, "of the prompts")
	return s, cli.Parse(fs, args, io, func() error {
		if s.clients < 1 || s.prompt < 1 || s.reply < 2 || s.hangUp < 0 || s.alone <= 0 || s.time <= 0 {
			return cli.Usagef("-clients, -prompt and -reply want at least 1 (-reply 2), -hang-up 0, -alone and -time some time")
		}
		if s.keyEnv != "" && os.Getenv(s.keyEnv) == "" {
			return cli.Usagef("-key-env: the environment variable %s is empty", s.keyEnv)
		}
		return cli.Required("model", s.model)
	})
}

func load(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	one, err := s.phase(ctx, 1, s.alone, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "1 client: %s\n", one)
	all, err := s.phase(ctx, s.clients, s.time, s.hangUp)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "%d clients: %s\nratio %.2f\n", s.clients, all, all.rate()/one.rate())
	if n := one.lost + all.lost; n > 0 {
		return fmt.Errorf("%d requests were lost", n)
	}
	return ctx.Err()
}

// outcome is what a phase came to.
type outcome struct {
	took                time.Duration
	tokens              float64 // by the server's count
	finished, hung      int64
	lost                int64
	memory, afterMemory float64 // resident bytes of the server, after a third of the time and at the end
	longest             time.Duration
}

func (o outcome) rate() float64 { return o.tokens / o.took.Seconds() }

// String writes the outcome in a line.
func (o outcome) String() string {
	const mib = 1 << 20
	return fmt.Sprintf("%.0f tokens in %.1f s, %.1f tokens/s; %d replies, %d hung up, %d lost; longest pause in a stream %.2f s; memory %.0f MiB after a third, %.0f MiB at the end",
		o.tokens, o.took.Seconds(), o.rate(), o.finished, o.hung, o.lost, o.longest.Seconds(), o.memory/mib, o.afterMemory/mib)
}

// phase runs clients for some time; replies that have begun by then are finished but
// do not count.
func (s *settings) phase(ctx context.Context, clients int, span time.Duration, hangUp int) (o outcome, err error) {
	before, err := s.tokens()
	if err != nil {
		return o, err
	}
	began := time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	var number, finished, hung, lost atomic.Int64
	for range clients {
		group.Go(func() {
			for time.Since(began) < span && ctx.Err() == nil {
				n := number.Add(1)
				leave := hangUp > 0 && n%int64(hangUp) == 0
				pause, err := s.request(ctx, uint64(n), leave)
				switch {
				case err != nil:
					lost.Add(1)
				case leave:
					hung.Add(1)
				default:
					finished.Add(1)
				}
				mu.Lock()
				o.longest = max(o.longest, pause)
				mu.Unlock()
			}
		})
	}
	watched := s.watch(ctx, &o, span)
	after, err := s.tokens()
	o.took, o.tokens = time.Since(began), after-before
	group.Wait()
	o.finished, o.hung, o.lost = finished.Load(), hung.Load(), lost.Load()
	return o, errors.Join(watched, err)
}

// watch notes the server's memory while clients run, and returns at the end of their
// time.
func (s *settings) watch(ctx context.Context, o *outcome, span time.Duration) error {
	for _, m := range []struct {
		wait time.Duration
		to   *float64
	}{{span / 3, &o.memory}, {span - span/3, &o.afterMemory}} {
		select {
		case <-time.After(m.wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if *m.to, err = s.metric("process_resident_memory_bytes"); err != nil {
			return err
		}
	}
	return nil
}

// request streams one reply, or leaves it midway, and returns the longest time between
// two parts.
func (s *settings) request(ctx context.Context, n uint64, leave bool) (pause time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, _ := json.Marshal(map[string]any{"model": s.model, "stream": true, "max_tokens": s.reply, "temperature": 1, "seed": n,
		"messages": []map[string]string{{"role": "user", "content": s.text(n)}}})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv(s.keyEnv))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", answer.Status)
	}
	lines, last, parts := bufio.NewScanner(answer.Body), time.Now(), 0
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if parts++; parts > 1 {
			pause = max(pause, time.Since(last))
		}
		last = time.Now()
		if leave && parts == s.reply/2 || data == "[DONE]" {
			return pause, nil
		}
	}
	return pause, errors.Join(errors.New("the stream ended early"), lines.Err())
}

var words = strings.Fields("time year people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city")

// text returns a prompt of about as many tokens as are asked for: half of that to all.
func (s *settings) text(n uint64) string {
	rnd := rand.New(rand.NewPCG(s.seed, n))
	const template = 32 // tokens that the chat template takes, or so
	most := max(2, s.prompt-template)
	var b strings.Builder
	fmt.Fprintf(&b, "Number %d:", n)
	for range max(1, most/2+rnd.IntN(most/2+1)-6) {
		b.WriteString(" " + words[rnd.IntN(len(words))])
	}
	return b.String()
}

// tokens returns the server's count of tokens, of prompts and replies.
func (s *settings) tokens() (float64, error) {
	prompts, err := s.metric("socialrl_prompt_tokens_total")
	if err != nil {
		return 0, err
	}
	replies, err := s.metric("socialrl_reply_tokens_total")
	return prompts + replies, err
}

// metric reads one number of the server's /metrics.
func (s *settings) metric(name string) (v float64, err error) {
	answer, err := http.Get(s.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, fmt.Errorf("%s/metrics has no %s", s.url, name)
}
