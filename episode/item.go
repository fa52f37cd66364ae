package episode

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Item is one training example: what an agent was prompted with at one of its
// turns, and what it did.
type Item struct {
	EpisodeID string         // "" where it is not known; splits by episode need it
	Agent     string         // name of the agent; "" where it is not known
	Turn      int            // turn of the episode; joins items to utterances
	Input     string         // the prompt
	Output    string         // the action as JSON, see [Action.JSON]
	Meta      map[string]any // whatever else is known about the item, by name; may be nil
}

// ErrNoMessages is wrapped by errors about an episode whose file has no
// raw_messages: the prompts of its turns cannot be rebuilt.
var ErrNoMessages = errors.New("no raw_messages")

// Items returns the training items of one agent, one for each of its turns, in
// order. An agent's turns are every second one from its seat on, and any other
// turn in which it did something; a turn in which it sent nothing gives no item.
// An item whose output did nothing on the agent's own turn is included; see
// [Item.DidNothing]. The prompt is t filled with the agent's name, the turn and
// everything that the environment told the agent so far, joined by newlines. A
// nil t is [DefaultPrompt].
//
// An episode without raw messages gives an error that wraps [ErrNoMessages].
func (e *Episode) Items(agent string, t *PromptTemplate) ([]Item, error) {
	seat, err := e.Seat(agent)
	if err != nil {
		return nil, err
	}
	if len(e.RawMessages) == 0 {
		return nil, fmt.Errorf("episode %s has %w: its prompts cannot be rebuilt", e.ID, ErrNoMessages)
	}
	if t == nil {
		t = DefaultPrompt()
	}
	var items []Item
	var history []string
	for turn, messages := range e.RawMessages {
		history = append(history, told(agent, messages)...)
		action, sent, err := sentBy(agent, messages)
		if err != nil {
			return nil, fmt.Errorf("episode %s, turn %d, %s: %w", e.ID, turn, agent, err)
		}
		if !sent || turn%2 != seat && action.Type == None {
			continue
		}
		items = append(items, Item{
			EpisodeID: e.ID, Agent: agent, Turn: turn,
			Input:  t.Render(agent, strings.Join(history, "\n"), turn),
			Output: action.JSON(),
		})
	}
	return items, nil
}

// told returns what the environment tells an agent in a turn.
func told(agent string, turn []LogMessage) []string {
	var texts []string
	for _, m := range turn {
		if m.Sender == Environment && m.Receiver == agent {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// sentBy returns what an agent did in a turn, and whether it sent anything.
func sentBy(agent string, turn []LogMessage) (Action, bool, error) {
	i := slices.IndexFunc(turn, func(m LogMessage) bool { return m.Sender == agent })
	if i < 0 {
		return Action{}, false, nil
	}
	a, err := ParseActionText(turn[i].Text)
	return a, true, err
}

// DidNothing reports whether the output of the item is an action of type
// [None]. Cloning drops such items.
func (i Item) DidNothing() bool {
	a, err := ParseAction(i.Output)
	return err == nil && a.Type == None
}
