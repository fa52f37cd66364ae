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

// NewRecord returns the record of an item with a value. The turn is known where the
// episode is.
func NewRecord(it episode.Item, value float64) Record {
	r := Record{Input: it.Input, Output: it.Output, Value: value, EpisodeID: it.EpisodeID, Agent: it.Agent}
	if it.EpisodeID != "" {
		r.Turn = &it.Turn
	}
	return r
}

// ReadRecords reads a file of records: a JSON array of objects, or one object a
// line. Fields that Record does not have are ignored. An object without input,
// output or value, or with a value that is not a number, is an error that names the
// file and the line.
func ReadRecords(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	recs, err := DecodeRecords(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return recs, nil
}

// DecodeRecords reads records as [ReadRecords] does. Its errors name the line on
// which the record begins.
func DecodeRecords(r io.Reader) ([]Record, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	recs := []Record{}
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
		var rec Record
		at = next()
		if rec, err = decodeRecord(dec); err == nil {
			recs = append(recs, rec)
		}
	}
	if err == nil && array {
		at, err = next(), closeArray(dec)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: record %d: %w", 1+bytes.Count(text[:at], []byte("\n")), len(recs), unexpectedEOF(err))
	}
	return recs, nil
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

func decodeRecord(dec *json.Decoder) (Record, error) {
	var fields struct {
		Input, Output *string
		Value         *float64
		EpisodeID     string `json:"episode_id"`
		Agent         string
		Turn          *int
	}
	if err := dec.Decode(&fields); err != nil {
		return Record{}, err
	}
	switch {
	case fields.Input == nil:
		return Record{}, errors.New(`no "input"`)
	case fields.Output == nil:
		return Record{}, errors.New(`no "output"`)
	case fields.Value == nil:
		return Record{}, errors.New(`no "value"`)
	}
	return Record{*fields.Input, *fields.Output, *fields.Value, fields.EpisodeID, fields.Agent, fields.Turn}, nil
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
