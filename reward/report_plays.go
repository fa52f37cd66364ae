package reward

import (
	"cmp"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// play is one agent of one episode, judged or not.
type play struct {
	appearance // without scores where there is no verdict
	episode    *episode.Episode
	agent      string
	model      string
	partner    string // the other agent's model
	scene      string // environment, characters and seat
	utterances int
	words      int  // of all utterances
	tokens     int  // of all utterances
	counted    bool // whether tokens are known
	replies    episode.ReplyStats
}

func (p play) judged() bool { return len(p.scores) > 0 }

// playsOf returns the two agents of an episode.
func playsOf(e *episode.Episode, tokens func(string) int) ([]play, error) {
	names := e.Agents()
	if len(names) != agents {
		return nil, errAgents(e)
	}
	models := []string{"", unknownModel, unknownModel}
	if len(e.Models) == 1+agents {
		models = e.Models
	}
	all := e.Utterances()
	replies, err := e.Replies()
	if err != nil {
		return nil, err
	}
	var out []play
	for seat, name := range names {
		r, err := e.Reward(name)
		if err != nil {
			r = episode.Reward{}
		}
		p := play{appearance: newAppearance(e, seat, r), episode: e, agent: name, replies: replies[seat]}
		p.model, p.partner = cmp.Or(models[1+seat], unknownModel), cmp.Or(models[agents-seat], unknownModel)
		p.environment = cmp.Or(e.EnvironmentID, e.Codename, e.Scenario)
		p.scene = sceneOf(e, p.environment, seat)
		p.turns = turnsActed(e, len(all))
		p.count(all, tokens)
		out = append(out, p)
	}
	return out, nil
}

// sceneOf names what two episodes share that can be compared seat by seat.
func sceneOf(e *episode.Episode, environment string, seat int) string {
	characters := e.AgentIDs
	if len(characters) != agents {
		characters = e.Agents()
	}
	return strings.Join(append([]string{environment, string(rune('0' + seat))}, characters...), "\x00")
}

// turnsActed counts the turns in which an agent could act: those with a message of
// one, or else the utterances.
func turnsActed(e *episode.Episode, utterances int) int {
	if len(e.RawMessages) == 0 {
		return utterances
	}
	n := 0
	for _, turn := range e.RawMessages {
		if slices.ContainsFunc(turn, func(m episode.LogMessage) bool { return m.Sender != episode.Environment }) {
			n++
		}
	}
	return n
}

// count counts what the agent said and did. To leave is no utterance. Without a
// tokenizer the tokens are those that the model's endpoint counted.
func (p *play) count(all []episode.Utterance, tokens func(string) int) {
	for _, u := range all {
		if u.Speaker != p.agent || u.Action.Type == episode.Leave {
			continue
		}
		text := u.Action.Argument
		if u.Action.Type == "" {
			text = u.Text
		}
		p.utterances++
		p.words += len(strings.Fields(text))
		if tokens != nil {
			p.tokens += tokens(text)
		}
	}
	if p.counted = true; tokens == nil {
		p.tokens = p.replies.CompletionTokens
		p.counted = p.tokens > 0
	}
}

// comparePlays orders plays by what was played, so that sums do not depend on the order
// in which episodes end; the random part of an id comes last.
func comparePlays(a, b play) int {
	return cmp.Or(
		cmp.Compare(a.environment, b.environment), slices.Compare(a.episode.AgentIDs, b.episode.AgentIDs),
		slices.Compare(a.episode.Models, b.episode.Models), cmp.Compare(a.episode.Tag, b.episode.Tag),
		cmp.Compare(a.episode.SocialInteractions, b.episode.SocialInteractions),
		cmp.Compare(a.episode.ID, b.episode.ID), cmp.Compare(a.seat, b.seat),
	)
}

// dimensionsOf returns the dimensions that have a score anywhere.
func dimensionsOf(plays []play) []episode.Dimension {
	var list []appearance
	for _, p := range plays {
		list = append(list, p.appearance)
	}
	return scoredDimensions(list)
}
