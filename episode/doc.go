// Package episode holds dialogues between two agents, as SOTOPIA plays them,
// and what is made of them.
package episode
