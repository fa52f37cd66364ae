package attribution

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fileseq"
	"github.com/socialrl/socialrl/internal/pyjson"
)

// ReadJSONL reads attributions, one a line, of this package and of either
// generation of the Python programs (see [Attribution.UnmarshalJSON]). Empty
// lines are skipped. A bad line yields a nil attribution and a
// [*episode.LineError]; the loop may go on. An error of r ends the sequence.
func ReadJSONL(r io.Reader) iter.Seq2[*Attribution, error] { return readLines("", r) }

// ReadFile is [ReadJSONL] on the named file, which is opened when the sequence
// is used and closed after it. Errors name the file.
func ReadFile(path string) iter.Seq2[*Attribution, error] {
	return fileseq.Of(path, func(r io.Reader) iter.Seq2[*Attribution, error] { return readLines(path, r) })
}

func readLines(name string, r io.Reader) iter.Seq2[*Attribution, error] {
	return func(yield func(*Attribution, error) bool) {
		lines := bufio.NewReader(r)
		for n := 1; ; n++ {
			text, err := lines.ReadBytes('\n')
			if err != nil && err != io.EOF {
				yield(nil, &episode.LineError{File: name, Line: n, Err: err})
				return
			}
			if text := bytes.TrimSpace(text); len(text) > 0 && !yieldLine(yield, name, n, text) || err == io.EOF {
				return
			}
		}
	}
}

func yieldLine(yield func(*Attribution, error) bool, name string, n int, text []byte) bool {
	a := new(Attribution)
	if err := json.Unmarshal(text, a); err != nil {
		return yield(nil, &episode.LineError{File: name, Line: n, Err: err})
	}
	return yield(a, nil)
}

// olderScale is the scale of the attributions in older logs.
const olderScale = 10

// UnmarshalJSON reads a line of a file. Beside this package's own lines it takes
//
//   - lines of the Python programs, which have attributed_utterances only: an
//     object or a number (the reward) in second place, 0 for unscored. Where a
//     line has numbers only and one of the agent's is not 0, all of the agent's
//     are rewards, except for a 0 on the first utterance of the first speaker,
//     which goal_progress leaves out. Method.Name is "" there, since they do not
//     tell, Scale 0 where they do not tell either, and Dimension goal.
//   - older logs, which have rewarded_utterances with attributions of 0..10 (-1:
//     masked) in second place and sometimes labels by people in third. Their
//     Method is {"", goal, 10}, and rewards are a/10 * score.
//
// Utterances of such lines get their indices from their keys, and turn -1.
func (a *Attribution) UnmarshalJSON(text []byte) error {
	var l struct {
		line
		Rewarded json.RawMessage `json:"rewarded_utterances"`
		OldScore *float64        `json:"score"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.EpisodeID == "" || l.Agent == "" {
		return errors.New("not an attribution: episode_id or agent is missing")
	}
	*a = Attribution{
		Key:      Key{l.EpisodeID, l.Agent, Method{l.Method, orGoal(episode.Dimension(l.Dimension)), l.Scale}},
		Scenario: l.Scenario, Goal: l.Goal, FirstSpeaker: l.FirstSpeaker,
		GoalScore: number(l.GoalScore), Score: number(l.Score),
	}
	if l.Usage != nil {
		a.Usage = *l.Usage
	}
	switch {
	case l.Credits != nil:
		return a.readCredits(l.Credits)
	case l.Attributed != nil:
		return a.readAttributed(l.Attributed)
	case l.Rewarded != nil:
		if l.OldScore != nil {
			a.GoalScore = *l.OldScore
		}
		a.Score, a.Method.Scale = a.GoalScore, olderScale
		return a.readMap("rewarded_utterances", l.Rewarded, a.olderCredit)
	}
	return errors.New("not an attribution: no utterances, attributed_utterances or rewarded_utterances")
}

func number(v *pyjson.Float) float64 {
	if v == nil {
		return math.NaN()
	}
	return float64(*v)
}

// readCredits reads the list of utterances of this package's own lines.
func (a *Attribution) readCredits(lines []creditLine) error {
	for _, l := range lines {
		c := Credit{Index: l.Index, Turn: l.Turn, Speaker: l.Speaker, Text: l.Text, Human: l.Human, StdErr: l.StdErr}
		if l.Reward != nil {
			c.Reward, c.State = float64(*l.Reward), RewardOnly
		}
		if l.Attribution != nil {
			if l.Reward == nil {
				return fmt.Errorf("utterances: %d has an attribution and no reward", l.Index)
			}
			c.setAttribution(*l.Attribution)
		}
		a.Credits = append(a.Credits, c)
	}
	return nil
}

func (c *Credit) setAttribution(v float64) {
	c.Attribution, c.State = v, Scored
	if v == Masked {
		c.State = MaskedOut
	}
}

// readMap reads the utterances of a JSON object by key; second fills the credit
// from the elements after the text.
func (a *Attribution) readMap(name string, text []byte, second func(c *Credit, rest []any) error) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	value, err := decodeValue(dec)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	entries, ok := value.(object)
	if !ok {
		return fmt.Errorf("%s is not an object", name)
	}
	previous := -1
	for _, e := range entries {
		c, rest, err := readEntry(e, previous)
		if err == nil {
			err = second(&c, rest)
		}
		if err != nil {
			return fmt.Errorf("%s: %.100q: %w", name, e.key, err)
		}
		previous = c.Index
		a.Credits = append(a.Credits, c)
	}
	return nil
}

// readEntry reads "Utterance k by NAME": [text, ...], which follows the utterance
// of the given index.
func readEntry(e field, previous int) (c Credit, rest []any, err error) {
	list, ok := e.value.([]any)
	if !ok || len(list) < 2 {
		return c, nil, errors.New("want [text, number or object, ...]")
	}
	text, ok := list[0].(string)
	if !ok {
		return c, nil, errors.New("first element is not a text")
	}
	k, name, ok := strings.Cut(strings.TrimPrefix(e.key, "Utterance "), " by ")
	half, convErr := strconv.Atoi(k)
	if !ok || convErr != nil || half < 0 {
		return c, nil, errors.New(`key is not of the form "Utterance k by NAME"`)
	}
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(text, name), ":"))
	return Credit{Index: max(previous+1, 2*half), Turn: -1, Speaker: name, Text: text}, list[1:], nil
}

// olderCredit reads an attribution and people's labels, as older logs have them.
func (a *Attribution) olderCredit(c *Credit, rest []any) error {
	v, err := asNumber(rest[0])
	if err != nil {
		return err
	}
	if v != Masked && !(v >= 0 && v <= olderScale) {
		return fmt.Errorf("attribution %v is outside 0..%d", v, olderScale)
	}
	if c.Speaker == a.Agent {
		c.setAttribution(v)
		c.Reward = ScaledReward(v, olderScale, a.Score)
	}
	return c.readHuman(rest[1:])
}

// readHuman reads {timestamp: score} where it is there.
func (c *Credit) readHuman(rest []any) error {
	if len(rest) == 0 {
		return nil
	}
	labels, ok := rest[0].(object)
	if !ok {
		return errors.New("third element is not an object of labels by time")
	}
	c.Human = make(map[string]float64, len(labels))
	for _, l := range labels {
		v, err := asNumber(l.value)
		if err != nil {
			return fmt.Errorf("label of %.40q: %w", l.key, err)
		}
		c.Human[l.key] = v
	}
	return nil
}

func asNumber(v any) (float64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	return n.Float64()
}
