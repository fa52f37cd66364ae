package arena

import (
	"flag"
	"slices"
	"strings"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
)

// Settings are the flags.
type Settings struct {
	// What is played.
	Profiles string
	Task     string
	Pairings int
	Order    string
	Stale    string
	MaxTurns int
	Wording  string
	Seed     uint64

	// Who plays and judges.
	Model       cli.Model
	RewardModel string
	Judge       string
	Reformat    string
	Template    string // comma-separated files
	FreeText    bool
	Sampling    policy.SamplingOptions
	URL         string
	Timeout     time.Duration
	Limit       int

	// Where it goes.
	Out         string
	Tag         string
	Concurrency int
	Redis       string // URL; "" where this process plays
}

// World is the value of -profiles that stands for the miniature world.
const World = "world"

// Define defines the flags.
func (s *Settings) Define(fs *flag.FlagSet) {
	fs.StringVar(&s.Profiles, "profiles", World, "`where` profiles are: a directory (agents.jsonl, environments.jsonl, ...), a redis:// URL, or world for the miniature world")
	fs.StringVar(&s.Task, "task", episode.BenchmarkHard, "`what` is played: hard, all, another list of the profiles, or comma-separated ids or codenames of environments")
	fs.IntVar(&s.Pairings, "pairings", 1, "pairings of agents for each environment; 0: all there are; drawn from -seed where there are none")
	fs.StringVar(&s.Order, "order", episode.RoundRobin.String(), "`who` acts when: round-robin, simultaneous or random")
	fs.StringVar(&s.Stale, "stale", "messages", "`what` is counted when silence ends an episode: messages, those of the agent that is not on turn included, or actions")
	fs.IntVar(&s.MaxTurns, "max-turns", 20, "actions after which an episode ends")
	fs.StringVar(&s.Wording, "wording", "unknown", "`what` views say of strangers: unknown, empty (as in 2023) or closed (of everybody, as the newest versions do)")
	fs.Uint64Var(&s.Seed, "seed", 1, "of pairings, orders and replies")
	s.Model.Define(fs)
	fs.Lookup("model").Usage = "Hugging Face model `directory` of the players called local"
	fs.StringVar(&s.RewardModel, "reward-model", "", "`directory` of the reward model that chooses for players called bestN:..., an adapter of -model")
	fs.StringVar(&s.Judge, "judge", "", "`model` that judges, as [NAME=]MODEL; nobody judges if empty")
	fs.StringVar(&s.Reformat, "reformat", "", "`model` that puts unreadable replies into form; each player's own if empty")
	fs.StringVar(&s.Template, "prompt", "", "comma-separated `files` that make up the prompt of a turn, with {agent}, {history} and {turn_number}; the library's own if empty")
	fs.BoolVar(&s.FreeText, "free-text", false, "do not ask models to keep to the JSON schema of actions")
	fs.Float64Var(&s.Sampling.Temperature, "temperature", 1, "of the players' models")
	fs.Float64Var(&s.Sampling.TopP, "top-p", 1, "of the players' models")
	fs.IntVar(&s.Sampling.MaxTokens, "max-tokens", 256, "most tokens of a reply")
	fs.StringVar(&s.URL, "url", "", "base `URL` of the default endpoint, whose key is in OPENAI_API_KEY (other endpoints': CUSTOM_API_KEY); default OPENAI_BASE_URL or OpenAI's")
	fs.DurationVar(&s.Timeout, "timeout", 5*time.Minute, "longest wait for one reply; 0 is no limit")
	fs.IntVar(&s.Limit, "limit", 16, "calls under way at one endpoint; 0 is no limit")
	fs.StringVar(&s.Out, "out", "", "`where` episodes are kept, each the moment it ends: a directory or a redis:// URL; what is there is not played again (required)")
	fs.StringVar(&s.Tag, "tag", s.Tag, "experiment `tag` of the episodes")
	fs.IntVar(&s.Concurrency, "concurrency", 8, "episodes that are played at once, unless workers play them")
	fs.StringVar(&s.Redis, "redis", "", "`URL` of a Redis (redis://:PASSWORD@HOST:PORT): the episodes are played by the processes of examples/worker that share it")
}

var (
	staleRules = map[string]episode.StaleRule{"messages": episode.StaleMessages, "actions": episode.StaleActions}
	wordings   = map[string]episode.Wording{"unknown": episode.WordingUnknown, "empty": episode.WordingEmpty, "closed": episode.WordingClosed}
)

// Check returns a UsageError for the first flag that is out of range.
func (s *Settings) Check() error {
	for _, n := range []struct {
		flag       string
		value, min int
	}{
		{"pairings", s.Pairings, 0}, {"max-turns", s.MaxTurns, 1}, {"max-tokens", s.Sampling.MaxTokens, 1},
		{"limit", s.Limit, 0}, {"concurrency", s.Concurrency, 1},
	} {
		if n.value < n.min {
			return cli.Usagef("-%s is %d, want at least %d", n.flag, n.value, n.min)
		}
	}
	_, stale := staleRules[s.Stale]
	_, wording := wordings[s.Wording]
	switch {
	case s.Seed == 0:
		return cli.Usagef("-seed is 0, want 1 or more")
	case s.order() < 0:
		return cli.Usagef("-order is %q, want round-robin, simultaneous or random", s.Order)
	case !stale:
		return cli.Usagef("-stale is %q, want messages or actions", s.Stale)
	case !wording:
		return cli.Usagef("-wording is %q, want unknown, empty or closed", s.Wording)
	case !(s.Sampling.Temperature >= 0):
		return cli.Usagef("-temperature is %v, want 0 or more", s.Sampling.Temperature)
	case !(s.Sampling.TopP > 0 && s.Sampling.TopP <= 1):
		return cli.Usagef("-top-p is %v, want above 0 and at most 1", s.Sampling.TopP)
	case s.Timeout < 0:
		return cli.Usagef("-timeout is negative")
	}
	if err := s.Model.Check(); err != nil {
		return err
	}
	return cli.Required("profiles", s.Profiles, "task", s.Task, "out", s.Out)
}

// JudgeName returns the name that the judge has in stores and tables, "" for none.
func (s *Settings) JudgeName() string {
	if s.Judge == "" {
		return ""
	}
	name, _, _, err := parseSpec(s.Judge)
	if err != nil { // Open says so
		return s.Judge
	}
	return name
}

// order returns the order of the flag, -1 for an unknown one.
func (s *Settings) order() episode.Order {
	i := slices.IndexFunc(episode.Orders(), func(o episode.Order) bool { return o.String() == s.Order })
	return episode.Order(i)
}

// Options returns how every episode is played.
func (s *Settings) Options() []episode.Option {
	return []episode.Option{
		episode.WithMaxTurns(s.MaxTurns), episode.WithStale(staleRules[s.Stale]), episode.WithOrder(s.order(), s.Seed),
	}
}

func isRedis(where string) bool {
	return strings.HasPrefix(where, "redis://") || strings.HasPrefix(where, "rediss://")
}
