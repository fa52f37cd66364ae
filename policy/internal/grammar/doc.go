// Package grammar says which bytes may come next in a text that has to fit a JSON
// schema, and which tokens of a vocabulary spell them.
//
// A grammar is a term: classes of bytes, one term after another, one of several, a
// term repeated, a reference to a named term. What remains of a term after a byte is
// its derivative (Brzozowski, Derivatives of regular expressions, 1964). Equal terms
// are one object, so that derivatives are states of an automaton that is built as it
// is visited; the chain of what is still to come is the automaton's stack, and
// references make it a pushdown automaton.
//
// Each term knows its completion: the shortest text that ends it, the first in
// alphabetical order among those. The completion after a byte of the completion is
// the rest of it. So a text that is continued by the tokens that spell its completion
// gets shorter by one token each time, which is what lets a budget of tokens be kept
// exactly.
package grammar
