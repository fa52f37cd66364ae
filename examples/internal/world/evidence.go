package world

import (
	"slices"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// Evidence looks at how the partner took each utterance of the learner: by the
// partner's next words, as anybody could who reads the finished dialogue. It
// knows neither what the partner hides nor the judge's rules. Give it to
// [attribution.Evidence], whose scale of 3 its thirds fit. The dimension is one
// of goal, relationship and knowledge; any other panics.
//
//	goal         3 for an agreement "gladly", for an answer that tells what was
//	             hidden, and for thanks after the agreement; 2 or 1 for an
//	             agreement in a lesser mood; 3 for an opening that lifts the mood
//	             above nothing, else 2; else 1 where the mood rose, else 0
//	relationship 3 where the mood rose or could not rise, 1 where it stayed, 0
//	             where it fell; the other way round where the relationship came
//	             out bad, since the credit is then for the damage
//	knowledge    3 for an answer that tells what was hidden, 2 for an agreement,
//	             else 0
func Evidence(d episode.Dimension) attribution.EvidenceFunc {
	rate, ok := map[episode.Dimension]func(exchange) int{
		episode.Goal: goalCredit, episode.Relationship: relationshipCredit, episode.Knowledge: knowledgeCredit,
	}[d]
	if !ok {
		panic("world: there is evidence for goal, relationship and knowledge only")
	}
	return func(e *episode.Episode, agent string) ([]float64, error) {
		flip := false
		if d == episode.Relationship {
			score, err := e.Score(agent, d)
			if err != nil {
				return nil, err
			}
			flip = score < 0
		}
		var values []float64
		for _, x := range exchanges(e, agent) {
			credit := rate(x)
			if flip {
				credit = 3 - credit
			}
			values = append(values, float64(credit)/3)
		}
		return values, nil
	}
}

// exchange is an utterance of the learner and how the partner took it.
type exchange struct {
	said         string
	before, mood int    // as the partner's words show it
	answer       string // without the word for the mood; "" where the partner left or the dialogue ended
	agreed       bool   // there was an agreement before
}

// told reports whether the answer is none that the partner gives anyway: it
// tells something.
func (x exchange) told() bool { return x.answer != "" && !slices.Contains(stockAnswers, x.answer) }

// thanked reports whether the learner thanked for an agreement and the partner
// was content to go.
func (x exchange) thanked() bool {
	return x.agreed && x.answer == "" && strings.Contains(x.said, "thank you")
}

var stockAnswers = func() []string {
	var all []string
	for _, words := range eventWords {
		all = append(all, words)
	}
	for _, info := range kindTable {
		all = append(all, info.first)
	}
	return all
}()

// exchanges reads the dialogue.
func exchanges(e *episode.Episode, agent string) []exchange {
	var all []exchange
	us := e.Utterances()
	mood, agreed := 0, false
	for i, u := range us {
		if u.Speaker != agent {
			continue
		}
		x := exchange{said: u.Action.Argument, before: mood, mood: worstMood, agreed: agreed}
		if i+1 < len(us) && us[i+1].Speaker != agent && us[i+1].Action.Type == episode.Speak {
			x.mood, x.answer = readMood(us[i+1].Action.Argument)
		}
		agreed = agreed || x.answer == eventWords[Agreed]
		mood = x.mood
		all = append(all, x)
	}
	return all
}

// readMood splits the partner's words into the mood that they show and the rest.
func readMood(text string) (mood int, rest string) {
	for mood, word := range moodWords {
		if rest, ok := strings.CutPrefix(text, word); ok {
			return mood, rest
		}
	}
	return 0, text
}

func goalCredit(x exchange) int {
	switch {
	case x.thanked(), x.told():
		return 3
	case x.answer == eventWords[Agreed]:
		return max(x.mood+1, 1)
	case x.answer == eventWords[Opened]:
		return 2 + int(b2f(x.mood > 0))
	case x.mood > x.before && !x.agreed:
		return 1
	}
	return 0
}

func relationshipCredit(x exchange) int {
	switch {
	case x.thanked(), x.mood > x.before, x.mood == bestMood:
		return 3
	case x.mood == x.before:
		return 1
	}
	return 0
}

func knowledgeCredit(x exchange) int {
	switch {
	case x.told():
		return 3
	case x.answer == eventWords[Agreed]:
		return 2
	}
	return 0
}
