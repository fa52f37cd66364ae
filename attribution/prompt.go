package attribution

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"

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

// directPrompt asks for one score for each of an agent's utterances.
var directPrompt = template.Must(template.New("direct").Parse(
	`Below is a finished conversation between two people. {{if .Manner}}Judge the manner of each utterance of {{.Agent}}.{{else}}Judge with hindsight how much each utterance of {{.Agent}} contributed to one result.{{end}}

Situation: {{.Scenario}}
{{with .Background}}About {{$.Agent}}: {{.}}
{{end}}{{with .Goal}}{{$.Agent}}'s private goal: {{.}}
{{end}}
Conversation, every utterance with its number:
{{.Dialogue}}

What is judged. {{.Dimension}}
{{if .Manner}}
Give each utterance of {{.Agent}} a whole number by these rules.{{else}}{{.Result}}

Give each utterance of {{.Agent}} a whole number from 0 to {{.Scale}}:
{{.Anchors}}
Judge what the utterance did in this conversation, not how well it is phrased. The numbers need not add up to anything, and small talk usually deserves 0.{{end}} Use -1 only for an utterance that cannot be judged because its text is damaged.

Reply with one JSON object that holds the number of every utterance of {{.Agent}} as key and its score as value, and nothing else. The keys are: {{.Keys}}.
Form: {"scores": {{.Form}}}`))

// directView fills directPrompt.
type directView struct {
	Agent, Scenario, Background, Goal, Dialogue string
	Dimension, Result, Anchors, Keys, Form      string
	Scale                                       int
	Manner                                      bool // the manner of conversation, which has no result
}

// newDirectView describes the task of d for the utterances own of a.
func newDirectView(d Direct, ep *episode.Episode, a *Attribution, own []Credit) directView {
	background, _ := ep.AgentsBackground.Get(a.Agent)
	form := make([]string, len(own))
	keys := make([]bound, len(own))
	for i, c := range own {
		keys[i].index = c.Index
		form[i] = strconv.Quote(strconv.Itoa(c.Index)) + ": ..."
	}
	return directView{
		Agent: a.Agent, Scenario: plain(a.Scenario), Background: plain(background), Goal: plain(a.Goal),
		Dialogue: dialogueText(a.Credits), Dimension: d.describe(a.Agent), Result: resultText(a),
		Anchors: anchors[d.Scale], Keys: indices(keys), Form: "{" + strings.Join(form, ", ") + "}",
		Scale: d.Scale, Manner: d.Dimension == episode.ConversationBehavior,
	}
}

// text renders the prompt.
func (v directView) text() string {
	var b strings.Builder
	if err := directPrompt.Execute(&b, v); err != nil {
		panic("attribution: prompt template: " + err.Error())
	}
	return b.String()
}

// describe returns what is judged, in words.
func (d Direct) describe(agent string) string {
	text := d.Description
	if text == "" {
		text = dimensionText[d.Dimension]
	}
	return strings.NewReplacer("{agent}", agent, "{scale}", strconv.Itoa(d.Scale)).Replace(text)
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
