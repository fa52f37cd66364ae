// Package world is a miniature social world: small enough that a model of a
// few hundred thousand parameters learns to live in it within a minute, and
// complete enough that every stage of the method has real work to do.
//
// # The game
//
// A [Scenario] is one situation of one [Kind] (selling, buying, asking a
// favour, finding a day, comforting, apologising, trading news) with a private
// goal for either side. A [Case] is a scenario played once: it draws, from a
// seed, two characters, who speaks first, and what the partner hides (a highest
// price, a worry, the only day that suits).
//
// The learner speaks in moves: a tone and an act, such as
//
//	With patience, what holds you back?
//
// The right tone depends on the partner's temper, which the learner is told.
// The right act depends on what was said: ask before you offer, offer what fits
// the answer, apologise before anything else, say thanks when there is an
// agreement, and stop. No single reply is good twice. The scripted [Partner]
// warms or cools with every move, opens up only when treated well, agrees
// wholly, partly or not at all, and leaves when it has had enough. The [Judge]
// scores goal (0..10), relationship (-5..5) and knowledge (0..10) of both sides
// by rule, with reasons.
//
// # Use
//
//	train, heldOut := world.Split(world.Scenarios(), seed)
//	cases := world.Cases(train, 8, seed)
//	episodes, err := world.Play(ctx, cases, world.Noisy(seed))
//	items, err := episodes[0].Items(cases[0].Learner.Name, world.Template())
//	credit := attribution.Evidence{Dimension: episode.Goal, Func: world.Evidence(episode.Goal)}
//	...
//	scores, err := world.Evaluate(ctx, world.Cases(heldOut, 2, seed), world.Best())
//
// A model plays through [Replies], one prompt at a time, or [Lockstep], which
// asks for the replies of all running episodes together. [Tokenizer] is made for
// the words of this world.
//
// Everything is a pure function of its arguments, seeds included. Functions may
// be called from several goroutines; a [Partner] plays one episode.
package world
