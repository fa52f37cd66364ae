package episode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/socialrl/socialrl/internal/fileseq"
	"github.com/socialrl/socialrl/internal/pyjson"
)

// The names of an item's fields in files. Any other name is one of Meta.
const (
	itemInput     = "input"
	itemOutput    = "output"
	itemValue     = "value"
	itemEpisodeID = "episode_id"
	itemAgent     = "agent"
	itemTurn      = "turn"
)

// Value returns the reward of the item, which files call "value", and whether it
// has one.
func (i Item) Value() (float64, bool) {
	v, ok := i.Meta[itemValue].(float64)
	return v, ok
}

// WithValue returns a copy of the item that has the given reward.
func (i Item) WithValue(v float64) Item {
	i.Meta = maps.Clone(i.Meta)
	if i.Meta == nil {
		i.Meta = map[string]any{}
	}
	i.Meta[itemValue] = v
	return i
}

// MarshalJSON writes input, output and value, then episode_id, agent and turn
// where they are known, then the rest of Meta by name.
func (i Item) MarshalJSON() ([]byte, error) {
	type entry struct {
		key   string
		value any
	}
	entries := []entry{{itemInput, i.Input}, {itemOutput, i.Output}}
	if v, ok := i.Value(); ok {
		entries = append(entries, entry{itemValue, v})
	}
	if i.EpisodeID != "" {
		entries = append(entries, entry{itemEpisodeID, i.EpisodeID}, entry{itemAgent, i.Agent}, entry{itemTurn, i.Turn})
	}
	for _, key := range slices.Sorted(maps.Keys(i.Meta)) {
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.key == key }) {
			entries = append(entries, entry{key, i.Meta[key]})
		}
	}
	fields := make([]field, len(entries))
	for k, e := range entries {
		if v, ok := e.value.(float64); ok {
			e.value = pyjson.Float(v)
		}
		raw, err := marshal(e.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.key, err)
		}
		fields[k] = field{e.key, raw}
	}
	return appendObject(nil, fields)
}

// UnmarshalJSON reads an item. input and output must be there; names that are
// not an item's own go to Meta.
func (i *Item) UnmarshalJSON(text []byte) error {
	*i = Item{Turn: 0}
	targets := map[string]any{
		itemInput: &i.Input, itemOutput: &i.Output, itemEpisodeID: &i.EpisodeID, itemAgent: &i.Agent, itemTurn: &i.Turn,
	}
	seen := map[string]bool{}
	err := eachField(text, func(key string, value json.RawMessage) error {
		seen[key] = true
		if target, ok := targets[key]; ok {
			return wrapKey(key, json.Unmarshal(value, target))
		}
		if i.Meta == nil {
			i.Meta = map[string]any{}
		}
		var v any
		err := wrapKey(key, json.Unmarshal(value, &v))
		i.Meta[key] = v
		return err
	})
	switch {
	case err != nil:
		return err
	case !seen[itemInput] || !seen[itemOutput]:
		return errors.New("item lacks input or output")
	}
	if v, ok := i.Meta[itemValue]; ok {
		if _, ok := v.(float64); !ok {
			return fmt.Errorf("%s: %v is not a number", itemValue, v)
		}
	}
	return nil
}

func wrapKey(key string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// ItemError is an error about one item of a file.
type ItemError struct {
	File  string // name of the file, "" where it is not known
	Index int    // number of the item, from 0
	Err   error  // what is wrong with it
}

// Error names the place and the cause.
func (e *ItemError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("item %d: %v", e.Index, e.Err)
	}
	return fmt.Sprintf("%s: item %d: %v", e.File, e.Index, e.Err)
}

// Unwrap returns the cause.
func (e *ItemError) Unwrap() error { return e.Err }

// ReadItems reads training items from a JSON array of {"input", "output"}
// objects, with "value" for a reward model and any other names beside them, or
// from such objects one after the other. It holds one item at a time. An object
// that is no item yields an [*ItemError], and the loop may go on; text that is
// not JSON ends it.
func ReadItems(r io.Reader) iter.Seq2[Item, error] { return readItems("", r) }

// ReadItemFile is [ReadItems] on the named file.
func ReadItemFile(path string) iter.Seq2[Item, error] {
	return fileseq.Of(path, func(r io.Reader) iter.Seq2[Item, error] { return readItems(path, r) })
}

func readItems(name string, r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		buffered := bufio.NewReader(r)
		dec := json.NewDecoder(buffered)
		array := startsArray(buffered)
		if array {
			dec.Token() // the bracket that startsArray saw
		}
		for n := 0; ; n++ {
			var raw json.RawMessage
			if array && !dec.More() {
				if _, err := dec.Token(); err != nil {
					yield(Item{}, &ItemError{name, n, unexpectedEOF(err)})
				}
				return
			}
			if err := dec.Decode(&raw); err != nil {
				if array || err != io.EOF {
					yield(Item{}, &ItemError{name, n, unexpectedEOF(err)})
				}
				return
			}
			var item Item
			err := json.Unmarshal(raw, &item)
			if err != nil {
				item, err = Item{}, &ItemError{name, n, err}
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// startsArray reports whether the first character that is not space is a
// bracket. It leaves everything unread but the space.
func startsArray(r *bufio.Reader) bool {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return false
		}
		if !bytes.ContainsRune([]byte(" \t\r\n"), rune(c)) {
			r.UnreadByte()
			return c == '['
		}
	}
}

// WriteItems writes items as a JSON array, one item a line, in the spelling of
// Python. It stops at the first error of the sequence and returns it.
func WriteItems(w io.Writer, items iter.Seq2[Item, error]) error {
	b := bufio.NewWriter(w)
	b.WriteString("[")
	separator := "\n"
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := item.MarshalJSON()
		if err != nil {
			return fmt.Errorf("episode: item of episode %s, turn %d: %w", item.EpisodeID, item.Turn, err)
		}
		b.WriteString(separator)
		b.Write(text)
		separator = ",\n"
	}
	b.WriteString("\n]\n")
	return b.Flush()
}

// ItemSeq returns the items as a sequence without errors, as [WriteItems] and
// the trainers take them.
func ItemSeq(items ...Item) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, i := range items {
			if !yield(i, nil) {
				return
			}
		}
	}
}
