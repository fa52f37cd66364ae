package episode

import (
	"encoding/json"
	"fmt"
	"sync"
)

// ReplyStats counts what became of the replies of an agent's model in an episode.
type ReplyStats struct {
	Replies  int `json:"replies"`  // that the model gave for a turn, repairs not counted
	Repaired int `json:"repaired"` // of these, read only after a call that put them into form
	Lost     int `json:"lost"`     // of these, not read even then
	Usage        // of all calls, repairs included
}

// Add adds t to s.
func (s *ReplyStats) Add(t ReplyStats) {
	s.Replies += t.Replies
	s.Repaired += t.Repaired
	s.Lost += t.Lost
	s.Usage.Add(t.Usage)
}

// Parsed returns the share of the replies that were read as they stood; 1 where
// there were none.
func (s ReplyStats) Parsed() float64 {
	if s.Replies == 0 {
		return 1
	}
	return 1 - float64(s.Repaired+s.Lost)/float64(s.Replies)
}

// replyLog counts the replies of one agent of a game.
type replyLog struct {
	mu    sync.Mutex
	stats ReplyStats
}

// Count enters what became of replies, for the episode's record. Agents of one's
// own call it where they ask a model; outside of [Play] it does nothing. Safe for
// concurrent use.
func (o Observation) Count(s ReplyStats) {
	if o.log == nil {
		return
	}
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	o.log.stats.Add(s)
}

// repliesField is the field of an episode that holds the counts of both agents.
const repliesField = "replies"

// setReplies enters the counts where an agent has any.
func (e *Episode) setReplies(logs *[2]replyLog) error {
	stats := [2]ReplyStats{logs[0].stats, logs[1].stats}
	if stats == [2]ReplyStats{} {
		return nil
	}
	return e.SetField(repliesField, stats)
}

// Replies returns what became of the replies of both agents' models, first speaker
// first: the field replies, which [Play] writes. Both are zero where the episode
// has none, and a count is zero for an agent that asks no model.
func (e *Episode) Replies() ([2]ReplyStats, error) {
	var stats [2]ReplyStats
	raw := e.Field(repliesField)
	if raw == nil {
		return stats, nil
	}
	if err := json.Unmarshal(raw, &stats); err != nil {
		return stats, fmt.Errorf("episode %s: %s: %w", e.ID, repliesField, err)
	}
	return stats, nil
}
