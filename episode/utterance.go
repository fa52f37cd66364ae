package episode

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Utterance is one thing that an agent said or did.
type Utterance struct {
	Index   int    // number in the dialogue, from 0, over both agents
	Turn    int    // turn of the episode in which it was said; -1 where the episode has no raw messages
	Speaker string // name of the agent
	Text    string // as logs have it, without the name: said: "...", [action] ..., left the conversation
	Action  Action // Text as an action; the zero Action where it is none that is known
}

// Key returns the name that annotation files give the utterance: "Utterance k by
// NAME" with k half its index, rounded down. Where somebody speaks twice in a
// row two utterances have one key; the index tells them apart.
func (u Utterance) Key() string { return fmt.Sprintf("Utterance %d by %s", u.Index/2, u.Speaker) }

// Utterances returns everything that the agents said and did, in order; turns in
// which an agent did nothing are none. Where the episode has raw messages they
// are the source, and tell the turn. Otherwise the social interactions are
// split at blank lines: a part belongs to the agent whose name it starts with,
// the longer name where both fit; a paragraph inside a quotation belongs to the
// utterance before it, and any other part to nobody.
func (e *Episode) Utterances() []Utterance {
	if len(e.RawMessages) > 0 {
		return loggedUtterances(e.RawMessages)
	}
	return splitUtterances(e.SocialInteractions, e.Agents())
}

// UtterancesOf returns the utterances of one agent; indices still count both.
func (e *Episode) UtterancesOf(agent string) []Utterance {
	var own []Utterance
	for _, u := range e.Utterances() {
		if u.Speaker == agent {
			own = append(own, u)
		}
	}
	return own
}

func loggedUtterances(turns [][]LogMessage) []Utterance {
	var us []Utterance
	for t, turn := range turns {
		for _, m := range turn {
			text := trimPrivate(m.Text)
			if m.Sender == Environment || text == "" {
				continue
			}
			if u := newUtterance(m.Sender, text); u.Action.Type != None {
				u.Index, u.Turn = len(us), t
				us = append(us, u)
			}
		}
	}
	return us
}

func newUtterance(speaker, text string) Utterance {
	a, err := ParseActionText(text)
	if err != nil {
		a = Action{}
	}
	return Utterance{Speaker: speaker, Text: text, Action: a}
}

func splitUtterances(interactions string, names []string) []Utterance {
	var us []Utterance
	for _, part := range strings.Split(interactions, "\n\n") {
		name, rest := speakerOf(part, names)
		last := len(us) - 1
		inQuote := last >= 0 && openQuote(us[last].Text)
		switch {
		case inQuote && !opensUtterance(name, rest):
			us[last] = extend(us[last], part)
		case name != "":
			u := newUtterance(name, trimPrivate(strings.TrimPrefix(rest, ":")))
			if u.Action.Type != None {
				u.Index, u.Turn = len(us), -1
				us = append(us, u)
			}
		}
	}
	return us
}

// extend returns u with one more paragraph.
func extend(u Utterance, paragraph string) Utterance {
	longer := newUtterance(u.Speaker, strings.TrimRight(u.Text+"\n\n"+paragraph, "\n"))
	longer.Index, longer.Turn = u.Index, u.Turn
	return longer
}

// openQuote reports whether text is speech that has not ended yet.
func openQuote(text string) bool {
	return strings.HasPrefix(text, textSaid) && (len(text) == len(textSaid) || !strings.HasSuffix(text, `"`))
}

// opensUtterance reports whether what follows a name is how an utterance goes on.
func opensUtterance(name, rest string) bool {
	return name != "" && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " "+textSaid) ||
		strings.HasPrefix(rest, " [") || strings.HasPrefix(rest, " "+textLeave))
}

// speakerOf returns the longest name that part starts with, and what follows it.
func speakerOf(part string, names []string) (name, rest string) {
	part = strings.TrimLeft(part, "\n")
	for _, n := range names {
		after, ok := strings.CutPrefix(part, n)
		if ok && len(n) > len(name) && endsWord(after) {
			name, rest = n, after
		}
	}
	return name, rest
}

// endsWord reports whether a name before s is a whole word there.
func endsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s == "" || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}
