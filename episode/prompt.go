package episode

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// PromptTemplate is the text that an agent is prompted with at one of its
// turns. It holds the places {agent}, {history} and {turn_number}; other braces
// stand for themselves. The same template must be used to make training items
// and to play. A template may be used by several goroutines.
type PromptTemplate struct{ text string }

// The places of a [PromptTemplate].
const (
	placeAgent   = "{agent}"
	placeHistory = "{history}"
	placeTurn    = "{turn_number}"
)

var placePattern = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_]*\}`)

// NewPromptTemplate makes a template of the given parts, one directly after the
// other. It must hold {history}, and no place that is not known.
func NewPromptTemplate(parts ...string) (*PromptTemplate, error) {
	text := strings.Join(parts, "")
	for _, place := range placePattern.FindAllString(text, -1) {
		if place != placeAgent && place != placeHistory && place != placeTurn {
			return nil, fmt.Errorf("episode: prompt template has unknown place %s (known: %s, %s, %s)",
				place, placeAgent, placeHistory, placeTurn)
		}
	}
	if !strings.Contains(text, placeHistory) {
		return nil, fmt.Errorf("episode: prompt template has no %s", placeHistory)
	}
	return &PromptTemplate{text}, nil
}

// LoadPromptTemplate makes a template of the texts of the named files, one
// directly after the other, final newlines included.
func LoadPromptTemplate(paths ...string) (*PromptTemplate, error) {
	var parts []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		parts = append(parts, string(b))
	}
	t, err := NewPromptTemplate(parts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(paths, " + "), err)
	}
	return t, nil
}

// Render fills the template. history is everything that the environment told
// the agent so far, joined by newlines. A nil template is [DefaultPrompt].
func (t *PromptTemplate) Render(agent, history string, turn int) string {
	if t == nil {
		t = DefaultPrompt()
	}
	return strings.NewReplacer(placeAgent, agent, placeHistory, history, placeTurn, strconv.Itoa(turn)).Replace(t.text)
}

// DefaultPrompt returns the library's own template.
func DefaultPrompt() *PromptTemplate { return &PromptTemplate{defaultPrompt} }

const defaultPrompt = `You play {agent} in a conversation. Stay in character, and pursue {agent}'s goal as {agent} would.
Nobody but you knows {agent}'s secrets and goal. Be natural, and add something new with every turn.

{history}

It is your turn (turn {turn_number}). Answer with one JSON object and nothing else:
{"action_type": "...", "argument": "..."}
action_type is one of
  "speak": argument is what {agent} says;
  "non-verbal communication": argument is an expression or a gesture;
  "action": argument is what {agent} does;
  "none": {agent} does nothing, argument is "";
  "leave": {agent} ends the conversation, because the goal is reached or there is no point in going on; argument is "".
`
