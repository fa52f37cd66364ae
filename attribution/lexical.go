package attribution

import (
	"slices"
	"strings"
	"unicode"

	"github.com/socialrl/socialrl/episode"
)

// lexical holds what the words of one utterance show.
type lexical struct {
	words   int     // content words
	novelty float64 // 0..1
	onGoal  int     // words shared with the goal
	uptake  float64 // 0..1
	replied bool    // the other's utterance follows
}

// evidence computes the formulas of LexicalEvidence for one agent.
func (w LexicalWeights) evidence(ep *episode.Episode, agent string) []float64 {
	goal, _ := ep.SocialGoals.Get(agent)
	names := contentWords(strings.Join(ep.Agents(), " "))
	goalWords := contentWords(plain(goal)).minus(names)
	facts := lexicalFacts(ep.Utterances(), agent, goalWords, names)
	most := 0
	for _, f := range facts {
		most = max(most, f.onGoal)
	}
	e := make([]float64, len(facts))
	for i, f := range facts {
		e[i] = w.mean(f, len(goalWords) > 0, most)
	}
	if len(e) == 0 {
		return e
	}
	if best := slices.Max(e); best > 0 {
		for i := range e {
			e[i] /= best
		}
	}
	return e
}

// mean is the weighted mean of what is known about an utterance.
func (w LexicalWeights) mean(f lexical, hasGoal bool, mostOnGoal int) float64 {
	if f.words == 0 {
		return 0
	}
	sum, weight := w.Novelty*f.novelty, w.Novelty
	if hasGoal {
		sum += w.Goal * ratio(f.onGoal, mostOnGoal)
		weight += w.Goal
	}
	if f.replied {
		sum += w.Uptake * f.uptake
		weight += w.Uptake
	}
	if weight == 0 {
		return 0
	}
	return sum / weight
}

// lexicalFacts looks at each of the agent's utterances in turn.
func lexicalFacts(us []episode.Utterance, agent string, goal, names wordSet) []lexical {
	var facts []lexical
	own, all := wordSet{}, wordSet{}
	for i, u := range us {
		words := utteranceWords(u).minus(names)
		if u.Speaker == agent {
			f := lexical{words: len(words), novelty: ratio(len(words.minus(own)), len(words)), onGoal: words.shared(goal)}
			if i+1 < len(us) && us[i+1].Speaker != agent {
				fresh := words.minus(all)
				f.replied, f.uptake = true, ratio(fresh.shared(utteranceWords(us[i+1])), len(fresh))
			}
			facts = append(facts, f)
			own.add(words)
		}
		all.add(words)
	}
	return facts
}

// utteranceWords returns the content words of what was said or done, without the
// log's own words.
func utteranceWords(u episode.Utterance) wordSet {
	if u.Action.Type == "" {
		return contentWords(u.Text)
	}
	return contentWords(u.Action.Argument)
}

func ratio(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// wordSet is a set of words.
type wordSet map[string]struct{}

func (s wordSet) add(t wordSet) {
	for w := range t {
		s[w] = struct{}{}
	}
}

func (s wordSet) minus(t wordSet) wordSet {
	rest := wordSet{}
	for w := range s {
		if _, ok := t[w]; !ok {
			rest[w] = struct{}{}
		}
	}
	return rest
}

func (s wordSet) shared(t wordSet) int { return len(s) - len(s.minus(t)) }

// contentWords returns the words of a text in lower case, without function
// words. Words are runs of letters and digits, with apostrophes inside; scripts
// without spaces count every character.
func contentWords(text string) wordSet {
	words := wordSet{}
	for _, w := range strings.FieldsFunc(strings.ToLower(spaceOut(text)), notWord) {
		w = strings.Trim(strings.ReplaceAll(w, "’", "'"), "'")
		if _, common := functionWords[w]; w != "" && !common {
			words[w] = struct{}{}
		}
	}
	return words
}

func notWord(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.M, r) && r != '\'' && r != '’'
}

// spaceOut puts spaces around the characters of scripts that have none.
func spaceOut(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) {
			b.WriteRune(' ')
			b.WriteRune(r)
			b.WriteRune(' ')
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// functionWords are English words that say little by themselves.
var functionWords = func() wordSet {
	words := wordSet{}
	for _, w := range strings.Fields(`a about after all also am an and any are as at be because been before being but by
		can could did do does doing down for from had has have having he her here hers him his how i i'd i'll i'm i've if in
		into is it it's its just let let's me more most my no nor not of off oh ok okay on once only or other our out over own
		really same she should so some such than that that's the their them then there these they this those through to too
		under until up us very was we we'll we're we've well were what when where which while who whom why will with would
		yes you you'd you'll you're you've your yours`) {
		words[w] = struct{}{}
	}
	return words
}()
