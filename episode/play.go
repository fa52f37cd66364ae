package episode

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Judgement is what an [Evaluator] makes of an episode.
type Judgement struct {
	Rewards   []Reward // one for each agent, first speaker first
	Reasoning string   // the judge's comments; follows the cause of the end
	Prompt    string   // what the judge was asked; may be empty
}

// Evaluator scores a finished episode. The episode has no rewards yet.
type Evaluator interface {
	Evaluate(ctx context.Context, e *Episode) (Judgement, error)
}

// EvaluatorFunc makes an [Evaluator] of a function.
type EvaluatorFunc func(ctx context.Context, e *Episode) (Judgement, error)

// Evaluate calls f.
func (f EvaluatorFunc) Evaluate(ctx context.Context, e *Episode) (Judgement, error) { return f(ctx, e) }

// StaleRule says when silence ends an episode.
type StaleRule int

const (
	// StaleMessages ends the episode when more than two messages at its end do
	// nothing, the message of the agent that is not on turn included: one None
	// by the second speaker ends it, one by the first does not.
	StaleMessages StaleRule = iota
	// StaleActions counts the agents on turn only: three turns in a row in which
	// nothing was done end the episode.
	StaleActions
)

// maxSilence is how many trailing messages may do nothing.
const maxSilence = 2

// The causes of an end, as logs spell them.
const (
	causeStale = "The conversation stales for too long; "
	causeLong  = "The conversation is too long; "
	causeLeft  = "Agent %d is leaving; "
)

type playConfig struct {
	id        string
	tag       string
	models    []string
	maxTurns  int
	stale     StaleRule
	order     Order
	seed      uint64 // of RandomOrder
	evaluator Evaluator
	onTurn    func(Utterance)
}

// Option changes how an episode is played.
type Option func(*playConfig)

// WithID sets the id of the episode. Without it the episode gets a new ULID,
// which holds the time; runs that must repeat exactly set it.
func WithID(id string) Option { return func(c *playConfig) { c.id = id } }

// WithTag sets the experiment tag.
func WithTag(tag string) Option { return func(c *playConfig) { c.tag = tag } }

// WithModels names the judge's and the agents' models, in that order.
func WithModels(judge, first, second string) Option {
	return func(c *playConfig) { c.models = []string{judge, first, second} }
}

// WithMaxTurns sets after how many actions the episode ends; 0 stands for 20.
func WithMaxTurns(n int) Option { return func(c *playConfig) { c.maxTurns = n } }

// WithStale sets when silence ends the episode.
func WithStale(r StaleRule) Option { return func(c *playConfig) { c.stale = r } }

// WithOrder sets who acts when. seed is that of [RandomOrder] and means nothing to
// the others; the order also depends on the episode's id.
func WithOrder(o Order, seed uint64) Option {
	return func(c *playConfig) { c.order, c.seed = o, seed }
}

// WithEvaluator has the finished episode judged.
func WithEvaluator(e Evaluator) Option { return func(c *playConfig) { c.evaluator = e } }

// OnTurn has f called after everything that was said or done.
func OnTurn(f func(Utterance)) Option { return func(c *playConfig) { c.onTurn = f } }

// Play has two agents act out a scene in turns, the first participant first where
// [WithOrder] says nothing else, and returns the episode with messages,
// interactions and rewards as logs of SOTOPIA have them. An agent that is not on
// turn is not asked and does nothing. The
// episode ends when an agent has left, after 20 actions, or when nothing is
// done for too long. Without an [Evaluator] the rewards are 0.0, which says that
// nobody judged.
//
// An error of an agent or of the evaluator ends the episode and is returned
// without one. Play is safe for concurrent use where its agents are.
func Play(ctx context.Context, scene Scene, agents []Agent, opts ...Option) (*Episode, error) {
	if len(agents) != 2 {
		return nil, fmt.Errorf("episode: Play needs 2 agents, not %d", len(agents))
	}
	if err := scene.Check(); err != nil {
		return nil, err
	}
	c := playConfig{maxTurns: 20}
	for _, o := range opts {
		o(&c)
	}
	if c.maxTurns <= 0 {
		c.maxTurns = 20
	}
	if c.id == "" {
		c.id = NewID()
	}
	g := newGame(scene, agents, c)
	if err := g.run(ctx); err != nil {
		return nil, fmt.Errorf("episode %s: %w", c.id, err)
	}
	return g.finish(ctx)
}

// game is an episode while it is played.
type game struct {
	playConfig
	scene    Scene
	agents   []Agent
	names    []string
	turns    [][]LogMessage
	dialogue []Utterance
	told     [2][]string // what each agent was told so far
	acted    [2]int      // turns that each agent was asked in
	replies  [2]replyLog
	cause    string // why it ended
}

func newGame(scene Scene, agents []Agent, c playConfig) *game {
	return &game{playConfig: c, scene: scene, agents: agents, names: scene.Names()}
}

