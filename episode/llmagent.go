package episode

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// LLMAgent lets a chat model act: it fills the template and parses the reply. It
// may play several episodes at once where its models may be used so.
type LLMAgent struct {
	LLM         LLM
	Template    *PromptTemplate // nil: [DefaultPrompt]
	Temperature *float64        // nil: 1, as SOTOPIA plays
	TopP        float64         // 0: the model's default
	MaxTokens   int             // of a reply; 0: the model's default
	Seed        uint64          // from which each reply gets its own, by episode, seat and turn; 0: none is sent
	FreeText    bool            // do not ask the endpoint to keep to [ExactActionSchema], or at least to [ActionSchema]
	Reformat    LLM             // asked once to put an unreadable reply into form; nil: such a reply does nothing at once
	OnError     func(Observation, error)
}

// ActionSchema returns the JSON schema of an action in the few keywords that strict
// endpoints know: an object of action_type, one of the five, and argument, a text. It
// allows empty speech, which [ParseAction] does not; see [ExactActionSchema].
func ActionSchema() json.RawMessage {
	types, err := json.Marshal(ActionTypes())
	if err != nil { // texts always marshal
		panic("episode: action types do not marshal: " + err.Error())
	}
	return json.RawMessage(`{"type":"object","properties":{"action_type":{"type":"string","enum":` + string(types) +
		`},"argument":{"type":"string"}},"required":["action_type","argument"],"additionalProperties":false}`)
}

// Act asks the model. A reply that is no action is reported to OnError, where
// that is set, then given once to Reformat, and counts as doing nothing if that
// does not help either; both are counted, see [Episode.Replies]. An error of the
// model itself is returned.
func (a *LLMAgent) Act(ctx context.Context, o Observation) (Action, error) {
	p, parseErr, err := a.draw(ctx, o, 0)
	if err != nil {
		return Action{}, err
	}
	if parseErr == nil {
		return p.Action, nil
	}
	return a.repair(ctx, o, p.Reply)
}

// Propose implements [Proposer]: n replies, drawn at the same time, of which those
// that are actions are proposals. Where none is, the first is repaired as Act does
// it, and is the only proposal.
func (a *LLMAgent) Propose(ctx context.Context, o Observation, n int) ([]Proposal, error) {
	drawn, bad := make([]Proposal, n), make([]error, n)
	group, groupCtx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() (err error) {
			drawn[i], bad[i], err = a.draw(groupCtx, o, i)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var good []Proposal
	for i, p := range drawn {
		if bad[i] == nil {
			good = append(good, p)
		}
	}
	if len(good) > 0 {
		o.Count(ReplyStats{Lost: n - len(good)})
		return good, nil
	}
	o.Count(ReplyStats{Lost: n - 1})
	action, err := a.repair(ctx, o, drawn[0].Reply)
	drawn[0].Action = action
	return drawn[:1], err
}

// draw asks for one reply of a turn. parseErr says why it is no action.
func (a *LLMAgent) draw(ctx context.Context, o Observation, index int) (p Proposal, parseErr, err error) {
	p.Prompt = a.Template.Render(o.Agent, o.History(), o.Turn)
	reply, err := a.LLM.Chat(ctx, a.request(p.Prompt, o, index))
	if err != nil {
		return p, nil, fmt.Errorf("%s, turn %d: %w", o.Agent, o.Turn, err)
	}
	o.Count(ReplyStats{Replies: 1, Usage: reply.Usage})
	p.Reply = reply.Text
	if p.Action, parseErr = ParseAction(reply.Text); parseErr != nil {
		a.report(o, parseErr)
	}
	return p, parseErr, nil
}

func (a *LLMAgent) request(prompt string, o Observation, index int) Request {
	r := Request{Messages: Prompt(prompt), Temperature: a.Temperature, TopP: a.TopP, MaxTokens: a.MaxTokens}
	if r.Temperature == nil {
		r.Temperature = new(1.0)
	}
	if a.Seed != 0 {
		r.Seed = new(replySeed(a.Seed, o, index))
	}
	a.form(&r)
	return r
}

// form asks for a reply that is an action.
func (a *LLMAgent) form(r *Request) {
	if !a.FreeText {
		r.Schema, r.PlainSchema, r.SchemaName = ExactActionSchema(), ActionSchema(), "action"
	}
}

// replySeed is the seed of one reply: a number that JSON readers of every language
// hold exactly, and servers take.
func replySeed(seed uint64, o Observation, index int) int64 {
	h := hash64("reply", strconv.FormatUint(seed, 10), o.EpisodeID, strconv.Itoa(o.Seat), strconv.Itoa(o.Turn), strconv.Itoa(index))
	return int64(h >> 33)
}

const reformatPrompt = `The text below should be one JSON object of the form
{"action_type": "none|speak|non-verbal communication|action|leave", "argument": "..."}
but cannot be read as one. Write that object, with the same meaning and the same wording, and nothing else.

`

// repair has a reply put into form once, and does nothing where that fails.
func (a *LLMAgent) repair(ctx context.Context, o Observation, bad string) (Action, error) {
	if a.Reformat == nil {
		o.Count(ReplyStats{Lost: 1})
		return Action{Type: None}, nil
	}
	r := Request{Messages: Prompt(reformatPrompt + bad), Temperature: new(0.0), MaxTokens: a.MaxTokens, JSON: true}
	a.form(&r)
	reply, err := a.Reformat.Chat(ctx, r)
	if err != nil {
		return Action{}, fmt.Errorf("%s, turn %d: reformat: %w", o.Agent, o.Turn, err)
	}
	action, err := ParseAction(reply.Text)
	if err != nil {
		a.report(o, err)
		o.Count(ReplyStats{Lost: 1, Usage: reply.Usage})
		return Action{Type: None}, nil
	}
	o.Count(ReplyStats{Repaired: 1, Usage: reply.Usage})
	return action, nil
}

func (a *LLMAgent) report(o Observation, err error) {
	if a.OnError != nil {
		a.OnError(o, err)
	}
}
