package episode

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// RelationshipLevel says how well two agents know each other. It decides what
// each is told of the other; see [Profiles.Scene].
type RelationshipLevel int

// The levels, with the numbers that profiles have for them.
const (
	Stranger     RelationshipLevel = 0 // knows nothing of the other
	KnowByName   RelationshipLevel = 1 // knows the other's name
	Acquaintance RelationshipLevel = 2 // and what is public
	Friend       RelationshipLevel = 3 // and personality and values, as the next two do
	Romantic     RelationshipLevel = 4
	Family       RelationshipLevel = 5
)

var levelNames = [...]string{"stranger", "know by name", "acquaintance", "friend", "romantic relationship", "family member"}

// Valid reports whether l is one of the six levels.
func (l RelationshipLevel) Valid() bool { return 0 <= l && int(l) < len(levelNames) }

// String returns the level in words.
func (l RelationshipLevel) String() string {
	if !l.Valid() {
		return fmt.Sprintf("relationship %d", int(l))
	}
	return levelNames[l]
}

// UnmarshalJSON reads a number from 0 to 5, or a text that holds one. null is 0.
func (l *RelationshipLevel) UnmarshalJSON(text []byte) error {
	s := strings.TrimSpace(string(text))
	if json.Unmarshal(text, &s) != nil {
		s = strings.TrimSpace(string(text))
	}
	if s == "null" || s == "" {
		*l = Stranger
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || !RelationshipLevel(n).Valid() {
		return fmt.Errorf("relationship is %s, want 0 to %d", quote(s), len(levelNames)-1)
	}
	*l = RelationshipLevel(n)
	return nil
}

// lineLevel is a level as JSON lines spell it, as text.
type lineLevel RelationshipLevel

func (l *lineLevel) UnmarshalJSON(text []byte) error {
	return (*RelationshipLevel)(l).UnmarshalJSON(text)
}

func (l lineLevel) MarshalJSON() ([]byte, error) { return json.Marshal(strconv.Itoa(int(l))) }

// AgentProfile is somebody who can take part in episodes.
type AgentProfile struct {
	ID                   string   // agent_id; pk in documents
	FirstName            string   // first_name
	LastName             string   // last_name
	Age                  int      // age in years
	Occupation           string   // occupation
	Gender               string   // gender: Man, Woman or Nonbinary
	Pronoun              string   // gender_pronoun, such as She/her
	PublicInfo           string   // public_info: what acquaintances know
	BigFive              string   // big_five; never shown
	MoralValues          []string // moral_values; never shown
	SchwartzValues       []string // schwartz_personal_values; never shown
	PersonalityAndValues string   // personality_and_values: what friends know
	DecisionStyle        string   // decision_making_style; never shown
	Secret               string   // secret: what nobody else knows
	MBTI                 string   // mbti; never shown

	source profileSource
}

// agentSchema lists the members of an agent's profile; only the first differs
// between JSON lines and documents.
func agentSchema(id string) schema[AgentProfile] {
	return schema[AgentProfile]{
		{id, func(p *AgentProfile) any { return &p.ID }},
		{"first_name", func(p *AgentProfile) any { return &p.FirstName }},
		{"last_name", func(p *AgentProfile) any { return &p.LastName }},
		{"age", func(p *AgentProfile) any { return &p.Age }},
		{"occupation", func(p *AgentProfile) any { return &p.Occupation }},
		{"gender", func(p *AgentProfile) any { return &p.Gender }},
		{"gender_pronoun", func(p *AgentProfile) any { return &p.Pronoun }},
		{"public_info", func(p *AgentProfile) any { return &p.PublicInfo }},
		{"big_five", func(p *AgentProfile) any { return &p.BigFive }},
		{"moral_values", func(p *AgentProfile) any { return &p.MoralValues }},
		{"schwartz_personal_values", func(p *AgentProfile) any { return &p.SchwartzValues }},
		{"personality_and_values", func(p *AgentProfile) any { return &p.PersonalityAndValues }},
		{"decision_making_style", func(p *AgentProfile) any { return &p.DecisionStyle }},
		{"secret", func(p *AgentProfile) any { return &p.Secret }},
		{"mbti", func(p *AgentProfile) any { return &p.MBTI }},
	}
}

// Name returns the name under which the agent appears in a dialogue.
func (p *AgentProfile) Name() string { return strings.TrimSpace(p.FirstName + " " + p.LastName) }

// EnvironmentProfile is a scenario with a private goal for either agent, and
// what it asks of the two.
type EnvironmentProfile struct {
	ID           string            // env_id; pk in documents
	Codename     string            // codename
	Source       string            // source: the data set that it was made from
	Scenario     string            // scenario, tags kept; see [Scene.View]
	AgentGoals   []string          // agent_goals, first speaker first, tags kept
	Relationship RelationshipLevel // relationship of the two agents
	Ages         AgeConstraint     // age_constraint
	Occupations  WordConstraint    // occupation_constraint
	Agents       WordConstraint    // agent_constraint: first names, full names or ids

	source profileSource
}

var environmentLine = schema[EnvironmentProfile]{
	{"env_id", func(p *EnvironmentProfile) any { return &p.ID }},
	{"codename", func(p *EnvironmentProfile) any { return &p.Codename }},
	{"source", func(p *EnvironmentProfile) any { return &p.Source }},
	{"scenario", func(p *EnvironmentProfile) any { return &p.Scenario }},
	{"agent_goals", func(p *EnvironmentProfile) any { return &p.AgentGoals }},
	{"relationship", func(p *EnvironmentProfile) any { return (*lineLevel)(&p.Relationship) }},
	{"age_constraint", func(p *EnvironmentProfile) any { return &p.Ages }},
	{"occupation_constraint", func(p *EnvironmentProfile) any { return &p.Occupations }},
	{"agent_constraint", func(p *EnvironmentProfile) any { return &p.Agents }},
}

var environmentDocument = schema[EnvironmentProfile]{
	{"pk", func(p *EnvironmentProfile) any { return &p.ID }},
	{"codename", func(p *EnvironmentProfile) any { return &p.Codename }},
	{"source", func(p *EnvironmentProfile) any { return &p.Source }},
	{"scenario", func(p *EnvironmentProfile) any { return &p.Scenario }},
	{"agent_goals", func(p *EnvironmentProfile) any { return &p.AgentGoals }},
	{"relationship", func(p *EnvironmentProfile) any { return &p.Relationship }},
	{"age_constraint", func(p *EnvironmentProfile) any { return (*documentAges)(&p.Ages) }},
	{"occupation_constraint", func(p *EnvironmentProfile) any { return (*documentText)(&p.Occupations) }},
	{"agent_constraint", func(p *EnvironmentProfile) any { return (*documentList)(&p.Agents) }},
}

// RelationshipProfile says how two agents know each other.
type RelationshipProfile struct {
	ID     string            // relationship_id; pk in documents
	First  string            // agent1_id; agent_1_id in documents
	Second string            // agent2_id; agent_2_id in documents
	Level  RelationshipLevel // relationship
	Story  string            // background_story; "nan" where there is none

	source profileSource
}

var relationshipLine = schema[RelationshipProfile]{
	{"relationship_id", func(p *RelationshipProfile) any { return &p.ID }},
	{"agent1_id", func(p *RelationshipProfile) any { return &p.First }},
	{"agent2_id", func(p *RelationshipProfile) any { return &p.Second }},
	{"relationship", func(p *RelationshipProfile) any { return (*lineLevel)(&p.Level) }},
	{"background_story", func(p *RelationshipProfile) any { return &p.Story }},
}

var relationshipDocument = schema[RelationshipProfile]{
	{"pk", func(p *RelationshipProfile) any { return &p.ID }},
	{"agent_1_id", func(p *RelationshipProfile) any { return &p.First }},
	{"agent_2_id", func(p *RelationshipProfile) any { return &p.Second }},
	{"relationship", func(p *RelationshipProfile) any { return &p.Level }},
	{"background_story", func(p *RelationshipProfile) any { return &p.Story }},
}

// Pairing is an environment with the two agents that play it
// (EnvAgentComboStorage in SOTOPIA).
type Pairing struct {
	ID            string   // combo_id; pk in documents
	EnvironmentID string   // env_id
	AgentIDs      []string // agent_ids, first speaker first

	source profileSource
}

func pairingSchema(id string) schema[Pairing] {
	return schema[Pairing]{
		{id, func(p *Pairing) any { return &p.ID }},
		{"env_id", func(p *Pairing) any { return &p.EnvironmentID }},
		{"agent_ids", func(p *Pairing) any { return &p.AgentIDs }},
	}
}
