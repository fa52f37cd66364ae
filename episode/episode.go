package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Episode is one dialogue between two agents with private goals, and what a
// judge made of it. The fields are those of the JSON lines that the field
// exchanges; older files lack some of them, which are then empty.
//
// An episode that was read remembers how it was written: order of keys, unknown
// fields and the spelling of unchanged ones survive a round trip. An Episode is
// not safe for concurrent changes; any number of goroutines may read it.
type Episode struct {
	ID            string   // episode_id, a ULID in logs of SOTOPIA
	EnvironmentID string   // environment_id
	AgentIDs      []string // agent_ids, first speaker first
	Tag           string   // experiment_tag; "" for null
	Models        []string // experiment_model_name_pairs: judge, agent 1's model, agent 2's model

	RawMessages   [][]LogMessage // raw_messages: the messages of every turn
	RawRewards    []Reward       // raw_rewards, one for each agent
	RewardsPrompt string         // raw_rewards_prompt; unreliable in published files

	Scenario           string   // scenario, as both agents know it
	Codename           string   // codename of the environment
	AgentsBackground   Named    // agents_background: each agent as it sees itself
	SocialGoals        Named    // social_goals: private goals, tags kept
	SocialInteractions string   // social_interactions: what was said and done, as one text
	Reasoning          string   // reasoning: why the episode ended, and the judge's comments
	Rewards            []Reward // rewards, one for each agent

	source []field // as read, in order; unknown fields live only here
}

// LogMessage is one message of a turn, from an agent to the environment or the
// reverse.
type LogMessage struct {
	Sender   string
	Receiver string
	Text     string
}

// Environment is the name under which the environment sends and receives.
const Environment = "Environment"

// MarshalJSON writes the message as [sender, receiver, text].
func (m LogMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal([]string{m.Sender, m.Receiver, m.Text})
}

// UnmarshalJSON reads [sender, receiver, text].
func (m *LogMessage) UnmarshalJSON(text []byte) error {
	var s []string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	if len(s) != 3 {
		return fmt.Errorf("message has %d elements, want 3: sender, receiver, text", len(s))
	}
	m.Sender, m.Receiver, m.Text = s[0], s[1], s[2]
	return nil
}

// NamedText is a text that belongs to the agent of the given name.
type NamedText struct{ Name, Text string }

// Named holds one text for each agent, first speaker first. It is written as a
// JSON object whose keys have that order.
type Named []NamedText

// Get returns the text of the named agent, and whether there is one.
func (n Named) Get(name string) (string, bool) {
	for _, t := range n {
		if t.Name == name {
			return t.Text, true
		}
	}
	return "", false
}

// Names returns the names in order.
func (n Named) Names() []string {
	names := make([]string, len(n))
	for i, t := range n {
		names[i] = t.Name
	}
	return names
}

// MarshalJSON writes an object of texts by name, in order.
func (n Named) MarshalJSON() ([]byte, error) {
	fields := make([]field, len(n))
	for i, t := range n {
		text, err := json.Marshal(t.Text)
		if err != nil {
			return nil, err
		}
		fields[i] = field{t.Name, text}
	}
	return appendObject(nil, fields)
}

// UnmarshalJSON reads an object of texts by name. null is the zero value.
func (n *Named) UnmarshalJSON(text []byte) error {
	*n = nil
	if string(text) == "null" {
		return nil
	}
	*n = Named{}
	return eachField(text, func(key string, value json.RawMessage) error {
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("%s: %w", quote(key), err)
		}
		*n = append(*n, NamedText{key, s})
		return nil
	})
}

// Agents returns the names of the agents, first speaker first: the names of the
// backgrounds, or of the goals, or else those that the environment addresses in
// the first turn. The result is empty where the episode names nobody.
func (e *Episode) Agents() []string {
	for _, n := range []Named{e.AgentsBackground, e.SocialGoals} {
		if len(n) >= 2 {
			return n.Names()
		}
	}
	if len(e.RawMessages) > 0 {
		if names := receivers(e.RawMessages[0]); len(names) > 0 {
			return names
		}
	}
	return append(e.AgentsBackground.Names(), e.SocialGoals.Names()...)
}

// receivers returns whom the environment addresses in a turn, without repeats.
func receivers(turn []LogMessage) []string {
	var names []string
	for _, m := range turn {
		if m.Sender == Environment && !slices.Contains(names, m.Receiver) {
			names = append(names, m.Receiver)
		}
	}
	return names
}

// Seat returns 0 for the first speaker, 1 for the second, and an error that
// lists the agents for any other name.
func (e *Episode) Seat(agent string) (int, error) {
	names := e.Agents()
	if i := slices.Index(names, agent); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("episode %s has no agent %q (agents: %q)", e.ID, agent, names)
}

// Errors about scores; see [Episode.Score].
var (
	// ErrNotJudged says that the judge failed, or that there was none.
	ErrNotJudged = errors.New("not judged")
	// ErrNoScore says that the judge gave no score for the dimension.
	ErrNoScore = errors.New("no score")
)

// Reward returns the judge's verdict on an agent: that of Rewards where it has
// scores, and that of RawRewards otherwise. Without either the error wraps
// [ErrNotJudged].
func (e *Episode) Reward(agent string) (Reward, error) {
	seat, err := e.Seat(agent)
	if err != nil {
		return Reward{}, err
	}
	var best Reward
	for _, rewards := range [][]Reward{e.RawRewards, e.Rewards} {
		if seat < len(rewards) && (len(rewards[seat].Scores) > 0 || best.Failed()) {
			best = rewards[seat]
		}
	}
	if best.Failed() {
		return Reward{}, fmt.Errorf("episode %s: %s: %w", e.ID, agent, ErrNotJudged)
	}
	return best, nil
}

// Score returns an agent's score on a dimension. [GoalBarebone] has goal's
// score and [ConversationBehavior], which no judge scores by episode, has 10.
// Otherwise the error wraps [ErrNotJudged] where there is no verdict at all,
// and [ErrNoScore] where the verdict lacks the dimension.
func (e *Episode) Score(agent string, d Dimension) (float64, error) {
	switch d {
	case ConversationBehavior:
		_, err := e.Seat(agent)
		return 10, err
	case GoalBarebone:
		d = Goal
	}
	r, err := e.Reward(agent)
	if err != nil {
		return 0, err
	}
	if v, ok := r.Score(d); ok {
		return v, nil
	}
	return 0, fmt.Errorf("episode %s: %s: %w on %s", e.ID, agent, ErrNoScore, d)
}

// Failed reports whether any agent lacks a verdict.
func (e *Episode) Failed() bool {
	names := e.Agents()
	for _, name := range names {
		if _, err := e.Reward(name); err != nil {
			return true
		}
	}
	return len(names) == 0
}
