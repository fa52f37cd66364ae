// Package arena holds what the programs that play episodes share: who plays, as
// flags name them, what is played, where it is kept, and who judges.
//
//	var s arena.Settings
//	s.Define(fs)                      // and parse
//	a, err := s.Open(ctx)             // profiles, models, store, judge
//	defer a.Close()
//	results, err := a.Play(ctx, matches, progress)
//
// A player is named
//
//	local            the model of -model
//	local:DIR        the same with the adapter in DIR
//	gpt-4o           a model of the default endpoint
//	custom/NAME@URL  a model of another endpoint
//	human            a person at the terminal, one episode at a time
//
// with bestN: before it for the best of N replies by the reward model of
// -reward-model, and NAME= before that for the name that it has in stores and
// tables.
package arena