func (g *game) run(ctx context.Context) error {
	g.observe(func(seat int) string { return g.scene.View(seat) })
	for g.cause == "" {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// observe opens a turn with a message from the environment to each agent.
func (g *game) observe(text func(seat int) string) {
	var turn []LogMessage
	for seat, name := range g.names {
		m := LogMessage{Environment, name, text(seat)}
		g.told[seat] = append(g.told[seat], m.Text)
		turn = append(turn, m)
	}
	g.turns = append(g.turns, turn)
}

// act lets the agents on turn act, records it and opens the next turn.
func (g *game) act(ctx context.Context) error {
	turn := len(g.turns) - 1
	actions, err := g.ask(ctx, turn)
	if err != nil {
		return err
	}
	g.record(turn, actions)
	line := turnLine(g.turns[turn])
	g.observe(func(int) string { return fmt.Sprintf("Turn #%d: %s\n", turn, line) })
	g.cause = g.ended(turn, actions)
	return nil
}

// ask asks the agents on turn, several at once.
func (g *game) ask(ctx context.Context, turn int) (actions [2]Action, err error) {
	actions = [2]Action{{Type: None}, {Type: None}}
	group, ctx := errgroup.WithContext(ctx)
	for _, seat := range g.order.seats(g.id, turn, g.seed) {
		o := g.observation(seat, turn)
		g.acted[seat]++
		group.Go(func() error {
			action, err := g.agents[seat].Act(ctx, o)
			if err == nil && !action.Type.Valid() {
				err = fmt.Errorf("%s, turn %d: %w %q", g.names[seat], turn, ErrActionType, action.Type)
			}
			actions[seat] = action
			return err
		})
	}
	return actions, group.Wait()
}

func (g *game) observation(seat, turn int) Observation {
	return Observation{
		EpisodeID: g.id, Agent: g.names[seat], Seat: seat, Turn: turn, OwnTurn: g.acted[seat],
		Messages: slices.Clip(g.told[seat]), Dialogue: slices.Clip(g.dialogue), log: &g.replies[seat],
	}
}

// record adds the messages of both agents to the turn.
func (g *game) record(turn int, actions [2]Action) {
	for seat, name := range g.names {
		action := actions[seat]
		g.turns[turn] = append(g.turns[turn], LogMessage{name, Environment, action.Text()})
		if action.Type == None {
			continue
		}
		u := Utterance{len(g.dialogue), turn, name, action.Text(), action}
		g.dialogue = append(g.dialogue, u)
		if g.onTurn != nil {
			g.onTurn(u)
		}
	}
}

// turnLine tells what was done in a turn, as the next one reports it.
func turnLine(turn []LogMessage) string {
	var done []string
	for _, m := range turn {
		if m.Sender != Environment && m.Text != textNone {
			done = append(done, m.Sender+" "+m.Text)
		}
	}
	return strings.Join(done, ";")
}

// ended returns why the episode is over after a turn, "" where it goes on.
func (g *game) ended(turn int, actions [2]Action) string {
	cause := ""
	if turn+1 >= g.maxTurns {
		cause += causeLong
	}
	for seat, action := range actions {
		if action.Type == Leave {
			cause += fmt.Sprintf(causeLeft, seat+1)
		}
	}
	if silence(g.turns, g.stale) > maxSilence {
		cause += causeStale
	}
	return cause
}

// silence counts the messages at the end that did nothing, or the turns.
func silence(turns [][]LogMessage, rule StaleRule) int {
	messages, silent := 0, 0
	for _, turn := range slices.Backward(turns) {
		before := messages
		for _, m := range slices.Backward(turn) {
			if m.Sender == Environment {
				continue
			}
			if m.Text != textNone {
				return rule.count(messages, silent)
			}
			messages++
		}
		if messages > before {
			silent++
		}
	}
	return rule.count(messages, silent)
}

func (r StaleRule) count(messages, turns int) int {
	if r == StaleActions {
		return turns
	}
	return messages
}

// finish makes the episode of the game and has it judged.
func (g *game) finish(ctx context.Context) (*Episode, error) {
	e := &Episode{
		ID: g.id, EnvironmentID: g.scene.EnvironmentID, Tag: g.tag, Models: g.models,
		RawMessages: g.turns, Scenario: g.scene.Scenario, Codename: g.scene.Codename,
		SocialInteractions: interactions(g.turns),
		Reasoning:          "Environment comments: terminated: " + g.cause,
	}
	for _, p := range g.scene.Participants {
		e.AgentIDs = append(e.AgentIDs, p.ID)
		e.AgentsBackground = append(e.AgentsBackground, NamedText{p.Name, p.Background})
		e.SocialGoals = append(e.SocialGoals, NamedText{p.Name, p.Goal})
	}
	if err := e.setReplies(&g.replies); err != nil {
		return nil, err
	}
	judgement := Judgement{Rewards: make([]Reward, len(g.names))}
	if g.evaluator != nil {
		var err error
		if judgement, err = g.evaluator.Evaluate(ctx, e); err != nil {
			return nil, fmt.Errorf("episode %s: evaluator: %w", g.id, err)
		}
		if len(judgement.Rewards) != len(g.names) {
			return nil, fmt.Errorf("episode %s: evaluator gave %d rewards, want %d", g.id, len(judgement.Rewards), len(g.names))
		}
	}
	e.setJudgement(judgement)
	return e, nil
}

// setJudgement enters rewards and comments as logs have them.
func (e *Episode) setJudgement(j Judgement) {
	e.RawRewards, e.RewardsPrompt = j.Rewards, j.Prompt
	e.Rewards = scoresOnly(j.Rewards)
	if j.Reasoning != "" {
		e.Reasoning += "\n" + j.Reasoning
	}
}

// interactions tells an episode as one text: what was said or done in a turn a
// paragraph, an empty one where nothing was.
func interactions(turns [][]LogMessage) string {
	var paragraphs []string
	for _, turn := range turns {
		var lines []string
		acted := false
		for _, m := range turn {
			if m.Sender == Environment {
				continue
			}
			acted = true
			switch text := trimPrivate(m.Text); {
			case text == textNone:
			case strings.HasPrefix(text, textSaid):
				lines = append(lines, m.Sender+" "+text)
			default:
				lines = append(lines, m.Sender+": "+text)
			}
		}
		if acted {
			paragraphs = append(paragraphs, strings.Join(lines, "\n"))
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
