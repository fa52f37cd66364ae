package episode_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// readAll returns the episodes of a file; an error fails the test.
func readAll(t testing.TB, path string) []*episode.Episode {
	t.Helper()
	var eps []*episode.Episode
	for e, err := range episode.ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		eps = append(eps, e)
	}
	return eps
}

// Published files come back byte for byte, whatever their generation.
func TestPublishedFilesSurviveRoundTrip(t *testing.T) {
	for _, name := range []string{"full.jsonl", "older.jsonl"} {
		path := fixtures.Data(t, "episodes", name)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		eps := readAll(t, path)
		var b bytes.Buffer
		if err := episode.WriteJSONL(&b, eps...); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s: written file differs from what was read", name)
		}
		i := 0
		for again, err := range episode.ReadJSONL(&b) {
			if err != nil || !reflect.DeepEqual(again, eps[i]) {
				t.Errorf("%s: episode %d read again differs (error %v)", name, i, err)
			}
			i++
		}
		if i != len(eps) || i == 0 {
			t.Errorf("%s: %d episodes read again, want %d", name, i, len(eps))
		}
	}
}

// A bad line is an error with its number and cause; the rest is read.
func TestReadJSONLGoesOnAfterBadLine(t *testing.T) {
	const good = `{"episode_id": "e"}` + "\n"
	for _, c := range []struct {
		why, bad, cause string
	}{
		{"cut off", `{"episode_id": "x", "scen`, "unexpected"},
		{"not an object", `["episode_id"]`, "not a JSON object"},
		{"no field of an episode", `{"loss": 1}`, "no field of an episode"},
		{"wrong type, with the field", `{"episode_id": 3}`, "episode_id"},
		{"message of two elements", `{"raw_messages": [[["a", "b"]]]}`, "2 elements"},
		{"score that is a text", `{"rewards": [{"goal": "high"}]}`, "goal"},
		{"pair of three", `{"rewards": [[1, {}, 2]]}`, "3 elements"},
		{"NaN, which is not JSON", `{"rewards": [NaN]}`, "invalid character"},
		{"two objects", `{"episode_id": "x"} {"episode_id": "y"}`, "after top-level value"},
	} {
		text := good + "\n" + c.bad + "\r\n" + good
		var ids []string
		var bad error
		for e, err := range episode.ReadJSONL(strings.NewReader(text)) {
			if err != nil {
				bad = err
			} else {
				ids = append(ids, e.ID)
			}
		}
		var le *episode.LineError
		if !errors.As(bad, &le) || le.Line != 3 || !strings.Contains(bad.Error(), c.cause) || !strings.Contains(bad.Error(), "line 3") {
			t.Errorf("%s: error is %v, want one about line 3 that says %q", c.why, bad, c.cause)
		}
		if len(ids) != 2 {
			t.Errorf("%s: %d good lines are read, want 2", c.why, len(ids))
		}
	}
}

// repeated gives the same line n times without holding the text.
type repeated struct {
	line []byte
	n    int
	rest []byte
}

func (r *repeated) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.rest = r.line
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A long file takes the memory of one line.
func TestReadJSONLIsConstantMemory(t *testing.T) {
	line := []byte(`{"episode_id": "e", "reasoning": "` + strings.Repeat("x", 1<<20) + "\"}\n")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for e, err := range episode.ReadJSONL(&repeated{line: line, n: 24}) {
		if err != nil || len(e.Reasoning) != 1<<20 {
			t.Fatal(err)
		}
		n++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n != 24 || int64(after.HeapAlloc)-int64(before.HeapAlloc) > 8<<20 {
		t.Errorf("%d episodes; heap %d -> %d MiB", n, before.HeapAlloc>>20, after.HeapAlloc>>20)
	}
}

// A line beyond the limit is passed over without being held.
func TestReadJSONLRefusesEndlessLine(t *testing.T) {
	episode.LimitLines(t, 1<<20)
	endless := io.MultiReader(
		&repeated{line: bytes.Repeat([]byte("x"), 1<<20), n: 3}, strings.NewReader("\n{\"episode_id\": \"e\"}\n"))
	var good int
	var bad error
	for e, err := range episode.ReadJSONL(endless) {
		if err != nil {
			bad = err
		} else if e.ID == "e" {
			good++
		}
	}
	if good != 1 || !errors.Is(bad, episode.ErrLineTooLong) {
		t.Errorf("%d good lines and error %v", good, bad)
	}
}

// An error of the reader itself ends the sequence.
func TestReadJSONLReaderFails(t *testing.T) {
	broken := errors.New("disk is gone")
	n := 0
	for _, err := range episode.ReadJSONL(io.MultiReader(strings.NewReader(`{"episode_id": "e"}`+"\n{"), iotest.ErrReader(broken))) {
		if n++; n == 2 && !errors.Is(err, broken) {
			t.Errorf("error is %v, want %v", err, broken)
		}
	}
	if n != 2 {
		t.Errorf("%d results, want an episode and an error", n)
	}
	for _, err := range episode.ReadFile("missing.jsonl") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error is %v", err)
		}
	}
}

// A byte order mark and a missing last newline are forgiven.
func TestReadJSONLForgives(t *testing.T) {
	n := 0
	for e, err := range episode.ReadJSONL(strings.NewReader("\ufeff{\"episode_id\": \"a\"}\r\n\r\n{\"episode_id\": \"b\"}")) {
		if err != nil || e.ID == "" {
			t.Errorf("error is %v", err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d episodes, want 2", n)
	}
}

// Whatever a file holds, a line is an error or an episode that is the same when
// it is written and read again.
func FuzzReadJSONL(f *testing.F) {
	f.Add(generations)
	f.Add("{\"episode_id\": \"e\"}\n[\n{}")
	f.Add(`{"rewards": [1, [2, {"goal": 1e400}]], "raw_messages": null, "agents_background": {"a": "\ud800"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for e, err := range episode.ReadJSONL(strings.NewReader(text)) {
			var le *episode.LineError
			if err != nil && !errors.As(err, &le) {
				t.Fatalf("error %v is not a LineError", err)
			}
			if err != nil {
				continue
			}
			written := line(t, e)
			for again, err := range episode.ReadJSONL(strings.NewReader(written)) {
				if err != nil || line(t, again) != written {
					t.Fatalf("%s is %v, %v when read again", written, again, err)
				}
			}
			e.Utterances()
			e.Failed()
			for _, agent := range e.Agents() {
				e.Items(agent, nil)
				e.Score(agent, episode.Goal)
			}
			doc, err := e.Document()
			if err != nil {
				t.Fatal(err)
			}
			if back, err := episode.ParseDocument(doc); e.ID != "" && (err != nil || back.ID != e.ID) {
				t.Fatalf("document %s: %v", doc, err)
			}
		}
	})
}
