package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// matcher finds added tokens in a text: the leftmost, and of those the longest.
type matcher struct {
	nodes []trieNode
	first [256]bool // bytes that a token begins with
}

type trieNode struct {
	next  map[byte]int32
	token *addedToken // that ends here, or nil
}

// newMatcher makes a matcher, or nil where there are no tokens.
func newMatcher(tokens []addedToken, form normalizer) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{nodes: make([]trieNode, 1)}
	for i := range tokens {
		if content := form(tokens[i].Content); content != "" {
			m.add(content, &tokens[i])
		}
	}
	return m
}

func (m *matcher) add(content string, token *addedToken) {
	m.first[content[0]] = true
	at := int32(0)
	for i := range len(content) {
		next, ok := m.nodes[at].next[content[i]]
		if !ok {
			next = int32(len(m.nodes))
			if m.nodes[at].next == nil {
				m.nodes[at].next = map[byte]int32{}
			}
			m.nodes[at].next[content[i]] = next
			m.nodes = append(m.nodes, trieNode{})
		}
		at = next
	}
	m.nodes[at].token = token
}

// longest returns the longest token that s begins with and its length.
func (m *matcher) longest(s string) (token *addedToken, length int) {
	at := int32(0)
	for i := range len(s) {
		next, ok := m.nodes[at].next[s[i]]
		if !ok {
			break
		}
		at = next
		if t := m.nodes[at].token; t != nil {
			token, length = t, i+1
		}
	}
	return token, length
}

// find returns the first token of s from i on, and where it lies.
func (m *matcher) find(s string, i int) (token *addedToken, start, end int) {
	for ; i < len(s); i++ {
		if !m.first[s[i]] {
			continue
		}
		if t, n := m.longest(s[i:]); t != nil {
			return t, i, i + n
		}
	}
	return nil, len(s), len(s)
}

// cut calls text for each part of s between tokens, and found for each token, in
// order. Tokens for which skip is true are left in the text.
func (m *matcher) cut(s string, skip func(*addedToken) bool, text func(string), found func(*addedToken)) {
	if m == nil {
		text(s)
		return
	}
	done := 0
	for i := 0; i < len(s); {
		token, start, end := m.find(s, i)
		if token == nil {
			break
		}
		i = end
		if skip(token) || token.SingleWord && !alone(s, start, end) {
			continue
		}
		start, end = token.strip(s, done, start, end)
		if done < start {
			text(s[done:start])
		}
		found(token)
		done = end
	}
	if done < len(s) {
		text(s[done:])
	}
}

// strip widens a match by the white space that the token takes along, back to from
// at most.
func (t *addedToken) strip(s string, from, start, end int) (int, int) {
	for t.LStrip && start > from {
		c, n := utf8.DecodeLastRuneInString(s[:start])
		if !unicode.IsSpace(c) || start-n < from {
			break
		}
		start -= n
	}
	for t.RStrip && end < len(s) {
		c, n := utf8.DecodeRuneInString(s[end:])
		if !unicode.IsSpace(c) {
			break
		}
		end += n
	}
	return start, end
}

// alone reports whether no word character touches s[start:end].
func alone(s string, start, end int) bool {
	before, n := utf8.DecodeLastRuneInString(s[:start])
	after, m := utf8.DecodeRuneInString(s[end:])
	return !(n > 0 && inWord(before)) && !(m > 0 && inWord(after))
}

// inWord reports whether c is matched by \w (UTS 18, annex C).
func inWord(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsMark(c) ||
		unicode.In(c, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
