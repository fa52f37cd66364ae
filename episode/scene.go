package episode

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Scene is what an episode starts from: a scenario and two agents.
type Scene struct {
	EnvironmentID string         // "" where the scenario has no id
	Codename      string         // short name of the scenario
	Scenario      string         // what both agents know; tags as in profiles, see [Scene.View]
	Participants  [2]Participant // the first speaker first
	Wording       Wording        // of the views
}

// Wording says how a view speaks of what an agent knows of the other. Versions of
// SOTOPIA differ in it.
type Wording int

const (
	// WordingUnknown shows what is known of the other, and Unknown for nothing.
	WordingUnknown Wording = iota
	// WordingEmpty shows nothing for nothing, as logs of 2023 do.
	WordingEmpty
	// WordingClosed shows Unknown whatever is known, as the newest versions do.
	WordingClosed
)

// of returns what a view says of the other agent's background.
func (w Wording) of(known string) string {
	switch {
	case w == WordingClosed, w == WordingUnknown && known == "":
		return unknown
	}
	return known
}

// Participant is an agent of a scene.
type Participant struct {
	ID         string // "" where the agent has no id
	Name       string // as it appears in the dialogue; must not be empty, and differs from the other's
	Background string // the agent as it sees itself, secrets included
	Known      string // what the other agent knows of it; "" is nothing, see [Wording]
	Goal       string // the private goal; tags as in profiles
}

// Names returns the names of the two agents, first speaker first.
func (s *Scene) Names() []string {
	return []string{s.Participants[0].Name, s.Participants[1].Name}
}

// Check returns an error where the scene cannot be played.
func (s *Scene) Check() error {
	names := s.Names()
	for i, name := range names {
		switch {
		case strings.TrimSpace(name) == "":
			return fmt.Errorf("episode: scene %q: agent %d has no name", s.Codename, i+1)
		case name == Environment:
			return fmt.Errorf("episode: scene %q: agent %d is called %s, which is the environment's name", s.Codename, i+1, name)
		}
	}
	if names[0] == names[1] {
		return fmt.Errorf("episode: scene %q: both agents are called %q", s.Codename, names[0])
	}
	return nil
}

// unknown stands for what an agent does not know of the other.
const unknown = "Unknown"

// View returns what an agent sees before the first turn: scenario, both agents,
// its own background and goal, what it knows of the other's background in the
// scene's [Wording], and Unknown for the other's goal. The tags <extra_info>, <strategy_hint> and
// <clarification_hint> are removed and their text stays; a passage
// <p viewer="environment">...</p> is removed with its text, and of one for an
// agent (<p viewer="agent_1">) only that agent sees the text. seat is 0 or 1.
func (s *Scene) View(seat int) string {
	var backgrounds, goals [2]string
	for i, p := range s.Participants {
		backgrounds[i], goals[i] = s.Wording.of(p.Known), unknown
	}
	backgrounds[seat], goals[seat] = s.Participants[seat].Background, s.Participants[seat].Goal
	names := s.Names()
	text := strings.Join([]string{
		"Here is the context of this interaction:",
		"Scenario: " + s.Scenario,
		"Participants: " + names[0] + " and " + names[1],
		names[0] + "'s background: " + backgrounds[0],
		names[1] + "'s background: " + backgrounds[1],
		names[0] + "'s goal: " + goals[0],
		names[1] + "'s goal: " + goals[1],
	}, "\n")
	text = afterNewline.ReplaceAllString(strings.TrimSpace(visibleTo(text, seat)), "\n")
	return "\n" + text + "\nConversation Starts:\n"
}

var (
	afterNewline = regexp.MustCompile(`\n +`)
	hintTags     = regexp.MustCompile(`</?(?:extra_info|strategy_hint|clarification_hint)>`)
	passage      = regexp.MustCompile(`(?s)<p viewer=['"]([^'"]*)['"]>(.*?)</p>`)
)

// visibleTo removes the tags of a text and the passages that the agent in the
// given seat must not see.
func visibleTo(text string, seat int) string {
	viewer := fmt.Sprintf("agent_%d", seat+1)
	text = passage.ReplaceAllStringFunc(text, func(p string) string {
		m := passage.FindStringSubmatch(p)
		if slices.Contains(strings.Fields(strings.ReplaceAll(m[1], ",", " ")), viewer) {
			return m[2]
		}
		return ""
	})
	return hintTags.ReplaceAllString(text, "")
}
