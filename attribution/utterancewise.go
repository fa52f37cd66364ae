package attribution

import (
	"context"
	"strconv"

	"github.com/socialrl/socialrl/episode"
)

// utteranceScale is the scale of the methods that ask about one utterance at a
// time.
const utteranceScale = 3

// progressScale is the scale on which progress toward the goal is told.
const progressScale = 10

// KeyUtterance asks a model, which sees the whole dialogue and its result, for
// the one utterance of the agent that mattered most, in one call. That utterance
// gets the whole score and the others get 0, see [KeyRewards]; their attributions
// are 1 and 0.
//
// A reply that names no utterance of the agent is asked for again, and then the
// result is a [Failure]. (The Python program asks five times, keeps the last
// reply, and gives all utterances 0 where that names none.) Its name in files is
// "key_utterance".
type KeyUtterance struct {
	LLM         episode.LLM       // required
	Dimension   episode.Dimension // what the score is about; "" is goal
	Description string            // of a custom dimension, as in [Direct]
	Tries       int               // most replies to look at; 0 is [DefaultTries]
	Temperature float64           // of the model; below 0 leaves it to the model
}

// Method implements [Described].
func (m KeyUtterance) Method() Method {
	return Method{Name: "key_utterance", Dimension: orGoal(m.Dimension), Scale: 1}
}

// Attribute implements [Attributor]. A missing field of m is an error.
func (m KeyUtterance) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	return m.asking().attribute(ctx, ep, agent)
}

// Requests implements [Planner].
func (m KeyUtterance) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	return m.asking().requests(ep, agent)
}

func (m KeyUtterance) asking() asking {
	return asking{
		goName: "KeyUtterance", llm: m.LLM, method: m.Method(), description: m.Description,
		temperature: m.Temperature, tries: m.Tries, usual: DefaultTries, tasks: keyTasks,
		credit: func(a *Attribution, answers []float64) { a.rate(answers, 1, false) },
	}
}

// keyTasks asks which utterance it was. The answers are 1 for it and 0 for the
// others.
func keyTasks(v view, a *Attribution) []task {
	own := a.Own()
	bounds := make([]bound, len(own))
	about := make([]int, len(own))
	for i, c := range own {
		about[i], bounds[i].index = i, c.Index
	}
	v.Dialogue, v.Keys = dialogueText(a.Credits), indices(bounds)
	return []task{{v.render("key"), about, func(reply string) ([]float64, error) {
		key, err := parseChoice(reply, bounds)
		if err != nil {
			return nil, err
		}
		return KeyRewards(key, len(own), 1), nil
	}}}
}

// GoalProgress asks a model before each utterance of the agent how far the goal
// is achieved, 0..10, from the dialogue up to there. The reward is the progress
// since the agent's previous utterance, see [ProgressRewards]:
//
//	r[k] = (before[k] - before[k-1]) / 10 * goal,   before[-1] = 0
//
// So what an utterance moves shows in the reward of the agent's next one, as in
// the published method. An utterance that opens the dialogue has nothing before
// it; it is not asked about and stays [Unscored]. There are no attributions, only
// rewards, and no dimension but goal. A reply that cannot be used is asked for
// again, and then the result is a [Failure]. Its name in files is
// "goal_progress".
type GoalProgress struct {
	LLM         episode.LLM // required
	Tries       int         // most replies to look at for each utterance; 0 is [DefaultUtteranceTries]
	Temperature float64     // of the model; below 0 leaves it to the model
}

// Method implements [Described].
func (m GoalProgress) Method() Method {
	return Method{Name: "goal_progress", Dimension: episode.Goal}
}

// Attribute implements [Attributor]. A missing field of m is an error.
func (m GoalProgress) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	return m.asking().attribute(ctx, ep, agent)
}

// Requests implements [Planner].
func (m GoalProgress) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	return m.asking().requests(ep, agent)
}

func (m GoalProgress) asking() asking {
	return asking{
		goName: "GoalProgress", llm: m.LLM, method: m.Method(),
		temperature: m.Temperature, tries: m.Tries, usual: DefaultUtteranceTries,
		tasks:  utteranceTasks("progress", progressView),
		credit: func(a *Attribution, before []float64) { a.reward(ProgressRewards(before, a.Score)) },
	}
}

// progressView shows what came before an utterance.
func progressView(v *view, a *Attribution, c Credit) (bound, bool) {
	v.Dialogue = dialogueText(a.Credits[:c.Index])
	return bound{index: c.Index, max: progressScale}, c.Index > 0
}

