package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// documentSchema lists the members of an episode's document in a Redis database
// of SOTOPIA. They must all be there for its readers.
var documentSchema = schema[Episode]{
	{"pk", func(e *Episode) any { return &e.ID }},
	{"environment", func(e *Episode) any { return &e.EnvironmentID }},
	{"agents", func(e *Episode) any { return &e.AgentIDs }},
	{"tag", func(e *Episode) any { return &e.Tag }},
	{"models", func(e *Episode) any { return &e.Models }},
	{"messages", func(e *Episode) any { return &e.RawMessages }},
	{"reasoning", func(e *Episode) any { return &e.Reasoning }},
	{"rewards", func(e *Episode) any { return &e.RawRewards }},
	{"rewards_prompt", func(e *Episode) any { return &e.RewardsPrompt }},
}

// lineKeys are the names that the members of a document have in a JSON line.
var lineKeys = map[string]string{
	"pk": "episode_id", "environment": "environment_id", "agents": "agent_ids",
	"tag": "experiment_tag", "models": "experiment_model_name_pairs", "messages": "raw_messages",
	"reasoning": "reasoning", "rewards": "raw_rewards", "rewards_prompt": "raw_rewards_prompt",
}

// lineMember is the member of a document under which the rest of the JSON line
// is kept. Readers that do not know it pass over it.
const lineMember = "jsonl"

// lineRest is what a JSON line has beside the members of the document.
type lineRest struct {
	Keys   []string `json:"keys"`   // all keys of the line, in order
	Fields string   `json:"fields"` // an object as text, which no server spells anew
}

// Document returns the episode as SOTOPIA keeps it in Redis: pk, environment,
// agents, tag, models, messages, reasoning, rewards and rewards_prompt. What a
// JSON line holds beside these goes to a member of its own, from which
// [ParseDocument] restores it. Where the episode has no raw rewards, those of
// Rewards stand in for them, as pairs.
func (e *Episode) Document() ([]byte, error) {
	line, err := episodeSchema.encode(e, e.source)
	if err != nil {
		return nil, fmt.Errorf("episode %s: %w", e.ID, err)
	}
	doc, err := e.documentMembers(line)
	if err != nil {
		return nil, fmt.Errorf("episode %s: %w", e.ID, err)
	}
	var rest []field
	keys := make([]string, len(line))
	for i, f := range line {
		keys[i] = f.key
		if !hasLineKey(f.key) {
			rest = append(rest, f)
		}
	}
	fields, err := appendObject(nil, rest)
	if err != nil {
		return nil, err
	}
	raw, err := marshal(lineRest{keys, string(fields)})
	if err != nil {
		return nil, err
	}
	return appendObject(nil, append(doc, field{lineMember, raw}))
}

