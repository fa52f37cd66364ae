package world

import "slices"

// Tone is how something is said.
type Tone int

// The tones. Each of the first five suits one temper; see [Temper].
const (
	Gentle Tone = iota
	Praise
	Brief
	Warm
	Frank
	Cold   // suits nobody and annoys everybody
	Ramble // longer than the others, and worth nothing
	tones
)

var toneWords = [tones]string{
	Gentle: "With patience, ",
	Praise: "With respect, ",
	Brief:  "With haste, ",
	Warm:   "With warmth, ",
	Frank:  "With honesty, ",
	Cold:   "With force, ",
	Ramble: "With all these many words in mind, ",
}

// Tones returns all tones.
func Tones() []Tone {
	all := make([]Tone, tones)
	for i := range all {
		all[i] = Tone(i)
	}
	return all
}

// Act is what is done by saying something.
type Act int

// The acts.
const (
	Open  Act = iota // say what has to be said first: an apology, one's own news
	Ask              // ask for what the partner hides
	Offer            // offer something; see [Move].Option
	Push             // insist, without regard for the partner
	Close            // thank for an agreement, and part
)

// Move is one utterance of the learner.
type Move struct {
	Tone   Tone
	Act    Act
	Option int // index of the option that an [Offer] names; 0 for other acts
}

// Text returns the words of the move in a situation of the given kind. A kind
// without opening has no words for [Open]; asking for them panics.
func (m Move) Text(k Kind) string { return toneWords[m.Tone] + m.words(k) }

func (m Move) words(k Kind) string {
	info := &kindTable[k]
	switch m.Act {
	case Open:
		if info.open == "" {
			panic("world: this kind has no opening")
		}
		return info.open
	case Ask:
		return info.ask
	case Offer:
		return info.options[m.Option].offer
	case Push:
		return info.push
	}
	return info.close
}

// Moves returns every move that the kind has words for.
func Moves(k Kind) []Move { return slices.Clone(moveTable[k].moves) }

// ParseMove returns the move with the given words. ok is false where the words
// are no move of the kind, those of another kind included.
func ParseMove(k Kind, text string) (m Move, ok bool) {
	m, ok = moveTable[k].byText[text]
	return m, ok
}

type moveIndex struct {
	moves  []Move
	byText map[string]Move
}

var moveTable = func() (table [kinds]moveIndex) {
	for k := range table {
		table[k] = indexMoves(Kind(k))
	}
	return table
}()

func indexMoves(k Kind) moveIndex {
	index := moveIndex{byText: map[string]Move{}}
	for _, tone := range Tones() {
		for _, m := range acts(k) {
			m.Tone = tone
			index.moves = append(index.moves, m)
			index.byText[m.Text(k)] = m
		}
	}
	return index
}

// acts returns the moves of a kind in the first tone.
func acts(k Kind) []Move {
	moves := []Move{{Act: Ask}, {Act: Push}, {Act: Close}}
	if k.needsOpening() {
		moves = append(moves, Move{Act: Open})
	}
	for i := range kindTable[k].options {
		moves = append(moves, Move{Act: Offer, Option: i})
	}
	return moves
}
