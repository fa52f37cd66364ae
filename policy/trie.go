package policy

import "slices"

// twig is a run of tokens of a session's trie: a piece of a prompt that several
// sequences may share, or the reply of one sequence.
type twig struct {
	parent   *twig
	children []*twig
	tokens   []int32
	kv       int         // first row in the cache
	room     int         // rows that belong to it
	reply    bool        // the reply of one sequence: it grows and is not shared
	done     int         // tokens whose keys and values are in the cache
	ends     []*sequence // sequences whose last token is the run's last
	keeps    int         // how many hold the run, and all above it, beyond their sequences
}

// insert finds or makes the path of a prompt below t and returns the twig that ends
// with it. A run that the prompt leaves midway is cut there.
func (t *twig) insert(tokens []int32, c *cache) *twig {
	for len(tokens) > 0 {
		child, n := t.childSharing(tokens)
		if child == nil {
			return t.grow(tokens, len(tokens), c)
		}
		if n < len(child.tokens) {
			child = child.cut(n)
		}
		t, tokens = child, tokens[n:]
	}
	t.done = min(t.done, len(t.tokens)-1) // the last row is computed again: its output is needed
	return t
}

// childSharing returns the prompt twig below t that begins like tokens, and how many
// tokens they share. Replies are never shared: they grow.
func (t *twig) childSharing(tokens []int32) (*twig, int) {
	for _, c := range t.children {
		if c.reply || c.tokens[0] != tokens[0] {
			continue
		}
		n := 1
		for n < min(len(c.tokens), len(tokens)) && c.tokens[n] == tokens[n] {
			n++
		}
		return c, n
	}
	return nil, 0
}

// grow adds a twig below t with room for a number of rows.
func (t *twig) grow(tokens []int32, room int, c *cache) *twig {
	child := &twig{parent: t, tokens: slices.Clone(tokens), kv: c.take(room), room: room}
	t.children = append(t.children, child)
	return child
}

// cut divides t after n tokens and returns the upper part. Its rows stay where they
// are.
func (t *twig) cut(n int) *twig {
	upper := &twig{parent: t.parent, children: []*twig{t}, tokens: slices.Clip(t.tokens[:n]),
		kv: t.kv, room: n, done: min(n, t.done)}
	t.parent.children[slices.Index(t.parent.children, t)] = upper
	t.parent, t.tokens, t.kv = upper, t.tokens[n:], t.kv+n
	t.room, t.done = t.room-n, max(0, t.done-n)
	return upper
}

// prune removes t and its ancestors as far as nobody needs them.
func (t *twig) prune(c *cache) {
	for t.parent != nil && len(t.children) == 0 && len(t.ends) == 0 && t.keeps == 0 {
		c.give(t.kv, t.room)
		at := slices.Index(t.parent.children, t)
		t.parent.children = slices.Delete(t.parent.children, at, at+1)
		t = t.parent
	}
}
