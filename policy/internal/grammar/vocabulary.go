package grammar

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// Vocabulary is the tokens of a model as a trie of the bytes that they stand for. It
// never changes and may be shared.
type Vocabulary struct {
	nodes   []node
	bytes   [][]byte // by token; nil for tokens that stand for no text
	longest int      // bytes
}

// node is a place in the trie. Its children and tokens lie next to each other.
type node struct {
	children []edge
	tokens   []int32
}

type edge struct {
	c  byte
	to int32
}

// NewVocabulary returns the vocabulary of the tokens [0, n), whose bytes are given by
// a function: none for those that stand for no text, such as special ones.
func NewVocabulary(n int, text func(token int) []byte) *Vocabulary {
	v := &Vocabulary{bytes: make([][]byte, n)}
	order := make([]int32, 0, n)
	for t := range n {
		if b := text(t); len(b) > 0 {
			v.bytes[t] = b
			v.longest = max(v.longest, len(b))
			order = append(order, int32(t))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(slices.Compare(v.bytes[a], v.bytes[b]), cmp.Compare(a, b))
	})
	v.nodes = append(v.nodes, node{})
	v.build(0, 0, order)
	return v
}

// build makes the node at a depth from the tokens, in order, that lead through it.
func (v *Vocabulary) build(at, depth int, tokens []int32) {
	n := sort.Search(len(tokens), func(i int) bool { return len(v.bytes[tokens[i]]) > depth })
	v.nodes[at].tokens = tokens[:n]
	for tokens = tokens[n:]; len(tokens) > 0; {
		c := v.bytes[tokens[0]][depth]
		same := sort.Search(len(tokens), func(i int) bool { return v.bytes[tokens[i]][depth] > c })
		child := len(v.nodes)
		v.nodes = append(v.nodes, node{})
		v.nodes[at].children = append(v.nodes[at].children, edge{c, int32(child)})
		v.build(child, depth+1, tokens[:same])
		tokens = tokens[same:]
	}
}

// Bytes returns the bytes that a token stands for, or nil.
func (v *Vocabulary) Bytes(token int) []byte {
	if token < 0 || token >= len(v.bytes) {
		return nil
	}
	return v.bytes[token]
}

// child returns the node behind c, or -1.
func (n *node) child(c byte) int32 {
	at, ok := slices.BinarySearchFunc(n.children, c, func(e edge, c byte) int { return int(e.c) - int(c) })
	if !ok {
		return -1
	}
	return n.children[at].to
}

// never is a number of tokens that no budget reaches.
const never = math.MaxInt32

// Fewest returns the fewest tokens that spell a text, or a number that no budget
// reaches where none do.
func (v *Vocabulary) Fewest(text string) int {
	best := make([]int, len(text)+1)
	for i := len(text) - 1; i >= 0; i-- {
		best[i] = never
		at := int32(0)
		for j := i; j < len(text); j++ {
			if at = v.nodes[at].child(text[j]); at < 0 {
				break
			}
			if len(v.nodes[at].tokens) > 0 && best[j+1] != never {
				best[i] = min(best[i], 1+best[j+1])
			}
		}
	}
	return best[0]
}
