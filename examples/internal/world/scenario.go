package world

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Scenario is one situation, with a private goal for either side.
type Scenario struct {
	Codename    string `json:"codename"`
	KindName    string `json:"kind"`
	Setting     string `json:"setting"` // known to both; {l} and {p} stand for the learner and the partner
	Goal        string `json:"goal"`    // the learner's
	PartnerGoal string `json:"partner_goal"`
	Limit       int    `json:"limit,omitempty"` // Sell: the price that is worth nothing to the learner; Buy: likewise
	Days        []int  `json:"days,omitempty"`  // Meet: the days that suit the learner, as options

	Kind Kind `json:"-"`
}

//go:embed scenarios.json
var scenariosJSON []byte

var loadScenarios = sync.OnceValue(func() []Scenario {
	var all []Scenario
	if err := json.Unmarshal(scenariosJSON, &all); err != nil {
		panic("world: scenarios.json: " + err.Error())
	}
	for i := range all {
		k := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.String() == all[i].KindName })
		if k < 0 {
			panic(fmt.Sprintf("world: scenarios.json: %s has unknown kind %q", all[i].Codename, all[i].KindName))
		}
		all[i].Kind = Kind(k)
	}
	return all
})

// Scenarios returns all scenarios, kind by kind.
func Scenarios() []Scenario { return slices.Clone(loadScenarios()) }

// heldOutShare is the part of every kind that [Split] holds out: one in three.
const heldOutShare = 3

// Split divides scenarios at random into those to learn from and those to be
// tested on: of every kind one third is held out, rounded down.
func Split(all []Scenario, seed uint64) (train, heldOut []Scenario) {
	for _, k := range Kinds() {
		var same []Scenario
		for _, s := range all {
			if s.Kind == k {
				same = append(same, s)
			}
		}
		r := source(seed, purposeSplit, uint64(k))
		r.Shuffle(len(same), func(i, j int) { same[i], same[j] = same[j], same[i] })
		n := len(same) / heldOutShare
		heldOut = append(heldOut, same[:n]...)
		train = append(train, same[n:]...)
	}
	return train, heldOut
}

// Case is a scenario that is played once: everything that the two sides and the
// judge have to know.
type Case struct {
	Scenario Scenario
	Seed     uint64    // from which the case was drawn
	Index    int       // which of the scenario's cases this is
	Learner  Character // who learns
	Partner  Character // who is scripted
	Seat     int       // the learner's seat: 0 speaks first, 1 second
	Fact     int       // the option that the partner hides
	Told     bool      // whether the partner says so at once; only where it speaks first
}

// Cases draws n cases of every scenario, with the learner in either seat in
// turn: 2i and 2i+1 differ in the seat, and in what is drawn.
func Cases(scenarios []Scenario, n int, seed uint64) []Case {
	var all []Case
	for _, s := range scenarios {
		for i := range n {
			all = append(all, drawCase(s, i, seed))
		}
	}
	return all
}

func drawCase(s Scenario, i int, seed uint64) Case {
	r := source(seed, purposeCase, hash(s.Codename), uint64(i))
	who := r.Perm(len(Characters()))
	c := Case{
		Scenario: s, Seed: seed, Index: i, Seat: i % 2,
		Learner: Characters()[who[0]], Partner: Characters()[who[1]],
		Fact: drawFact(s, r),
	}
	c.Told = c.Seat == 1 && !s.Kind.needsOpening() && r.IntN(2) == 0
	return c
}

// drawFact draws what the partner hides. A price lies three to five steps on the
// learner's side of what is worth nothing to the learner.
func drawFact(s Scenario, r *rand.Rand) int {
	switch {
	case s.Kind.priced():
		return s.Limit + s.sign()*(3+r.IntN(3)) - 1
	case s.Kind == Meet:
		return s.Days[r.IntN(len(s.Days))]
	}
	return r.IntN(len(kindTable[s.Kind].options))
}

// sign is the direction in which prices get better for the learner.
func (s Scenario) sign() int {
	if s.Kind == Buy {
		return -1
	}
	return 1
}

// setting returns the scenario's text with the names filled in.
func (c Case) setting() string {
	return strings.NewReplacer("{l}", c.Learner.Name, "{p}", c.Partner.Name).Replace(c.Scenario.Setting)
}
