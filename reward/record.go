package reward

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

// Record is one example for a reward model: what an agent was prompted with, what
// it did, and how much that was worth.
type Record struct {
	Input     string  `json:"input"`                // the prompt
	Output    string  `json:"output"`               // the action as JSON
	Value     float64 `json:"value"`                // its reward
	EpisodeID string  `json:"episode_id,omitempty"` // "" where it is not known; splits by episode need it
	Agent     string  `json:"agent,omitempty"`      // "" where it is not known
	Turn      *int    `json:"turn,omitempty"`       // nil where it is not known
}

// Item returns the record without its value.
func (r Record) Item() episode.Item {
	it := episode.Item{EpisodeID: r.EpisodeID, Agent: r.Agent, Input: r.Input, Output: r.Output}
	if r.Turn != nil {
		it.Turn = *r.Turn
	}
	return it
}

// newRecord returns the record of an item with a value.
func newRecord(it episode.Item, value float64) Record {
	turn := it.Turn
	return Record{Input: it.Input, Output: it.Output, Value: value, EpisodeID: it.EpisodeID, Agent: it.Agent, Turn: &turn}
}

// ReadRecords reads a file of records: a JSON array of objects, or one object a
// line. Fields that Record does not have are ignored. An object without input,
// output or value, or with a value that is not a number, is an error that names the
// file and the line.
func ReadRecords(path string) ([]Record, error) { return readFile(path, DecodeRecords) }

// DecodeRecords reads records as [ReadRecords] does. Its errors name the line on
// which the record begins.
func DecodeRecords(r io.Reader) ([]Record, error) { return decode(r, fields.record) }

// ReadItems reads a file of training items: a JSON array of objects with input and
// output, or one object a line, with ids where they are known. Values are ignored.
// Its errors are those of [ReadRecords].
func ReadItems(path string) ([]episode.Item, error) { return readFile(path, DecodeItems) }

// DecodeItems reads items as [ReadItems] does.
func DecodeItems(r io.Reader) ([]episode.Item, error) { return decode(r, fields.item) }

func readFile[T any](path string, read func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// decode reads objects and makes something of each.
func decode[T any](r io.Reader, one func(fields) (T, error)) ([]T, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	out := []T{}
	dec := json.NewDecoder(bytes.NewReader(text))
	next := func() int { return skip(text, int(dec.InputOffset())) }
	at, err := next(), error(nil)
	array := at < len(text) && text[at] == '['
	if array {
		_, err = dec.Token()
	} else if at == len(text) {
		err = io.ErrUnexpectedEOF
	}
	for err == nil && dec.More() {
		var f fields
		var v T
		at = next()
		if err = dec.Decode(&f); err == nil {
			v, err = one(f)
		}
		if err == nil {
			out = append(out, v)
		}
	}
	if err == nil && array {
		at, err = next(), closeArray(dec)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: record %d: %w", 1+bytes.Count(text[:at], []byte("\n")), len(out), unexpectedEOF(err))
	}
	return out, nil
}

// skip returns the index of the first byte from at on that is neither space nor a
// comma.
func skip(text []byte, at int) int {
	for at < len(text) && strings.IndexByte(" \t\r\n,", text[at]) >= 0 {
		at++
	}
	return at
}

// closeArray reads the end of an array and checks that nothing follows.
func closeArray(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("text after the end of the array")
	}
	return nil
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fields are the fields of a record or an item; nil ones are absent.
type fields struct {
	Input, Output *string
	Value         *float64
	EpisodeID     string `json:"episode_id"`
	Agent         string
	Turn          *int
}

func (f fields) item() (episode.Item, error) {
	switch {
	case f.Input == nil:
		return episode.Item{}, errors.New(`no "input"`)
	case f.Output == nil:
		return episode.Item{}, errors.New(`no "output"`)
	}
	r := Record{Input: *f.Input, Output: *f.Output, EpisodeID: f.EpisodeID, Agent: f.Agent, Turn: f.Turn}
	return r.Item(), nil
}

func (f fields) record() (Record, error) {
	it, err := f.item()
	if err == nil && f.Value == nil {
		err = errors.New(`no "value"`)
	}
	if err != nil {
		return Record{}, err
	}
	return Record{it.Input, it.Output, *f.Value, it.EpisodeID, it.Agent, f.Turn}, nil
}

// WriteRecords writes the records to a file as a JSON array, one record a line. The
// file appears whole or not at all. A value that is NaN or infinite is an error.
func WriteRecords(path string, recs []Record) error {
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return EncodeRecords(w, recs) })
}

// EncodeRecords writes what [WriteRecords] writes.
func EncodeRecords(w io.Writer, recs []Record) error {
	var buf []byte
	for i, r := range recs {
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			return fmt.Errorf("reward: record %d (episode %q) has the value %v", i, r.EpisodeID, r.Value)
		}
		line, err := marshal(r)
		if err != nil {
			return err
		}
		buf = append(append(buf[:0], separator(i)...), line...)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	end := "\n]\n"
	if len(recs) == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

func separator(i int) string {
	if i == 0 {
		return "[\n"
	}
	return ",\n"
}
