package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what is to be done in a job. Each kind has a queue of its own.
type Kind string

// The kinds of jobs.
const (
	Annotate Kind = "annotate" // the attribution of one agent's part in an episode, by one method
	Play     Kind = "play"     // one episode, played and judged
)

// Kinds lists the kinds.
func Kinds() []Kind { return []Kind{Annotate, Play} }

func (k Kind) queue() string { return "socialrl:" + string(k) }

// Job is a piece of work for some worker.
type Job struct {
	Kind    Kind
	Key     string // what it is about: identifies it among those of its kind, and names it in errors
	Payload []byte // JSON; with other settings it is another job
}

// NewJob returns a job with the payload as JSON.
func NewJob(kind Kind, key string, payload any) (Job, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return Job{}, fmt.Errorf("job %s: %w", key, err)
	}
	return Job{kind, key, text}, nil
}

// ID is the name of the job in the queue: a hash of key and payload.
func (j Job) ID() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s ", len(j.Key), j.Key)
	h.Write(j.Payload)
	return hex.EncodeToString(h.Sum(nil))[:32]
}

const (
	// keep is how long a result waits to be collected.
	keep = 7 * 24 * time.Hour
	// longest bounds a job. Whoever works on it is alive as long as it renews its
	// lease, so this is for what hangs.
	longest = 24 * time.Hour
	// deaths is how many workers may die of a job, or fail at it for a reason that lies
	// in them, before it is given up.
	deaths = 10
)
