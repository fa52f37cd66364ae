package world

// Bounds of the partner's mood, and the moods that open it up.
const (
	worstMood = -2 // it leaves
	openMood  = 1  // it says what it hides
	bestMood  = 2  // it agrees wholeheartedly
)

// Event is what a move of the learner brought about.
type Event int

// The events.
const (
	Nothing     Event = iota // no move, or one that did not count
	Confused                 // the words were no move of this situation
	Opened                   // what had to be said first was said
	TooEarly                 // it was not, and the partner waits for it
	Revealed                 // the partner said what it hides
	Evaded                   // the partner was asked, and did not open up
	Agreed                   // there is an agreement
	Refused                  // the offer did not fit
	Repeated                 // it had been said before
	Offended                 // the learner pushed
	Premature                // thanks without an agreement
	Reopened                 // on and on after the agreement
	Parted                   // thanks after the agreement
	LearnerLeft              // the learner walked out
)

// state is what has happened so far between the two. It is a pure function of
// the case and of the learner's moves, so that the partner keeps one while it
// plays and the judge makes its own from the transcript.
type state struct {
	c        Case
	mood     int
	opened   bool // what has to be said first has been said, or nothing has to
	known    bool // the partner has said what it hides
	agreed   bool
	quality  float64 // of the agreement for the learner, 0..1
	reopened int     // moves after the agreement that were no thanks
	pushes   int
	parted   bool // with thanks
	over     bool // the partner leaves
	turns    int  // of the learner
	events   []Event
	moods    []int // after each event
}

func newState(c Case) *state {
	s := &state{c: c, known: c.Told, opened: !c.Scenario.Kind.needsOpening(), mood: int(b2f(c.Told))}
	if c.Scenario.Kind == Apology {
		s.mood = -1
	}
	return s
}

// patience is the number of the learner's turns that the partner sits through.
func (s *state) patience() int {
	if s.c.Scenario.Kind.needsOpening() {
		return 6
	}
	return 5
}

// hear takes in what the learner did in its turn. ok is false for words that
// are no move.
func (s *state) hear(m Move, ok bool) Event {
	s.turns++
	e := Confused
	if ok {
		s.warm(s.c.Partner.Temper.effect(m.Tone))
		e = s.act(m)
	}
	s.over = s.over || s.mood <= worstMood || s.turns >= s.patience()
	s.note(e)
	return e
}

// pass takes in a turn in which the learner said nothing.
func (s *state) pass() {
	s.turns++
	s.over = s.turns >= s.patience()
	s.note(Nothing)
}

// leave takes in that the learner walked out.
func (s *state) leave() {
	s.over = true
	s.note(LearnerLeft)
}

func (s *state) note(e Event) {
	s.events = append(s.events, e)
	s.moods = append(s.moods, s.mood)
}

func (s *state) warm(by int) { s.mood = min(s.mood+by, bestMood) }

func (s *state) act(m Move) Event {
	switch {
	case s.agreed && m.Act == Close:
		s.parted, s.over = true, true
		return Parted
	case s.agreed:
		s.reopened++
		s.warm(-1)
		return Reopened
	case m.Act == Push:
		s.pushes++
		s.warm(-1)
		return Offended
	case m.Act == Close:
		s.warm(-1)
		return Premature
	case m.Act == Open:
		return s.open()
	case !s.opened:
		return TooEarly
	case m.Act == Ask:
		return s.ask()
	}
	return s.offer(m.Option)
}

func (s *state) open() Event {
	if s.opened {
		s.warm(-1)
		return Repeated
	}
	s.opened = true
	if s.c.Scenario.Kind == Apology {
		s.warm(1)
	}
	return Opened
}

func (s *state) ask() Event {
	switch {
	case s.known:
		s.warm(-1)
		return Repeated
	case s.mood < openMood:
		return Evaded
	}
	s.known = true
	return Revealed
}

func (s *state) offer(option int) Event {
	if quality := s.worth(option); quality >= 0 {
		s.agreed, s.quality = true, quality
		return Agreed
	}
	s.warm(-1)
	return Refused
}

// worth returns what an agreement on the option is worth to the learner, 0..1,
// or a negative number where the partner refuses. The better the mood, the
// better the agreement: a partner in a bad mood agrees to nothing.
func (s *state) worth(option int) float64 {
	share := s.share(option)
	if s.mood < 0 || share < 0 {
		return -1
	}
	return [...]float64{0.5, 0.75, 1}[s.mood] * share
}

// share is how much of what could be gained lies in the option: all or nothing
// of what the partner hides, or, of a price, the part between what is worth
// nothing to the learner and the partner's limit. It is negative for what the
// partner does not want.
func (s *state) share(option int) float64 {
	if !s.c.Scenario.Kind.priced() {
		return b2f(option == s.c.Fact) - b2f(option != s.c.Fact)
	}
	sign, nothing := s.c.Scenario.sign(), s.c.Scenario.Limit-1
	if sign*(option-s.c.Fact) > 0 {
		return -1
	}
	return max(0, float64(option-nothing)/float64(s.c.Fact-nothing))
}
