package episode

import "strconv"

// Order says which agents act in a turn.
type Order int

const (
	// RoundRobin has the agents act in turn, the first speaker on even turns.
	RoundRobin Order = iota
	// Simultaneous has both act in every turn, neither knowing what the other does
	// in it. They are asked at the same time, so the agents must be safe for
	// concurrent use if they share anything.
	Simultaneous
	// RandomOrder has one of the two act in each turn, drawn from a seed.
	RandomOrder
)

var orderNames = [...]string{"round-robin", "simultaneous", "random"}

// String returns the name of the order: round-robin, simultaneous or random.
func (o Order) String() string {
	if o < 0 || int(o) >= len(orderNames) {
		return "order " + strconv.Itoa(int(o))
	}
	return orderNames[o]
}

// Orders returns the orders.
func Orders() []Order { return []Order{RoundRobin, Simultaneous, RandomOrder} }

// seats returns the seats that act in a turn.
func (o Order) seats(id string, turn int, seed uint64) []int {
	switch o {
	case Simultaneous:
		return []int{0, 1}
	case RandomOrder:
		return []int{int(hash64("order", strconv.FormatUint(seed, 10), id, strconv.Itoa(turn)) & 1)}
	}
	return []int{turn % 2}
}
