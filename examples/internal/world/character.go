package world

// Temper is how a character wants to be spoken to.
type Temper int

// The tempers, each with the tone that it wants and the one that it cannot
// stand.
const (
	Touchy Temper = iota // wants Gentle, cannot stand Brief
	Proud                // wants Praise, cannot stand Warm
	Brisk                // wants Brief, cannot stand Gentle
	Lonely               // wants Warm, cannot stand Frank
	Wary                 // wants Frank, cannot stand Praise
	tempers
)

var temperTable = [tempers]struct {
	name, known     string // as the character and as others know it
	wants, detested Tone
}{
	Touchy: {"touchy", "wants patience", Gentle, Brief},
	Proud:  {"proud", "wants respect", Praise, Warm},
	Brisk:  {"brisk", "wants haste", Brief, Gentle},
	Lonely: {"lonely", "wants warmth", Warm, Frank},
	Wary:   {"wary", "wants honesty", Frank, Praise},
}

// String returns the name of the temper.
func (t Temper) String() string { return temperTable[t].name }

// Wants returns the tone that warms the temper.
func (t Temper) Wants() Tone { return temperTable[t].wants }

// effect returns what a tone does to the mood of the temper: 1, 0 or -1.
func (t Temper) effect(tone Tone) int {
	switch tone {
	case temperTable[t].wants:
		return 1
	case temperTable[t].detested, Cold:
		return -1
	}
	return 0
}

// Character is somebody who lives in the world.
type Character struct {
	Name   string
	Work   string
	Temper Temper
}

// Characters returns everybody, four of each temper.
func Characters() []Character {
	return []Character{
		{"Ann", "baker", Touchy}, {"Bob", "farmer", Proud}, {"Cora", "nurse", Brisk}, {"Dan", "tailor", Lonely}, {"Eve", "clerk", Wary},
		{"Finn", "baker", Proud}, {"Gus", "farmer", Touchy}, {"Hana", "nurse", Lonely}, {"Ivo", "tailor", Wary}, {"June", "clerk", Brisk},
		{"Kai", "baker", Wary}, {"Lea", "farmer", Brisk}, {"Max", "nurse", Touchy}, {"Nora", "tailor", Proud}, {"Omar", "clerk", Lonely},
		{"Pia", "baker", Lonely}, {"Rosa", "farmer", Wary}, {"Sam", "nurse", Proud}, {"Tess", "tailor", Brisk}, {"Uri", "clerk", Touchy},
	}
}
