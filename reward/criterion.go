package reward

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/socialrl/socialrl/episode"
)

// Criterion is one dimension as a [Judge] is asked for it.
type Criterion struct {
	Dimension episode.Dimension // name under which the score is stored; not overall_score

	// Description tells the judge what is scored and what low and high scores
	// mean. "" is the library's own text, which the seven dimensions of
	// SOTOPIA-EVAL have; any other dimension needs one.
	Description string

	// Min and Max are the lowest and the highest score, both included. Both 0
	// stand for the range that the dimension has in SOTOPIA-EVAL.
	Min, Max float64

	Fractions bool // whether a score need not be a whole number
}

// SotopiaEval returns the seven criteria of SOTOPIA-EVAL (Zhou et al. 2024,
// section 3), descriptions and ranges filled in: believability, knowledge and goal
// from 0 to 10, relationship and financial_and_material_benefits from -5 to 5,
// secret and social_rules from -10 to 0.
func SotopiaEval() []Criterion {
	var all []Criterion
	for _, d := range episode.Dimensions() {
		all = append(all, Criterion{Dimension: d}.withDefaults())
	}
	return all
}

// judged says what each dimension of SOTOPIA-EVAL is about.
var judged = map[episode.Dimension]string{
	episode.Believability: "Does this agent come across as a real person? Look at two things: whether the talk is natural " +
		"(no repetition, no reading out of the task, no excess of politeness, no speaking for the other), and whether words and deeds " +
		"fit the agent's character, background and goal. 0 is not believable at all, 10 could not be told from a person.",
	episode.Relationship: "Compare what ties the two before and after. Did the conversation keep, improve or damage the relationship, " +
		"and this agent's standing with others? Negative is damage, 0 is no change, positive is improvement; " +
		"5 and -5 are for lasting, decisive change.",
	episode.Knowledge: "What did this agent learn that is new, true and of use to it? What it knew before does not count. " +
		"0 is nothing, 10 is a wealth of important information.",
	episode.Secret: "What does the background say that this agent would rather keep hidden? " +
		"0 where nothing of it came out, or where there is no secret; lower the more was given away, and to -10 for the whole of it.",
	episode.SocialRules: "Did this agent break a law or a rule of decent behaviour? " +
		"0 where it did not; small breaches cost a little, serious ones much, to -10 for a crime.",
	episode.Financial: "What did this agent gain or lose in money, goods, work or other material things, now or in the time to come, " +
		"through this conversation? Negative is loss, 0 is neither, positive is gain.",
	episode.Goal: "State this agent's private goal to yourself, the extra information included, then judge how much of it was reached " +
		"by the end. Effort is not reached goal. 0 is none of it, 10 is all.",
}

// withDefaults fills in what the library knows of the dimension.
func (c Criterion) withDefaults() Criterion {
	if c.Description == "" {
		c.Description = judged[c.Dimension]
	}
	if lo, hi, ok := c.Dimension.Range(); ok && c.Min == 0 && c.Max == 0 {
		c.Min, c.Max = lo, hi
	}
	return c
}

// check returns an error where the criterion cannot be asked for.
func (c Criterion) check() error {
	whole := c.Min == math.Trunc(c.Min) && c.Max == math.Trunc(c.Max)
	switch {
	case c.Dimension == "":
		return errors.New("reward: a criterion has no dimension")
	case c.Dimension == episode.Overall:
		return fmt.Errorf("reward: %s is computed from the other dimensions and not asked for", episode.Overall)
	case c.Description == "":
		return fmt.Errorf("reward: criterion %q needs a Description", c.Dimension)
	case !(c.Min < c.Max) || math.IsInf(c.Min, 0) || math.IsInf(c.Max, 0):
		return fmt.Errorf("reward: criterion %q has the range %v..%v", c.Dimension, c.Min, c.Max)
	case !whole && !c.Fractions:
		return fmt.Errorf("reward: criterion %q has the range %v..%v and no fractions", c.Dimension, c.Min, c.Max)
	}
	return nil
}

// accept returns an error where v is not a score of the criterion.
func (c Criterion) accept(v float64) error {
	switch {
	case !(c.Min <= v && v <= c.Max):
		return fmt.Errorf("score %v is outside %v..%v", v, c.Min, c.Max)
	case !c.Fractions && v != math.Trunc(v):
		return fmt.Errorf("score %v is not a whole number", v)
	}
	return nil
}

// span says in words what scores are allowed.
func (c Criterion) span() string {
	kind := "whole number"
	if c.Fractions {
		kind = "number"
	}
	return fmt.Sprintf("%s from %s to %s", kind, number(c.Min), number(c.Max))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// criteria completes and checks a judge's list; an empty one is SOTOPIA-EVAL.
func criteria(list []Criterion) ([]Criterion, error) {
	if len(list) == 0 {
		return SotopiaEval(), nil
	}
	seen := map[episode.Dimension]bool{}
	var out []Criterion
	for _, c := range list {
		c = c.withDefaults()
		if err := c.check(); err != nil {
			return nil, err
		}
		if seen[c.Dimension] {
			return nil, fmt.Errorf("reward: criterion %q stands in the list twice", c.Dimension)
		}
		seen[c.Dimension] = true
		out = append(out, c)
	}
	return out, nil
}
