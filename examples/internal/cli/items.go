package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/socialrl/socialrl/episode"
)

// Items says how training items are made of episodes.
type Items struct {
	Head, Tail string // files of the prompt template
	Select     string // best, judged or all
	Agent      string // both, first, second or a name
}

// Define defines -template-head, -template-tail, -select and -agent.
func (s *Items) Define(fs *flag.FlagSet) {
	fs.StringVar(&s.Head, "template-head", "", "`file` with the prompt template for turns of episodes ({agent}, {history}, {turn_number}) in place of the library's own")
	fs.StringVar(&s.Tail, "template-tail", "", "`file` that directly follows -template-head, such as one with the format of actions")
	fs.StringVar(&s.Select, "select", "all", "which `episodes` make items: all, judged (those that a judge scored), or best (of each environment and seat the one with the highest goal score)")
	fs.StringVar(&s.Agent, "agent", "both", "whose turns make items: both, first or second speaker's, or an agent's `name`")
}

// Check returns a UsageError for flags that do not fit together.
func (s *Items) Check() error {
	switch s.Select {
	case "best", "judged", "all":
	default:
		return Usagef("-select is %q, want best, judged or all", s.Select)
	}
	if s.Tail != "" && s.Head == "" {
		return Usagef("-template-tail needs -template-head")
	}
	return nil
}

// CheckFiles reads the files of the prompt template.
func (s *Items) CheckFiles() error {
	_, err := s.template()
	return err
}

func (s *Items) template() (*episode.PromptTemplate, error) {
	switch {
	case s.Head == "":
		return nil, nil
	case s.Tail == "":
		return episode.LoadPromptTemplate(s.Head)
	}
	return episode.LoadPromptTemplate(s.Head, s.Tail)
}

// From returns the items of the episodes, those that do nothing left out. It ends
// at the first error; place is where the episodes come from, for errors about one of
// them.
func (s *Items) From(place string, episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[episode.Item, error] {
	return func(yield func(episode.Item, error) bool) {
		template, err := s.template()
		if err != nil {
			yield(episode.Item{}, err)
			return
		}
		for seat, err := range s.seats(episodes) {
			var items []episode.Item
			if err == nil {
				items, err = itemsOf(place, seat, template)
			}
			if err != nil {
				yield(episode.Item{}, err)
				return
			}
			for _, item := range items {
				if !item.DidNothing() && !yield(item, nil) {
					return
				}
			}
		}
	}
}

func itemsOf(place string, seat episode.Seated, t *episode.PromptTemplate) ([]episode.Item, error) {
	items, err := seat.Episode.Items(seat.Agent, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return items, nil
}

// seats returns the selected agents of the selected episodes.
func (s *Items) seats(episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[episode.Seated, error] {
	return func(yield func(episode.Seated, error) bool) {
		for seat, err := range s.everySeat(episodes) {
			if (err != nil || s.sits(seat)) && !yield(seat, err) {
				return
			}
		}
	}
}

func (s *Items) everySeat(episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[episode.Seated, error] {
	if s.Select == "best" {
		return bestSeats(episodes)
	}
	return func(yield func(episode.Seated, error) bool) {
		for e, err := range episodes {
			if err != nil {
				yield(episode.Seated{}, err)
				return
			}
			if s.Select == "judged" && e.Failed() {
				continue
			}
			for _, agent := range e.Agents() {
				if !yield(episode.Seated{Episode: e, Agent: agent}, nil) {
					return
				}
			}
		}
	}
}

func bestSeats(episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[episode.Seated, error] {
	return func(yield func(episode.Seated, error) bool) {
		seats, err := episode.Selection{}.Seats(episodes)
		if err != nil {
			yield(episode.Seated{}, err)
		}
		for _, seat := range seats {
			if !yield(seat, nil) {
				return
			}
		}
	}
}

func (s *Items) sits(seat episode.Seated) bool {
	agents := seat.Episode.Agents()
	switch s.Agent {
	case "both":
		return true
	case "first":
		return seat.Agent == agents[0]
	case "second":
		return len(agents) > 1 && seat.Agent == agents[1]
	}
	return seat.Agent == s.Agent
}

// ReadFile returns the items of a file: an array of items as it is, or those that
// the filtered episodes of a JSON lines file give. No items is an error.
func (s *Items) ReadFile(path string, f *Filter) ([]episode.Item, error) {
	seq := episode.ReadItemFile(path)
	ready, err := holdsItems(path)
	if err != nil {
		return nil, err
	}
	switch {
	case ready && (*f != Filter{} || s.Head != "" || s.Select != "all" || s.Agent != "both"):
		return nil, Usagef("%s holds training items; -template-head, -select, -agent, -tag, -environment and -agent-model are about episodes", path)
	case !ready:
		seq = s.From(path, f.Apply(episode.ReadFile(path)))
	}
	var items []episode.Item
	for item, err := range seq {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s: no training items", path)
	}
	return items, nil
}

// holdsItems reports whether a file holds training items, in an array or one after
// the other, and not episodes. Of text that is neither the reader of episodes says
// what is wrong.
func holdsItems(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if first, _ := json.NewDecoder(f).Token(); first != json.Delim('{') {
		return first == json.Delim('['), nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	var object map[string]json.RawMessage
	err = json.NewDecoder(f).Decode(&object)
	return err == nil && object["input"] != nil && object["output"] != nil, nil
}
