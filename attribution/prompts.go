package attribution

import "text/template"

// prompts are the texts of all methods that ask a model. "situation" and "number"
// are parts of the others.
var prompts = template.Must(template.New("").Parse(`
{{- define "situation"}}Situation: {{.Scenario}}
{{with .Background}}About {{$.Agent}}: {{.}}
{{end}}{{with .Goal}}{{$.Agent}}'s private goal: {{.}}
{{end}}
Conversation, every utterance with its number:
{{.Dialogue}}

What is judged. {{.Dimension}}
{{end}}

{{- define "number"}}Reply with one JSON object that holds the number {{.Utterance}} as key and your score as value, and nothing else. The keys are: {{.Keys}}.
Form: {{.Form}}{{end}}

{{- define "direct"}}Below is a finished conversation between two people. {{if .Manner}}Judge the manner of each utterance of {{.Agent}}.{{else}}Judge with hindsight how much each utterance of {{.Agent}} contributed to one result.{{end}}

{{template "situation" .}}{{if .Manner}}
Give each utterance of {{.Agent}} a whole number by these rules.{{else}}{{.Result}}

Give each utterance of {{.Agent}} a whole number from 0 to {{.Scale}}:
{{.Anchors}}
Judge what the utterance did in this conversation, not how well it is phrased. The numbers need not add up to anything, and small talk usually deserves 0.{{end}} Use -1 only for an utterance that cannot be judged because its text is damaged.

Reply with one JSON object that holds the number of every utterance of {{.Agent}} as key and its score as value, and nothing else. The keys are: {{.Keys}}.
Form: {{.Form}}{{end}}

{{- define "key"}}Below is a finished conversation between two people. Find with hindsight the one utterance of {{.Agent}} that decided one result.

{{template "situation" .}}{{.Result}}

Choose the utterance of {{.Agent}} without which the result would have been most different. It is exactly one, also where several mattered; a greeting or a farewell is rarely the one.

Reply with one JSON object that holds the number of this utterance, and nothing else. The numbers to choose from are: {{.Keys}}.
Form: {"key_utterance": ...}{{end}}

{{- define "progress"}}Below is the first part of a conversation between two people. It stops before utterance {{.Utterance}}, which will be {{.Agent}}'s. Judge how far {{.Agent}} has got by now.

{{template "situation" .}}
Say with a whole number from 0 to 10 how much of the private goal is achieved at this point:
0 = nothing, or all is lost
1 to 3 = the ground is laid
4 to 6 = the other person has begun to move
7 to 9 = nearly there, with something left to settle
10 = achieved
Count what has been said, done and agreed to in the lines above. Do not guess what may follow.

{{template "number" .}}{{end}}

{{- define "response"}}Below is the first part of a conversation between two people. Judge utterance {{.Utterance}}, which is {{.Agent}}'s, by the reply that it got, utterance {{.Reply}}.

{{template "situation" .}}
Say with a whole number from 0 to 3 what the reply shows about the effect of utterance {{.Utterance}}:
0 = it had no effect or a bad one
1 = it was taken up a little
2 = it clearly helped
3 = it brought about what it was meant to
Let only the reply count: neither how well the utterance is phrased nor what could follow. Use -1 only where the text of either is damaged.

{{template "number" .}}{{end}}

{{- define "quality"}}Below is the first part of a conversation between two people. Judge its last utterance, number {{.Utterance}}, which is {{.Agent}}'s. How the conversation goes on is not known.

{{template "situation" .}}
Say with a whole number from 0 to 3 how good utterance {{.Utterance}} is at this point of the conversation:
0 = useless or harmful
1 = acceptable
2 = good
3 = as good as can be expected from anybody
Think of what was said before it, and of what else could have been said. Use -1 only where its text is damaged.

{{template "number" .}}{{end}}

{{- define "value"}}Below is a conversation between two people. Some utterances of {{.Agent}} may be missing; numbers that are left out were never spoken. Judge only what is there.

{{template "situation" .}}
Give {{.Agent}} a score for this conversation, from {{.Lowest}} to {{.Highest}}, the higher the better. Where these lines do not support a result, score as if it had not come about.

Reply with one JSON object that holds the score, and nothing else.
Form: {"score": ...}{{end}}`))
