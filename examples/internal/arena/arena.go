package arena

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/internal/progress"
	"github.com/socialrl/socialrl/reward"
)

// Arena is an open place to play.
type Arena struct {
	Settings
	Profiles *episode.Profiles
	Players  *Players

	store     episode.Store
	evaluator episode.Evaluator
}

// Open reads the profiles and opens the judge. The store is opened by Play, so that a
// mistake in the flags leaves no empty one. in and out are those of a human player.
func (s Settings) Open(ctx context.Context, in io.Reader, out io.Writer) (*Arena, error) {
	a := &Arena{Settings: s, Players: newPlayers(s, in, out)}
	err := a.open(ctx)
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Arena) open(ctx context.Context) (err error) {
	if a.Profiles, err = LoadProfiles(ctx, a.Settings.Profiles); err != nil {
		return err
	}
	switch {
	case a.Judge == "":
	case a.Redis != "":
		a.evaluator = judgedElsewhere
	default:
		if a.evaluator, err = a.Players.judge(); err != nil {
			return err
		}
	}
	if !isRedis(a.Out) {
		return cli.CheckDirs(a.Out)
	}
	return nil
}

// openStore opens the store of -out.
func (a *Arena) openStore(ctx context.Context) error {
	if !isRedis(a.Out) {
		s, err := episode.OpenDir(a.Out)
		if err == nil {
			a.store = s
		}
		return err
	}
	s, err := episode.OpenRedis(ctx, a.Out)
	if err == nil {
		a.store = s
	}
	return err
}

// judge opens the judge.
func (p *Players) judge() (episode.Evaluator, error) {
	_, _, model, err := parseSpec(p.s.Judge)
	if err != nil {
		return nil, fmt.Errorf("-judge: %w", err)
	}
	llm, err := p.Model(model)
	if err != nil {
		return nil, fmt.Errorf("-judge: %w", err)
	}
	return reward.KeepFailures(reward.Judge{LLM: llm}), nil
}

// LoadProfiles reads profiles from where -profiles says.
func LoadProfiles(ctx context.Context, where string) (*episode.Profiles, error) {
	switch {
	case where == World:
		return world.Profiles(), nil
	case !isRedis(where):
		return episode.LoadProfiles(where)
	}
	s, err := episode.OpenRedis(ctx, where)
	if err != nil {
		return nil, err
	}
	p, err := episode.LoadProfilesRedis(ctx, s)
	return p, errors.Join(err, s.Close())
}

// Close closes the store and frees the models.
func (a *Arena) Close() error {
	a.Players.Close()
	if a.store == nil {
		return nil
	}
	return a.store.Close()
}

// Environments returns those that -task names.
func (a *Arena) Environments() ([]*episode.EnvironmentProfile, error) {
	_, listed := a.Profiles.Lists[a.Task]
	if listed || a.Task == episode.BenchmarkHard || a.Task == episode.BenchmarkAll {
		return a.Profiles.Benchmark(a.Task)
	}
	var all []*episode.EnvironmentProfile
	for _, id := range cli.Split(a.Task) {
		env, err := a.Profiles.Environment(id)
		if err != nil {
			return nil, fmt.Errorf("-task: %w", err)
		}
		all = append(all, env)
	}
	return all, nil
}

// Scenes returns the scenes of all environments and their pairings.
func (a *Arena) Scenes() ([]episode.Scene, error) {
	environments, err := a.Environments()
	if err != nil {
		return nil, err
	}
	var scenes []episode.Scene
	for _, env := range environments {
		pairings, err := a.Profiles.PairingsFor(env, a.Pairings, a.Seed)
		if err != nil {
			return nil, err
		}
		for _, c := range pairings {
			s, err := a.Profiles.PairingScene(c)
			if err != nil {
				return nil, err
			}
			s.Wording = wordings[a.Wording]
			scenes = append(scenes, s)
		}
	}
	return scenes, nil
}

// Play plays the matches that the store does not have and draws the progress on w.
func (a *Arena) Play(ctx context.Context, name string, matches []episode.Match, w io.Writer) ([]episode.MatchResult, error) {
	var q *jobs.Queue
	if a.Redis != "" {
		var err error
		if q, err = jobs.Open(ctx, a.Redis); err != nil {
			return nil, err
		}
		defer q.Close()
	}
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	bar := progress.New(w, name, len(matches))
	defer bar.Close()
	done, counts := 0, map[episode.MatchStatus]int{}
	b := episode.Batch{Store: a.store, Evaluator: a.evaluator, Concurrency: a.Concurrency}
	b.OnEpisode = func(r episode.MatchResult) {
		done++
		counts[r.Status]++
		if r.Status != episode.MatchStored {
			bar.Logf("%s: %d of %d, %s", name, done, len(matches), tell(r))
		}
		bar.Set(done, note(counts))
	}
	if a.Players.human {
		b.Concurrency = 1 // a person plays one episode at a time
	}
	if q != nil {
		return a.playElsewhere(ctx, q, name, b, matches, bar)
	}
	return b.Play(ctx, matches)
}

// tell tells of one match in a line.
func tell(r episode.MatchResult) string {
	text := fmt.Sprintf("%s: %s beside %s: ", r.Match.Scene.Codename, r.Match.Models[1], r.Match.Models[2])
	if r.Err != nil {
		return text + r.Err.Error()
	}
	return fmt.Sprintf("%s%s, %d turns", text, r.Status, max(0, len(r.Episode.RawMessages)-1))
}

// note tells how matches were settled.
func note(counts map[episode.MatchStatus]int) string {
	text := fmt.Sprintf("%d played", counts[episode.MatchPlayed])
	for _, s := range []episode.MatchStatus{episode.MatchStored, episode.MatchJudged, episode.MatchFailed} {
		if counts[s] > 0 {
			text += fmt.Sprintf(", %d %s", counts[s], s)
		}
	}
	return text
}

// Episodes returns the episodes of results, in their order.
func Episodes(results []episode.MatchResult) []*episode.Episode {
	var all []*episode.Episode
	for _, r := range results {
		if r.Episode != nil {
			all = append(all, r.Episode)
		}
	}
	return all
}

// Summary tells in one line how episodes went: turns, and what became of the
// replies of models.
func Summary(episodes []*episode.Episode) (string, error) {
	turns := 0
	var replies episode.ReplyStats
	for _, e := range episodes {
		turns += max(0, len(e.RawMessages)-1)
		both, err := e.Replies()
		if err != nil {
			return "", err
		}
		replies.Add(both[0])
		replies.Add(both[1])
	}
	text := fmt.Sprintf("%d episodes, %.1f turns each", len(episodes), float64(turns)/float64(max(1, len(episodes))))
	if replies.Replies > 0 {
		text += fmt.Sprintf("; %d replies, %.1f%% read as they were, %d repaired, %d lost",
			replies.Replies, 100*replies.Parsed(), replies.Repaired, replies.Lost)
	}
	return text, nil
}
