package attribution

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// dimensionText says what is measured and what the highest attribution means.
var dimensionText = map[episode.Dimension]string{
	episode.Believability: "Believability: whether {agent} talks and acts like a real person with {agent}'s character, " +
		"background and aims would, without repeating things or stepping out of the part.",
	episode.Relationship: "Relationship: whether the tie between the two people is better or worse after the conversation, " +
		"their standing with others included. Warmth, respect and kept promises improve it; insults and broken trust harm it.",
	episode.Knowledge: "Knowledge: what {agent} learns from the conversation. New, true and useful information counts, " +
		"and so do the questions and remarks that bring it out.",
	episode.Secret: "Secrets: whether {agent} gives away what {agent} wanted to keep hidden. " +
		"The score is 0 where nothing leaks and falls with what does.",
	episode.SocialRules: "Social rules: whether {agent} breaks the law or the rules of decent behaviour. " +
		"The score is 0 where nothing is broken and falls with every breach.",
	episode.Financial: "Money and material: what {agent} gains or loses in money, goods, work or opportunities, " +
		"now or later, through this conversation.",
	episode.Goal: "Goal: how far {agent} gets with the private goal given above. Count what moves the other person or " +
		"the situation toward the goal: groundwork, asking, offering, arguing, conceding in trade, and closing the deal.",
	episode.GoalBarebone: "Goal: how far {agent} gets with the private goal given above.",
	episode.Overall: "The whole performance of {agent}: being believable, the relationship, what is learned, secrets kept, " +
		"rules respected, material gain, and the private goal.",
	episode.ConversationBehavior: "Manner of conversation. An utterance that mostly repeats what {agent} has said already " +
		"gets 0. The last utterance gets {scale} where it brings the conversation to a proper end. Every other utterance gets at most 1.",
}

// anchors describe the steps of a scale.
var anchors = map[int]string{
	3: `0 = it contributed nothing
1 = it contributed a little
2 = it contributed clearly, but the result did not hang on it
3 = the result hung on it`,
	5: `0 = it contributed nothing
1 = hardly anything
2 = a little
3 = clearly
4 = a great deal
5 = the result hung on it`,
	10: `0 = it contributed nothing
1 to 3 = it contributed a little
4 to 6 = clearly
7 to 9 = a great deal
10 = the result hung on it`,
}

// view is what a prompt tells.
type view struct {
	Agent, Scenario, Background, Goal string
	Dimension, Result, Anchors        string
	Scale                             int
	Manner                            bool // the manner of conversation, which has no result

	Dialogue         string // as much of it as the model is to see
	Keys, Form       string // of the reply
	Utterance, Reply int    // the one that is judged, and the one that answered it
	Lowest, Highest  string // score of the whole
}

// describeEpisode fills in what does not depend on the task.
func (v *view) describeEpisode(ep *episode.Episode, a *Attribution) {
	background, _ := ep.AgentsBackground.Get(a.Agent)
	v.Agent, v.Scenario, v.Background, v.Goal = a.Agent, plain(a.Scenario), plain(background), plain(a.Goal)
	v.Result = resultText(a)
}

// render fills the named prompt.
func (v view) render(name string) string {
	var b strings.Builder
	if err := prompts.ExecuteTemplate(&b, name, v); err != nil {
		panic("attribution: prompt template: " + err.Error())
	}
	return b.String()
}

// form shows what a reply with scores looks like.
func form(bounds []bound) string {
	scores := make([]string, len(bounds))
	for i, b := range bounds {
		scores[i] = strconv.Quote(strconv.Itoa(b.index)) + ": ..."
	}
	return `{"scores": {` + strings.Join(scores, ", ") + "}}"
}

// describe returns what is judged, in words; "" where nobody described d.
func describe(d episode.Dimension, description, agent string, scale int) string {
	if description == "" {
		description = dimensionText[d]
	}
	return strings.NewReplacer("{agent}", agent, "{scale}", strconv.Itoa(scale)).Replace(description)
}

// resultText tells the score that is shared out.
func resultText(a *Attribution) string {
	s := fmt.Sprintf("Result: %s scored %s", a.Agent, strconv.FormatFloat(a.Score, 'g', 4, 64))
	if lo, hi, ok := a.Method.Dimension.Range(); ok {
		s += fmt.Sprintf(" on a scale from %s to %s", strconv.FormatFloat(lo, 'g', 3, 64), strconv.FormatFloat(hi, 'g', 3, 64))
	}
	return s + ". An utterance contributed to it when it pushed the result to where it ended, high or low."
}

// dialogueText lists the utterances, one a line, with their indices.
func dialogueText(credits []Credit) string {
	lines := make([]string, len(credits))
	for i, c := range credits {
		lines[i] = fmt.Sprintf("[%d] %s %s", c.Index, c.Speaker, strings.Join(strings.Fields(c.Text), " "))
	}
	return strings.Join(lines, "\n")
}

var markup = regexp.MustCompile(`</?[a-z_]+( [a-z]+="[^"]*")?>`)

// plain removes the tags that goals carry and keeps their text.
func plain(text string) string { return strings.TrimSpace(markup.ReplaceAllString(text, "")) }
