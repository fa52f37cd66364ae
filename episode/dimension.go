package episode

import (
	"fmt"
	"strings"
)

// Dimension is one of the aspects in which an episode is judged. The seven
// constants are those of SOTOPIA-EVAL (Zhou et al. 2024, section 3); any other
// name is a custom dimension.
type Dimension string

// The seven dimensions of SOTOPIA-EVAL, and what is derived from them.
const (
	Believability Dimension = "believability"                   // 0..10, BEL
	Relationship  Dimension = "relationship"                    // -5..5, REL
	Knowledge     Dimension = "knowledge"                       // 0..10, KNO
	Secret        Dimension = "secret"                          // -10..0, SEC
	SocialRules   Dimension = "social_rules"                    // -10..0, SOC
	Financial     Dimension = "financial_and_material_benefits" // -5..5, FIN
	Goal          Dimension = "goal"                            // 0..10, GOAL

	// Overall is the mean of the seven.
	Overall Dimension = "overall_score"

	// ConversationBehavior is judged per utterance only. It has no episode
	// score; [Episode.Score] gives 10 for it.
	ConversationBehavior Dimension = "conversation_behavior"
	// GoalBarebone is [Goal] under a shorter description; it has goal's score.
	GoalBarebone Dimension = "goal_barebone"
)

type dimensionInfo struct {
	abbreviation string
	min, max     float64
}

var dimensionInfos = map[Dimension]dimensionInfo{
	Believability:        {"BEL", 0, 10},
	Relationship:         {"REL", -5, 5},
	Knowledge:            {"KNO", 0, 10},
	Secret:               {"SEC", -10, 0},
	SocialRules:          {"SOC", -10, 0},
	Financial:            {"FIN", -5, 5},
	Goal:                 {"GOAL", 0, 10},
	Overall:              {"OVERALL", -30.0 / 7, 50.0 / 7},
	ConversationBehavior: {"CONV", 0, 10},
	GoalBarebone:         {"GOAL", 0, 10},
}

// Dimensions returns the seven dimensions of SOTOPIA-EVAL in their usual order.
func Dimensions() []Dimension {
	return []Dimension{Believability, Relationship, Knowledge, Secret, SocialRules, Financial, Goal}
}

// Range returns the lowest and the highest score of the dimension, both
// included. For [Overall] these are the means of the seven limits. ok is false
// for a custom dimension, whose range the library does not know.
func (d Dimension) Range() (lo, hi float64, ok bool) {
	info, ok := dimensionInfos[d]
	return info.min, info.max, ok
}

// Abbreviation returns the short name used in tables, such as GOAL or REL. A
// custom dimension is its own abbreviation.
func (d Dimension) Abbreviation() string {
	if info, ok := dimensionInfos[d]; ok {
		return info.abbreviation
	}
	return string(d)
}

// Known reports whether d is one of the constants of this package.
func (d Dimension) Known() bool {
	_, ok := dimensionInfos[d]
	return ok
}

// Check returns an error where score lies outside the range of d. Every score
// of a custom dimension passes.
func (d Dimension) Check(score float64) error {
	lo, hi, ok := d.Range()
	if ok && !(lo <= score && score <= hi) {
		return fmt.Errorf("%s is %v, outside %v..%v", d, score, lo, hi)
	}
	return nil
}

// ParseDimension returns the dimension with the given name or abbreviation of
// one of the seven ("goal", "GOAL", "rel"), of overall_score,
// conversation_behavior or goal_barebone.
func ParseDimension(name string) (Dimension, error) {
	if d := Dimension(name); d.Known() {
		return d, nil
	}
	for _, d := range append(Dimensions(), Overall, ConversationBehavior) {
		if strings.EqualFold(name, string(d)) || strings.EqualFold(name, d.Abbreviation()) {
			return d, nil
		}
	}
	return "", fmt.Errorf("episode: no dimension is called %q (known: %v, %s, %s, %s)",
		name, Dimensions(), Overall, ConversationBehavior, GoalBarebone)
}
