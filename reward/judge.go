package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// Judge scores a finished episode by asking a chat model, as SOTOPIA-EVAL does
// (Zhou et al. 2024, section 3): both agents on every criterion, each score with
// its reason, in one call. It is an [episode.Evaluator].
//
// The model sees everything: both backgrounds with their secrets, both goals, the
// scenario with what is hidden from the agents, and what was said and done as
// Turn #1, Turn #2, ...; turns in which nothing was done do not count.
//
// The reply must be one JSON object with a reason and a score in range for every
// criterion and agent. The request carries a JSON schema that says so, for
// endpoints that can keep to one. A reply that cannot be used is asked for again,
// the model being told what was wrong, Tries times in all; then the result is a
// [JudgeFailure], never a score.
//
// A Judge may be used by several goroutines where its LLM and OnUnusable may.
type Judge struct {
	LLM         episode.LLM // required
	Criteria    []Criterion // what is scored; nil is [SotopiaEval]
	Tries       int         // most replies to look at; 0 is [attribution.DefaultTries]
	Temperature float64     // of the model; below 0 leaves it to the model, as some demand
	MaxTokens   int         // most tokens of a reply; 0 is the model's default

	// OnUnusable, where set, is called for every reply that could not be used.
	OnUnusable func(episodeID string, t attribution.Try)
}

// agents is how many agents an episode has.
const agents = 2

// Evaluate implements [episode.Evaluator]: one reward for each agent, first speaker
// first, with the scores in the order of the criteria and their mean as
// overall_score; the mean is that of the seven dimensions of SOTOPIA-EVAL where all
// are scored, and of all criteria otherwise. The reasons are the judgement's
// Reasoning in the form of the logs:
//
//	Agent 1 comments:
//	believability: ...
//
// An error is a [*JudgeFailure], or says which field of j or which part of the
// episode is wrong.
func (j Judge) Evaluate(ctx context.Context, e *episode.Episode) (episode.Judgement, error) {
	if j.LLM == nil {
		return episode.Judgement{}, errors.New("reward: Judge: LLM is missing")
	}
	list, err := criteria(j.Criteria)
	if err != nil {
		return episode.Judgement{}, err
	}
	if names := e.Agents(); len(names) != agents {
		return episode.Judgement{}, fmt.Errorf("reward: episode %s has %d agents (%q), want %d", e.ID, len(names), names, agents)
	}
	prompt := judgePrompt(e, list)
	verdicts, err := j.ask(ctx, e.ID, prompt, list)
	if err != nil {
		return episode.Judgement{}, err
	}
	out := episode.Judgement{Prompt: prompt}
	var comments []string
	for i, v := range verdicts {
		out.Rewards = append(out.Rewards, v.reward())
		comments = append(comments, fmt.Sprintf("Agent %d comments:\n%s", i+1, v.comments()))
	}
	out.Reasoning = strings.Join(comments, "\n")
	return out, nil
}

// ask puts the prompt until a reply can be used.
func (j Judge) ask(ctx context.Context, id, prompt string, list []Criterion) ([]verdict, error) {
	f := &JudgeFailure{EpisodeID: id, Err: attribution.ErrNoUsableReply}
	request := j.request(prompt, list)
	for range j.tries() {
		reply, err := attribution.Chat(ctx, j.LLM, request)
		if err != nil {
			f.Err = err
			return nil, f
		}
		f.Usage.Add(attribution.Usage{Calls: 1, Usage: reply.Usage})
		verdicts, err := parseVerdicts(reply, list)
		if err == nil {
			return verdicts, nil
		}
		try := attribution.Try{Reply: reply.Text, Reason: err.Error()}
		f.Tries = append(f.Tries, try)
		if j.OnUnusable != nil {
			j.OnUnusable(id, try)
		}
		request.Messages = episode.Prompt(prompt + "\n\nAn earlier reply could not be used: " + try.Reason +
			". Reply with the whole JSON object, in exactly the form asked for.")
	}
	return nil, f
}

func (j Judge) tries() int {
	if j.Tries <= 0 {
		return attribution.DefaultTries
	}
	return j.Tries
}

func (j Judge) request(prompt string, list []Criterion) episode.Request {
	r := episode.Request{
		Messages: episode.Prompt(prompt), MaxTokens: j.MaxTokens,
		JSON: true, Schema: verdictSchema(list), SchemaName: "judgement",
	}
	if j.Temperature >= 0 {
		r.Temperature = &j.Temperature
	}
	return r
}

// verdict is what the judge makes of one agent: scores and reasons in the order of
// the criteria.
type verdict struct {
	scores  []episode.DimensionScore
	reasons []string
}

func (v verdict) reward() episode.Reward {
	r := episode.NewReward(v.scores...)
	if mean := meanOfSeven(r); !math.IsNaN(mean) {
		r.Number, r.Scores[len(r.Scores)-1].Score = mean, mean
	}
	return r
}

// meanOfSeven is the mean score of SOTOPIA-EVAL, NaN where a dimension is missing.
func meanOfSeven(r episode.Reward) float64 {
	sum := 0.0
	for _, d := range episode.Dimensions() {
		v, ok := r.Score(d)
		if !ok {
			return math.NaN()
		}
		sum += v
	}
	return sum / float64(len(episode.Dimensions()))
}

// comments are the reasons, one a line.
func (v verdict) comments() string {
	var lines []string
	for i, s := range v.scores {
		lines = append(lines, string(s.Dimension)+": "+v.reasons[i])
	}
	return strings.Join(lines, "\n")
}