// OnlyResponse asks a model about each utterance of the agent how it was received:
// whether the other's next utterance shows that it worked, 0..3. The model sees
// the dialogue up to that reply, and is to judge by the reply alone. The reward is
// that of [ScaledReward]:
//
//	r = a/3 * score
//
// An utterance that got no reply cannot be judged so; it is not asked about and
// stays [Unscored]. A reply of the model that cannot be used is asked for again,
// and then the result is a [Failure]. (The Python program accepts 0..10 and
// divides by 3; here 0..3 is asked for.) Its name in files is "only_response".
type OnlyResponse struct {
	LLM         episode.LLM       // required
	Dimension   episode.Dimension // what the score is about; "" is goal
	Description string            // of a custom dimension, as in [Direct]
	Tries       int               // most replies to look at for each utterance; 0 is [DefaultUtteranceTries]
	Temperature float64           // of the model; below 0 leaves it to the model
}

// Method implements [Described].
func (m OnlyResponse) Method() Method {
	return Method{Name: "only_response", Dimension: orGoal(m.Dimension), Scale: utteranceScale}
}

// Attribute implements [Attributor]. A missing field of m is an error.
func (m OnlyResponse) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	return m.asking().attribute(ctx, ep, agent)
}

// Requests implements [Planner].
func (m OnlyResponse) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	return m.asking().requests(ep, agent)
}

func (m OnlyResponse) asking() asking {
	return asking{
		goName: "OnlyResponse", llm: m.LLM, method: m.Method(), description: m.Description,
		temperature: m.Temperature, tries: m.Tries, usual: DefaultUtteranceTries,
		tasks:  utteranceTasks("response", responseView),
		credit: func(a *Attribution, answers []float64) { a.rate(answers, utteranceScale, false) },
	}
}

// responseView shows the dialogue up to the reply that an utterance got.
func responseView(v *view, a *Attribution, c Credit) (bound, bool) {
	for _, reply := range a.Credits[c.Index+1:] {
		if reply.Speaker != a.Agent {
			v.Dialogue, v.Reply = dialogueText(a.Credits[:reply.Index+1]), reply.Index
			return bound{index: c.Index, min: Masked, max: utteranceScale}, true
		}
	}
	return bound{}, false
}

// UtteranceQuality asks a model about each utterance of the agent how good it is
// by itself, 0..3, from the dialogue up to and with it and without its outcome.
// The reward needs no judge's score:
//
//	r = a/3 * 10
//
// or, where Normalized is set, shares the episode's score out by
// [NormalizedRewards]:
//
//	r = a/sum(a) * score
//
// A reply that cannot be used is asked for again, and then the result is a
// [Failure]. (The Python program accepts 0..10 and divides by 3; here 0..3 is
// asked for.) Its name in files is "utterance_quality", or
// "utterance_quality_normalized".
type UtteranceQuality struct {
	LLM         episode.LLM       // required
	Dimension   episode.Dimension // what good means; "" is goal
	Normalized  bool              // share the score out instead of scaling 10
	Description string            // of a custom dimension, as in [Direct]
	Tries       int               // most replies to look at for each utterance; 0 is [DefaultUtteranceTries]
	Temperature float64           // of the model; below 0 leaves it to the model
}

// Method implements [Described].
func (m UtteranceQuality) Method() Method {
	d := Method{Name: "utterance_quality", Dimension: orGoal(m.Dimension), Scale: utteranceScale}
	if m.Normalized {
		d.Name = "utterance_quality_normalized"
	}
	return d
}

// Attribute implements [Attributor]. A missing field of m is an error.
func (m UtteranceQuality) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	return m.asking().attribute(ctx, ep, agent)
}

// Requests implements [Planner].
func (m UtteranceQuality) Requests(ep *episode.Episode, agent string) ([]episode.Request, error) {
	return m.asking().requests(ep, agent)
}

func (m UtteranceQuality) asking() asking {
	q := asking{
		goName: "UtteranceQuality", llm: m.LLM, method: m.Method(), description: m.Description, fixed: 10,
		temperature: m.Temperature, tries: m.Tries, usual: DefaultUtteranceTries,
		tasks:  utteranceTasks("quality", qualityView),
		credit: func(a *Attribution, answers []float64) { a.rate(answers, utteranceScale, m.Normalized) },
	}
	if m.Normalized {
		q.fixed = 0
	}
	return q
}

// qualityView shows the dialogue up to and with an utterance.
func qualityView(v *view, a *Attribution, c Credit) (bound, bool) {
	v.Dialogue = dialogueText(a.Credits[:c.Index+1])
	return bound{index: c.Index, min: Masked, max: utteranceScale}, true
}

// utteranceTasks asks about one utterance at a time. show fills in what the model
// sees, and reports what it may answer and whether it is to be asked at all.
func utteranceTasks(template string, show func(*view, *Attribution, Credit) (bound, bool)) func(view, *Attribution) []task {
	return func(v view, a *Attribution) []task {
		var tasks []task
		for k, c := range a.Own() {
			one := v
			b, judged := show(&one, a, c)
			if !judged {
				continue
			}
			one.Utterance, one.Keys, one.Form = c.Index, strconv.Itoa(c.Index), form([]bound{b})
			tasks = append(tasks, scoring(one.render(template), []int{k}, b))
		}
		return tasks
	}
}
