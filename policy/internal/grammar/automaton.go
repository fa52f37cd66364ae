package grammar

// Automaton is a grammar's term over a vocabulary. It is built as it is visited and
// keeps what it has found, a mask of tokens for each state. It belongs to one
// goroutine at a time.
type Automaton struct {
	g      *Grammar
	v      *Vocabulary
	start  *Term
	states map[*Term]*masks
	fewest map[*Term]int
	words  int // of all masks
}

// masks are the tokens that may come next in a state.
type masks struct {
	all  []uint64         // whatever the budget
	need int              // tokens that close after the most demanding of them
	few  map[int][]uint64 // by what is left, where that is less than need
}

// NewAutomaton returns the automaton of a term of g.
func NewAutomaton(g *Grammar, start *Term, v *Vocabulary) *Automaton {
	return &Automaton{g: g, v: v, start: start, states: map[*Term]*masks{}, fewest: map[*Term]int{}}
}

// Size returns the bytes that have been kept, roughly.
func (a *Automaton) Size() int {
	const term = 512 // with a part of a table of derivatives
	return 8*a.words + term*a.g.Len()
}

// Start returns the state before the first byte.
func (a *Automaton) Start() *Term { return a.start }

// Fewest returns the number of tokens that spell the completion of a state.
func (a *Automaton) Fewest(t *Term) int {
	n, ok := a.fewest[t]
	if !ok {
		n = never
		if text, ok := t.Completion(); ok {
			n = a.v.Fewest(text)
		}
		a.fewest[t] = n
	}
	return n
}

// Next returns the state after a token, nil where the token may not come.
func (a *Automaton) Next(t *Term, token int) *Term {
	text := a.v.Bytes(token)
	if text == nil {
		return nil
	}
	for _, c := range text {
		t = a.g.Next(t, c)
	}
	return t
}

// Mask returns the tokens that may come next where the text has to be complete at
// most left tokens after that: bit v%64 of word v/64 stands for token v. The mask must
// not be changed. Where left is at least Fewest(t) - 1 and t is not final, some token
// may come.
func (a *Automaton) Mask(t *Term, left int) []uint64 {
	t = a.g.Clip(t, a.v.longest)
	m := a.states[t]
	if m == nil {
		m = &masks{need: -1}
		a.states[t] = m
		m.all = a.walk(t, never-1, &m.need)
	}
	if left >= m.need {
		return m.all
	}
	mask := m.few[left]
	if mask == nil {
		if m.few == nil {
			m.few = map[int][]uint64{}
		}
		need := 0
		mask = a.walk(t, left, &need)
		m.few[left] = mask
	}
	return mask
}

// walk goes through the vocabulary and the automaton at once and takes the tokens
// behind which at most left tokens close. It raises need to the most of them.
func (a *Automaton) walk(t *Term, left int, need *int) []uint64 {
	w := walker{a, make([]uint64, (len(a.v.bytes)+63)/64), left, need}
	w.visit(0, t)
	a.words += len(w.mask)
	return w.mask
}

type walker struct {
	*Automaton
	mask []uint64
	left int
	need *int
}

func (w *walker) visit(at int32, t *Term) {
	n := &w.v.nodes[at]
	if len(n.tokens) > 0 {
		if close := w.Fewest(t); close <= w.left {
			*w.need = max(*w.need, close)
			for _, v := range n.tokens {
				w.mask[v/64] |= 1 << (v % 64)
			}
		}
	}
	for _, e := range n.children {
		if next := w.g.Next(t, e.c); next != nil {
			w.visit(e.to, next)
		}
	}
}