// documentMembers returns the members that readers of SOTOPIA ask for: as the
// line has them, or else null, an empty text or an empty list.
func (e *Episode) documentMembers(line []field) ([]field, error) {
	var doc []field
	for _, m := range documentSchema {
		i := slices.IndexFunc(line, func(f field) bool { return f.key == lineKeys[m.key] })
		if i >= 0 {
			doc = append(doc, field{m.key, line[i].raw})
			continue
		}
		raw, err := e.missingMember(m.key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		doc = append(doc, field{m.key, raw})
	}
	return doc, nil
}

// missingMember is what a document says for what the JSON line lacks.
func (e *Episode) missingMember(key string) (json.RawMessage, error) {
	switch key {
	case "tag", "models":
		return json.RawMessage("null"), nil
	case "agents", "messages":
		return json.RawMessage("[]"), nil
	case "rewards":
		return marshal(pairs(e.Rewards))
	}
	return json.RawMessage(`""`), nil
}

// pairs returns rewards as newer files and documents have them.
func pairs(rewards []Reward) []Reward {
	out := make([]Reward, len(rewards))
	for i, r := range rewards {
		if r.Form == RewardScores {
			r.Form = RewardPair
			r.Number, _ = r.Score(Overall)
		}
		out[i] = r
	}
	return out
}

func hasLineKey(key string) bool {
	for _, k := range lineKeys {
		if k == key {
			return true
		}
	}
	return false
}

// ParseDocument reads an episode as SOTOPIA keeps it in Redis. Members that it
// does not know are kept. Where the document was not written by
// [Episode.Document], scenario, backgrounds, goals (without their tags),
// interactions and rewards are filled in from the messages, as far as these
// tell them.
func ParseDocument(text []byte) (*Episode, error) {
	fields, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	e := new(Episode)
	if err := documentSchema.decode(e, fields); err != nil {
		return nil, err
	}
	if e.ID == "" {
		return nil, errors.New("document has no pk")
	}
	if i := slices.IndexFunc(fields, func(f field) bool { return f.key == lineMember }); i >= 0 {
		return e, e.restoreLine(fields, fields[i].raw)
	}
	for _, f := range fields {
		key, ok := lineKeys[f.key]
		if !ok {
			key = f.key
		}
		e.source = append(e.source, field{key, f.raw})
	}
	e.complete()
	return e, nil
}

// restoreLine puts the members of a document and the rest of the line together
// in the order that the line had.
func (e *Episode) restoreLine(doc []field, raw json.RawMessage) error {
	var rest lineRest
	if err := json.Unmarshal(raw, &rest); err != nil {
		return fmt.Errorf("%s: %w", lineMember, err)
	}
	all, err := parseObject([]byte(rest.Fields))
	if err != nil {
		return fmt.Errorf("%s: %w", lineMember, err)
	}
	for _, f := range doc {
		if key, ok := lineKeys[f.key]; ok {
			all = append(all, field{key, f.raw})
		} else if f.key != lineMember {
			all = append(all, f)
			rest.Keys = append(rest.Keys, f.key)
		}
	}
	*e = Episode{}
	for _, key := range rest.Keys {
		if i := slices.IndexFunc(all, func(f field) bool { return f.key == key }); i >= 0 {
			e.source = append(e.source, all[i])
		}
	}
	return episodeSchema.decode(e, e.source)
}

// complete fills in what the raw messages and rewards tell and the episode
// lacks. The fields are added to the source, so that they are written.
func (e *Episode) complete() {
	if len(e.RawMessages) == 0 {
		return
	}
	names := receivers(e.RawMessages[0])
	if len(names) == 2 {
		for seat, name := range names {
			views := told(name, e.RawMessages[0])
			v := parseView(views[0], names)
			e.Scenario = v.scenario
			e.AgentsBackground = append(e.AgentsBackground, NamedText{name, v.backgrounds[seat]})
			e.SocialGoals = append(e.SocialGoals, NamedText{name, v.goals[seat]})
		}
	}
	e.SocialInteractions = interactions(e.RawMessages)
	e.Rewards = scoresOnly(e.RawRewards)
}

// scoresOnly returns rewards as the rewards of a JSON line have them.
func scoresOnly(rewards []Reward) []Reward {
	var out []Reward
	for _, r := range rewards {
		if len(r.Scores) > 0 {
			r.Form, r.Number = RewardScores, 0
		}
		out = append(out, r)
	}
	return out
}

// view is what an agent is told before the first turn.
type view struct {
	scenario           string
	backgrounds, goals [2]string
}

// parseView takes a view apart. What it does not find stays empty.
func parseView(text string, names []string) view {
	marks := []string{
		"Scenario: ", "\nParticipants: ",
		"\n" + names[0] + "'s background: ", "\n" + names[1] + "'s background: ",
		"\n" + names[0] + "'s goal: ", "\n" + names[1] + "'s goal: ", "\nConversation Starts:",
	}
	parts := make([]string, len(marks))
	for i, mark := range marks {
		before, after, found := strings.Cut(text, mark)
		if !found {
			break
		}
		parts[i] = before
		text = after
	}
	return view{parts[1], [2]string{parts[3], parts[4]}, [2]string{parts[5], parts[6]}}
}
