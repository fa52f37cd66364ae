package world

import "strconv"

// Kind is a kind of situation. It fixes what can be said and what counts.
type Kind int

// The kinds. What the partner hides stands in brackets.
const (
	Sell     Kind = iota // the learner sells [the most that the partner pays]
	Buy                  // the learner buys [the least that the partner takes]
	Favour               // the learner needs a favour [the partner's worry]
	Meet                 // the two look for a day [the only day that suits the partner]
	Comfort              // the partner is upset [the partner's feeling]
	Apology              // the learner did wrong [what the partner wants]
	Exchange             // the two trade news [what the partner wants to know]
	kinds
)

// Kinds returns all kinds.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String returns the name of the kind.
func (k Kind) String() string { return kindTable[k].name }

// option is one thing that a partner can hide, and the offer that fits it.
type option struct {
	fact  string // the partner's words when it opens up
	offer string // the learner's words that meet it
}

// kindInfo holds the words of a kind. Acts are all about equally long, so that
// nothing is gained by saying more.
type kindInfo struct {
	name    string
	open    string // what has to be said first; "" where nothing has
	first   string // the partner's words when it was not said first
	ask     string
	push    string // the rude way
	close   string // after an agreement
	options []option
}

// needsOpening reports whether the kind begins with an act of its own.
func (k Kind) needsOpening() bool { return kindTable[k].open != "" }

// priced reports whether offers are sums of money.
func (k Kind) priced() bool { return k == Sell || k == Buy }

// maxPrice is the highest price that can be named; the lowest is 1, and prices
// are whole coins, so that the option with index i is the price i+1.
const maxPrice = 9

// The days are the options of [Meet], in this order.
var dayNames = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}

var kindTable = [kinds]kindInfo{
	Sell: {
		name: "sell", ask: "what could you pay?", push: "just take it now.", close: "thank you, it is yours.",
		options: prices("I could pay ", ".", "I ask ", " for it."),
	},
	Buy: {
		name: "buy", ask: "what must it cost?", push: "just sell it now.", close: "thank you, I take it.",
		options: prices("I could take ", ".", "I give ", " for it."),
	},
	Favour: {
		name: "favour", ask: "what holds you back?", push: "you owe me this.", close: "thank you, you help me.",
		options: []option{
			{"I worry about time.", "I will mind the time."},
			{"I worry about cost.", "I will mind the cost."},
			{"I worry about mess.", "I will mind the mess."},
			{"I worry about noise.", "I will mind the noise."},
		},
	},
	Meet: {
		name: "meet", ask: "which day suits you?", push: "just make some time.", close: "thank you, see you then.",
		options: days("Only ", " suits me.", "let us meet on ", "."),
	},
	Comfort: {
		name: "comfort", ask: "how does it feel?", push: "just get over it.", close: "thank you for telling me.",
		options: []option{
			{"I feel guilt.", "I can understand the guilt."},
			{"I feel shame.", "I can understand the shame."},
			{"I feel fear.", "I can understand the fear."},
			{"I feel anger.", "I can understand the anger."},
		},
	},
	Apology: {
		name: "apology", open: "I am sorry for it.", first: "First say sorry.",
		ask: "what would mend it?", push: "it was not so bad.", close: "thank you for your trust.",
		options: []option{
			{"I want a promise.", "I owe you a promise."},
			{"I want a reason.", "I owe you a reason."},
			{"I want a repair.", "I owe you a repair."},
			{"I want a visit.", "I owe you a visit."},
		},
	},
	Exchange: {
		name: "exchange", open: "let me share mine first.", first: "You go first.",
		ask: "what is your question?", push: "just tell me all now.", close: "thank you, now we know.",
		options: []option{
			{"I wonder where.", "I can tell you where."},
			{"I wonder when.", "I can tell you when."},
			{"I wonder who.", "I can tell you who."},
			{"I wonder why.", "I can tell you why."},
		},
	},
}

// prices makes one option per price.
func prices(factBefore, factAfter, offerBefore, offerAfter string) []option {
	var names []string
	for p := 1; p <= maxPrice; p++ {
		names = append(names, strconv.Itoa(p))
	}
	return filled(names, factBefore, factAfter, offerBefore, offerAfter)
}

// days makes one option per day.
func days(factBefore, factAfter, offerBefore, offerAfter string) []option {
	return filled(dayNames, factBefore, factAfter, offerBefore, offerAfter)
}

func filled(names []string, factBefore, factAfter, offerBefore, offerAfter string) []option {
	options := make([]option, len(names))
	for i, name := range names {
		options[i] = option{factBefore + name + factAfter, offerBefore + name + offerAfter}
	}
	return options
}
