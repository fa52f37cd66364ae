package reward

import (
	"fmt"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Reasons returns the judge's reasons for an agent's scores, by dimension, as they
// stand in the reasoning of an episode; seat is 0 for the first speaker, 1 for the
// second. Dimensions without a reason are left out.
func Reasons(e *episode.Episode, seat int) map[episode.Dimension]string {
	_, text, _ := strings.Cut("\n"+e.Reasoning, fmt.Sprintf("\nAgent %d comments:\n", seat+1))
	text, _, _ = strings.Cut(text, fmt.Sprintf("\nAgent %d comments:\n", seat+2))
	out := map[episode.Dimension]string{}
	names := e.Agents()
	if seat < 0 || seat >= len(names) {
		return out
	}
	r, _ := e.Reward(names[seat]) // without a verdict there are no reasons
	current := episode.Dimension("")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if d, reason, ok := opensReason(line, r.Scores); ok {
			current, out[d] = d, reason
		} else if current != "" {
			out[current] += "\n" + line
		}
	}
	return out
}

// opensReason reads "dimension: reason".
func opensReason(line string, scores []episode.DimensionScore) (episode.Dimension, string, bool) {
	for _, s := range scores {
		if reason, ok := strings.CutPrefix(line, string(s.Dimension)+":"); ok {
			return s.Dimension, strings.TrimSpace(reason), true
		}
	}
	return "", "", false
}
