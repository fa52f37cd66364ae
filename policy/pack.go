package policy

import "fmt"

// Packed is one optimiser step's examples in as many forests as a budget of rows
// asks for.
type Packed struct {
	Forests []*Forest
	Rows    int // distinct tokens over all forests
	Flat    int // tokens that the examples would have unshared
	Targets int // log-probabilities over all forests
}

// Saving returns how many times more rows the unshared batch has: Flat / Rows.
func (p *Packed) Saving() float64 {
	if p.Rows == 0 {
		return 1
	}
	return float64(p.Flat) / float64(p.Rows)
}

// Pack distributes examples over forests of at most budget rows each (0: no bound),
// neighbours in the order of their tokens together, so that shared beginnings stay
// shared. An example longer than the budget is an error that names it: examples
// are never cut.
func Pack(examples []Example, budget int) (*Packed, error) {
	for i, e := range examples {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("policy: example %d: %w", i, err)
		}
		if n := len(e.inputs()); budget > 0 && n > budget {
			return nil, fmt.Errorf("policy: example %d has %d tokens, more than the budget of %d", i, n, budget)
		}
	}
	p := &Packed{}
	for _, group := range split(examples, budget) {
		p.add(examples, group)
	}
	return p, nil
}

func (p *Packed) add(examples []Example, group []int) {
	part := make([]Example, len(group))
	for i, at := range group {
		part[i] = examples[at]
	}
	f := buildForest(part, group)
	p.Forests = append(p.Forests, f)
	p.Rows += f.Rows()
	p.Flat += f.Flat()
	p.Targets += f.Targets()
}

// split cuts the sorted examples into runs whose tries fit the budget.
func split(examples []Example, budget int) [][]int {
	var groups [][]int
	var group []int
	var before []int
	rows := 0
	for _, at := range sortedByInputs(examples) {
		in := examples[at].inputs()
		more := len(in) - commonPrefix(before, in)
		if budget > 0 && len(group) > 0 && rows+more > budget {
			groups, group, rows, more = append(groups, group), nil, 0, len(in)
		}
		group, rows, before = append(group, at), rows+more, in
	}
	if len(group) > 0 {
		groups = append(groups, group)
	}
	return groups
}
