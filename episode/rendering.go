package episode

import (
	"fmt"
	"strings"
)

// Scene returns the scene of an environment with two agents, first speaker
// first. Each sees its own profile with its secret,
//
//	NAME is a AGE-year-old GENDER OCCUPATION. PRONOUN pronouns. PUBLIC INFO
//	Personality and values description: ... FIRST NAME's secrets: ...
//
// and of the other, by how well the environment says they know each other:
// nothing for strangers, then the name, then the first line as well, then also
// personality and values for friends and closer ones. Big five, moral and
// Schwartz values, decision style and MBTI are never shown. An id that is not
// there gives an error that wraps [ErrNotFound].
func (p *Profiles) Scene(environment, first, second string) (Scene, error) {
	env, err := p.Environment(environment)
	if err != nil {
		return Scene{}, err
	}
	s := Scene{EnvironmentID: env.ID, Codename: env.Codename, Scenario: env.Scenario}
	for seat, id := range []string{first, second} {
		agent, err := p.Agent(id)
		if err != nil {
			return Scene{}, err
		}
		s.Participants[seat] = Participant{
			ID: agent.ID, Name: agent.Name(), Background: agent.Background(),
			Known: agent.KnownTo(env.Relationship), Goal: env.AgentGoals[seat],
		}
	}
	return s, nil
}

// PairingScene returns the scene of a pairing.
func (p *Profiles) PairingScene(c *Pairing) (Scene, error) {
	s, err := p.Scene(c.EnvironmentID, c.AgentIDs[0], c.AgentIDs[1])
	if err != nil {
		return Scene{}, fmt.Errorf("pairing %s: %w", c.ID, err)
	}
	return s, nil
}

// Background returns the agent as it sees itself, its secret included.
func (p *AgentProfile) Background() string {
	return p.Name() + " " + p.inPublic() + p.inPrivate() + p.FirstName + "'s secrets: " + p.Secret
}

// KnownTo returns what somebody at a level of relationship knows of the agent, ""
// for strangers.
func (p *AgentProfile) KnownTo(level RelationshipLevel) string {
	switch level {
	case Stranger:
		return ""
	case KnowByName:
		return p.Name() + " "
	case Acquaintance:
		return p.Name() + " " + p.inPublic()
	}
	return p.Name() + " " + p.inPublic() + p.inPrivate()
}

func (p *AgentProfile) inPublic() string {
	return fmt.Sprintf("is a %d-year-old %s %s. %s pronouns. %s ",
		p.Age, genderWord(p.Gender), strings.ToLower(p.Occupation), p.Pronoun, p.PublicInfo)
}

func (p *AgentProfile) inPrivate() string {
	return "Personality and values description: " + p.PersonalityAndValues + " "
}

// genderWord returns a gender as an adjective.
func genderWord(gender string) string {
	switch gender {
	case "Man":
		return "male"
	case "Woman":
		return "female"
	}
	return strings.ToLower(gender)
}
