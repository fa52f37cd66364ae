package world

import (
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// hardOfKind is how many scenarios of every kind are on the list "hard" of
// [Profiles]: 14 in all, as SOTOPIA-hard has.
const hardOfKind = 2

// Profiles returns the world as a set of profiles, for players that know nothing of
// its rules, such as chat models: every character is an agent, and every scenario an
// environment of two acquaintances, the learner first. There are no pairings: they
// are drawn. The list "hard" holds 14 scenarios, two of each kind.
func Profiles() *episode.Profiles {
	p := &episode.Profiles{Lists: map[string][]string{}}
	for i, c := range Characters() {
		p.Agents = append(p.Agents, profileOf(c, i))
	}
	ofKind := map[Kind]int{}
	names := strings.NewReplacer("{l}", "one", "{p}", "the other")
	for _, s := range Scenarios() {
		p.Environments = append(p.Environments, &episode.EnvironmentProfile{
			ID: s.Codename, Codename: s.Codename, Source: "miniature world", Scenario: names.Replace(s.Setting),
			AgentGoals: []string{s.Goal, s.PartnerGoal}, Relationship: episode.Acquaintance,
		})
		if ofKind[s.Kind]++; ofKind[s.Kind] <= hardOfKind {
			p.Lists[episode.BenchmarkHard] = append(p.Lists[episode.BenchmarkHard], s.Codename)
		}
	}
	return p
}

// profileOf makes a profile of a character; age and pronoun are the i-th of a few.
func profileOf(c Character, i int) *episode.AgentProfile {
	gender := [][2]string{{"Woman", "She/her"}, {"Man", "He/him"}, {"Nonbinary", "They/them"}}[i%3]
	return &episode.AgentProfile{
		ID: c.Name, FirstName: c.Name, Age: 20 + 2*i, Occupation: c.Work, Gender: gender[0], Pronoun: gender[1],
		PublicInfo:           c.Name + " " + temperTable[c.Temper].known + ".",
		PersonalityAndValues: c.Name + " is " + c.Temper.String() + ".",
		Secret:               c.Name + " would rather not work as a " + c.Work + ".",
	}
}
