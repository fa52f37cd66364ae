package arena

import (
	"context"
	"encoding/json"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/progress"
)

// production is what workers are told of a run: who plays and judges, and how. Scenes
// travel with the matches.
type production struct {
	Settings Settings
	Players  map[string]string // what flags say of the players, by the names in Match.Models
}

// production leaves out what does not change an episode, so that a run that goes on with
// other such flags finds its jobs, and what workers must not know.
func (a *Arena) production() production {
	s := a.Settings
	s.Profiles, s.Task, s.Pairings, s.Out, s.Tag, s.Redis = "", "", 0, "", "", ""
	s.Concurrency, s.Limit = 0, 0
	return production{s, a.Players.specs}
}

// playElsewhere has workers play.
func (a *Arena) playElsewhere(ctx context.Context, q *jobs.Queue, name string, b episode.Batch, matches []episode.Match, bar *progress.Bar) ([]episode.MatchResult, error) {
	stop := q.Watch(jobs.Play, func(text string) { bar.Logf("%s: %s", name, text) })
	defer stop()
	b.Concurrency = 0
	return q.Play(ctx, b, a.production(), matches)
}

// judgedElsewhere stands for the judge whom workers ask.
var judgedElsewhere = episode.EvaluatorFunc(nil)

// Local are the settings of a worker in which it differs from the program whose matches it
// plays.
type Local struct {
	ModelDir    string // of the players called local; "" is the directory that the program has
	Device      string // "" likewise
	Concurrency int    // episodes at once
	Limit       int    // calls under way at one endpoint; 0 is no limit
}

// Troupe opens who plays and judges the matches of another machine's program; it is to be
// given to [jobs.Player]. close frees the models of all troupes.
func (l Local) Troupe() (open func(context.Context, json.RawMessage) (*jobs.Troupe, error), close func()) {
	var all []*Players
	open = func(_ context.Context, text json.RawMessage) (*jobs.Troupe, error) {
		var p production
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, err
		}
		s := p.Settings
		s.Concurrency, s.Limit = l.Concurrency, l.Limit
		if l.ModelDir != "" {
			s.Model.Dir = l.ModelDir
		}
		if l.Device != "" {
			s.Model.Device = l.Device
		}
		players := newPlayers(s, nil, nil)
		t, err := players.troupe(p.Players)
		if err != nil {
			players.Close()
			return nil, err
		}
		all = append(all, players)
		return t, nil
	}
	return open, func() {
		for _, p := range all {
			p.Close()
		}
	}
}

// troupe opens the players of some names and the judge.
func (p *Players) troupe(specs map[string]string) (*jobs.Troupe, error) {
	open := map[string]episode.Player{}
	for name, spec := range specs {
		var err error
		if open[name], err = p.Open(spec); err != nil {
			return nil, err
		}
	}
	t := &jobs.Troupe{Cast: func(m *episode.Match) error {
		for _, name := range m.Models[1:] {
			player, ok := open[name]
			if !ok {
				return cli.Usagef("no player is called %q", name)
			}
			m.Agents = append(m.Agents, player.New())
		}
		m.Play = p.s.Options()
		return nil
	}}
	if p.s.Judge == "" {
		return t, nil
	}
	var err error
	t.Evaluator, err = p.judge()
	return t, err
}
