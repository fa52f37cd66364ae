package episode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/socialrl/socialrl/internal/fileseq"
)

// episodeSchema lists the members of an episode's JSON line in their usual order.
var episodeSchema = schema[Episode]{
	{"episode_id", func(e *Episode) any { return &e.ID }},
	{"environment_id", func(e *Episode) any { return &e.EnvironmentID }},
	{"agent_ids", func(e *Episode) any { return &e.AgentIDs }},
	{"experiment_tag", func(e *Episode) any { return &e.Tag }},
	{"experiment_model_name_pairs", func(e *Episode) any { return &e.Models }},
	{"raw_messages", func(e *Episode) any { return &e.RawMessages }},
	{"raw_rewards", func(e *Episode) any { return &e.RawRewards }},
	{"raw_rewards_prompt", func(e *Episode) any { return &e.RewardsPrompt }},
	{"scenario", func(e *Episode) any { return &e.Scenario }},
	{"codename", func(e *Episode) any { return &e.Codename }},
	{"agents_background", func(e *Episode) any { return &e.AgentsBackground }},
	{"social_goals", func(e *Episode) any { return &e.SocialGoals }},
	{"social_interactions", func(e *Episode) any { return &e.SocialInteractions }},
	{"reasoning", func(e *Episode) any { return &e.Reasoning }},
	{"rewards", func(e *Episode) any { return &e.Rewards }},
}

// UnmarshalJSON reads an episode as JSON lines hold it, in any generation of the
// format. An object without a single field of an episode is refused.
func (e *Episode) UnmarshalJSON(text []byte) error {
	fields, err := parseObject(text)
	if err != nil {
		return err
	}
	known := func(f field) bool { _, ok := episodeSchema.find(f.key); return ok }
	if !slices.ContainsFunc(fields, known) {
		return errors.New("object has no field of an episode (episode_id, raw_messages, ...)")
	}
	*e = Episode{source: fields}
	return episodeSchema.decode(e, fields)
}

// MarshalJSON writes the episode as JSON lines hold it. Members that were read
// keep their order; those that have been set since follow in the usual order.
func (e *Episode) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// appendJSON appends the episode in the spelling of Python, which
// encoding/json would not preserve.
func (e *Episode) appendJSON(dst []byte) ([]byte, error) {
	fields, err := episodeSchema.encode(e, e.source)
	if err != nil {
		return nil, fmt.Errorf("episode %s: %w", e.ID, err)
	}
	return appendObject(dst, fields)
}

// Field returns a field that the library does not know, as it was read or set,
// or nil where the episode has none of that name.
func (e *Episode) Field(key string) json.RawMessage {
	for _, f := range e.source {
		if _, known := episodeSchema.find(key); f.key == key && !known {
			return f.raw
		}
	}
	return nil
}

// SetField sets a field that the library does not know; it is written with the
// rest. v is marshalled as [json.Marshal] does. To name a field that has a Go
// field of its own is an error.
func (e *Episode) SetField(key string, v any) error {
	if _, known := episodeSchema.find(key); known {
		return fmt.Errorf("episode: %s is a field of its own and not set by name", key)
	}
	raw, err := marshal(v)
	if err != nil {
		return fmt.Errorf("episode %s: %s: %w", e.ID, key, err)
	}
	e.source = slices.Clone(e.source)
	if i := slices.IndexFunc(e.source, func(f field) bool { return f.key == key }); i >= 0 {
		e.source[i].raw = raw
	} else {
		e.source = append(e.source, field{key, raw})
	}
	return nil
}

// LineError is an error about one line of a file of JSON lines. The reader goes
// on with the next line if it is asked to.
type LineError struct {
	File string // name of the file, "" where it is not known
	Line int    // number of the line, from 1
	Err  error  // what is wrong with it
}

// Error names the place and the cause.
func (e *LineError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// ErrLineTooLong is the cause of a [LineError] about a line above [MaxLine].
var ErrLineTooLong = errors.New("line is too long")

// MaxLine is the length in bytes above which a line of a file is not read.
const MaxLine = 64 << 20

// lineLimit is MaxLine, but in tests.
var lineLimit = MaxLine

// ReadJSONL reads episodes, one a line, in any generation of the format. It
// holds one line at a time. Empty lines are skipped. A bad line yields a nil
// episode and a [*LineError]; the loop may go on, and then reads the next line.
// An error of r itself ends the sequence.
func ReadJSONL(r io.Reader) iter.Seq2[*Episode, error] { return readJSONL[Episode]("", r) }

// ReadFile is [ReadJSONL] on the named file, which is opened when the sequence
// is used and closed after it. Errors name the file.
func ReadFile(path string) iter.Seq2[*Episode, error] { return readFile[Episode](path) }

// WriteJSONL writes episodes, one a line, in the spelling of Python's
// json.dumps: what was read and not changed comes out as it went in.
func WriteJSONL(w io.Writer, eps ...*Episode) error {
	for _, e := range eps {
		line, err := e.appendJSON(nil)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("episode %s: %w", e.ID, err)
		}
	}
	return nil
}

// readFile reads JSON lines of any type from a file.
func readFile[T any](path string) iter.Seq2[*T, error] {
	return fileseq.Of(path, func(r io.Reader) iter.Seq2[*T, error] { return readJSONL[T](path, r) })
}

// readJSONL reads JSON lines of any type; name is that of the file, for errors.
func readJSONL[T any](name string, r io.Reader) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		lines := bufio.NewReaderSize(r, 1<<16)
		for n := 1; ; n++ {
			line, err := readLine(lines)
			end := errors.Is(err, io.EOF)
			if err != nil && !end && !errors.Is(err, ErrLineTooLong) {
				yield(nil, &LineError{name, n, err})
				return
			}
			if n == 1 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			if line = bytes.TrimSpace(line); len(line) > 0 || err != nil && !end {
				v, err := decodeLine[T](line, err)
				if err != nil {
					err = &LineError{name, n, err}
				}
				if !yield(v, err) {
					return
				}
			}
			if end {
				return
			}
		}
	}
}

func decodeLine[T any](line []byte, err error) (*T, error) {
	if errors.Is(err, ErrLineTooLong) {
		return nil, fmt.Errorf("%w: more than %d bytes", err, lineLimit)
	}
	v := new(T)
	if err := json.Unmarshal(line, v); err != nil {
		return nil, err
	}
	return v, nil
}

// readLine returns the next line. A line above [MaxLine] is passed over and
// gives ErrLineTooLong; the last line comes with io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > lineLimit; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case tooLong && (err == nil || err == io.EOF):
			return nil, ErrLineTooLong // at the end of the file the next call says io.EOF
		}
		return line, err
	}
}
