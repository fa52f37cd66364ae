package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/socialrl/socialrl/episode"
)

// performance is the payload of a job of kind Play: a match, or an episode that lacks its
// verdict.
type performance struct {
	Production json.RawMessage `json:"production"` // who plays, judges and how, as the program's flags say
	Scene      episode.Scene   `json:"scene"`
	Models     [3]string       `json:"models"`
	Tag        string          `json:"tag"`
	Trial      int             `json:"trial"`
	Episode    string          `json:"episode,omitempty"` // to be judged, as a line of JSON: a text within JSON keeps every byte
}

// performed is the result of such a job.
type performed struct {
	Episode string `json:"episode,omitempty"` // as a line of JSON
	Error   string `json:"error,omitempty"`
}

// Troupe is who plays and judges the matches of one production.
type Troupe struct {
	// Cast gives a match, which names its models, its agents and options.
	Cast func(m *episode.Match) error
	// Evaluator judges; nil where nobody does.
	Evaluator episode.Evaluator
}

// Player returns the handler of jobs of kind Play. open makes the troupe of a production,
// which is what the program that hands out the jobs passed to [Queue.Play], as JSON. Each
// is made once, and kept.
func Player(open func(ctx context.Context, production json.RawMessage) (*Troupe, error)) Handler {
	troupes := &troupes{open: open, all: map[string]*Troupe{}}
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var p performance
		if err := json.Unmarshal(payload, &p); err != nil {
			return nil, err
		}
		t, err := troupes.get(ctx, p.Production)
		if err != nil {
			return nil, err
		}
		e, err := t.perform(ctx, p)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return pack(e, err)
	}
}

type troupes struct {
	open func(context.Context, json.RawMessage) (*Troupe, error)
	mu   sync.Mutex
	all  map[string]*Troupe
}

func (t *troupes) get(ctx context.Context, production json.RawMessage) (*Troupe, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one, ok := t.all[string(production)]; ok {
		return one, nil
	}
	one, err := t.open(context.WithoutCancel(ctx), production) // others will play with it
	if err == nil {
		t.all[string(production)] = one
	}
	return one, err
}

// perform plays a match, or judges an episode.
func (t *Troupe) perform(ctx context.Context, p performance) (*episode.Episode, error) {
	if p.Episode != "" {
		return t.judge(ctx, p.Episode)
	}
	m := episode.Match{Scene: p.Scene, Models: p.Models, Tag: p.Tag, Trial: p.Trial}
	if err := t.Cast(&m); err != nil {
		return nil, err
	}
	b := episode.Batch{Evaluator: t.Evaluator, Concurrency: 1}
	results, err := b.Play(ctx, []episode.Match{m})
	if len(results) == 0 {
		return nil, err
	}
	return results[0].Episode, results[0].Err
}

func (t *Troupe) judge(ctx context.Context, line string) (*episode.Episode, error) {
	e, err := readEpisode(line)
	if err != nil {
		return nil, err
	}
	if t.Evaluator == nil {
		return nil, errors.New("nobody judges here")
	}
	j, err := t.Evaluator.Evaluate(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("episode %s: evaluator: %w", e.ID, err)
	}
	e.SetJudgement(j)
	return e, nil
}

// pack writes what came out of a job.
func pack(e *episode.Episode, failure error) ([]byte, error) {
	var out performed
	if failure != nil {
		out.Error = failure.Error()
	}
	if e != nil {
		var err error
		if out.Episode, err = writeEpisode(e); err != nil {
			return nil, err
		}
	}
	return json.Marshal(out)
}

// unpack reads what came out of a job.
func unpack(text []byte) (*episode.Episode, error) {
	var out performed
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	var failure error
	if out.Error != "" {
		failure = errors.New(out.Error)
	}
	if out.Episode == "" {
		return nil, failure
	}
	e, err := readEpisode(out.Episode)
	return e, errors.Join(err, failure)
}

func writeEpisode(e *episode.Episode) (string, error) {
	var line strings.Builder
	err := episode.WriteJSONL(&line, e)
	return line.String(), err
}

func readEpisode(line string) (*episode.Episode, error) {
	for e, err := range episode.ReadJSONL(strings.NewReader(line)) {
		return e, err
	}
	return nil, errors.New("a job without an episode")
}
