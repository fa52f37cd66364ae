package attribution

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/appendlog"
)

// ErrNoUsableReply says that a model answered, but never in a way that could be
// used. It is found in a [Failure], beside the replies.
var ErrNoUsableReply = errors.New("no usable reply")

// Failure is the error of an attribution that came to nothing, with the
// evidence. It never stands for a score of 0.
type Failure struct {
	Key
	Tries []Try // replies that could not be used, in order
	Usage Usage // what they took
	Err   error // [ErrNoUsableReply], or why the model could not be asked
}

// Try is a reply that could not be used, and why.
type Try struct {
	Reply  string `json:"reply"`
	Reason string `json:"reason"`
}

// Error names the key, the cause, and the last reply's fault.
func (f *Failure) Error() string {
	s := fmt.Sprintf("attribution: %s: %v", f.Key, f.Err)
	if n := len(f.Tries); n > 0 {
		last := f.Tries[n-1]
		s += fmt.Sprintf(" (unusable replies: %d; the last: %s: %q)", n, last.Reason, compactReply(last.Reply, 200))
	}
	return s
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// failureLine is a failure as a line of a file.
type failureLine struct {
	EpisodeID string            `json:"episode_id"`
	Agent     string            `json:"agent"`
	Method    string            `json:"method"`
	Dimension episode.Dimension `json:"dimension"`
	Scale     int               `json:"scale,omitempty"`
	Error     string            `json:"error"`
	Tries     []Try             `json:"tries,omitempty"`
	Usage     Usage             `json:"usage"`
}

// MarshalJSON writes the failure as one line of a file of failures.
func (f *Failure) MarshalJSON() ([]byte, error) {
	m := f.Method
	return json.Marshal(failureLine{f.EpisodeID, f.Agent, m.Name, m.Dimension, m.Scale, f.Err.Error(), f.Tries, f.Usage})
}

// UnmarshalJSON reads a line of a file of failures. Of Err only the text
// survives, and [ErrNoUsableReply].
func (f *Failure) UnmarshalJSON(text []byte) error {
	var l failureLine
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.EpisodeID == "" {
		return errors.New("not a failure: episode_id is missing")
	}
	*f = Failure{Key{l.EpisodeID, l.Agent, Method{l.Method, l.Dimension, l.Scale}}, l.Tries, l.Usage, errors.New(l.Error)}
	if l.Error == ErrNoUsableReply.Error() {
		f.Err = ErrNoUsableReply
	}
	return nil
}

// ReadFailures reads a file of failures that [Annotate] wrote, oldest first. A
// key stands in it once for each run that failed on it, also where a later run
// succeeded. A file that does not exist has none.
func ReadFailures(path string) iter.Seq2[*Failure, error] {
	return appendlog.Read[*Failure](path)
}
