package tokenizer

import (
	"fmt"
	"slices"
)

// maxGap bounds how far ids may lie above the number of tokens, so that a small
// file cannot ask for a huge table.
const maxGap = 1 << 16

// check refuses models of other kinds and features that are not implemented.
func (m *modelFile) check() error {
	if m.Type != "" && m.Type != "BPE" {
		return unsupported("model type", m.Type, "BPE, byte level")
	}
	refused := []struct {
		field string
		is    bool
	}{
		{"dropout", m.Dropout != nil && *m.Dropout != 0},
		{"continuing_subword_prefix", m.ContinuingSubwordPrefix != ""},
		{"end_of_word_suffix", m.EndOfWordSuffix != ""},
		{"byte_fallback", m.ByteFallback},
	}
	for _, r := range refused {
		if r.is {
			return fmt.Errorf("model %s is set, which is not supported for byte-level BPE", r.field)
		}
	}
	if m.Vocab == nil {
		return fmt.Errorf("model has no vocab")
	}
	return nil
}

// index fills the table of tokens from the vocabulary and the added tokens.
func (t *Tokenizer) index(f *file) error {
	n := len(f.Model.Vocab) + len(f.AddedTokens)
	t.ids = make(map[string]int, n)
	t.tokens = make([]token, 0, n)
	buf := make([]byte, 0, 8*n)
	for _, e := range f.Model.Vocab {
		start := len(buf)
		buf = appendBytes(buf, e.token)
		if err := t.put(e.id, token{text: e.token, bytes: string(buf[start:])}, n); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
	}
	for _, a := range f.AddedTokens {
		content := a.Content
		if a.Normalized {
			content = t.form(content)
		}
		bytes := string(appendBytes(nil, content))
		if err := t.put(a.ID, token{a.Content, bytes, a.Special}, n); err != nil {
			return fmt.Errorf("added_tokens: %w", err)
		}
	}
	return nil
}

// put enters a token. An added token may repeat an entry of the vocabulary, but
// not contradict it.
func (t *Tokenizer) put(id int, tok token, n int) error {
	if id < 0 || id >= n+maxGap {
		return fmt.Errorf("the id %d of %q is out of range: there are %d tokens", id, tok.text, n)
	}
	if was, ok := t.ids[tok.text]; ok && was != id {
		return fmt.Errorf("%q has the ids %d and %d", tok.text, was, id)
	}
	for id >= len(t.tokens) {
		t.tokens = append(t.tokens, token{})
	}
	if was := t.tokens[id].text; was != "" && was != tok.text {
		return fmt.Errorf("the id %d belongs to %q and to %q", id, was, tok.text)
	}
	t.tokens[id] = tok
	t.ids[tok.text] = id
	return nil
}

// newModel makes the merge tables.
func (t *Tokenizer) newModel(f *modelFile) (*bpe, error) {
	m := &bpe{unk: noSymbol, fuse: f.FuseUnk, cache: newWordCache()}
	if f.UnkToken != nil {
		id, ok := t.ids[*f.UnkToken]
		if !ok {
			return nil, fmt.Errorf("model.unk_token %q is not in the vocabulary", *f.UnkToken)
		}
		m.unk = int32(id)
	}
	t.alphabet(m)
	m.merges = newPairTable(len(f.Merges))
	m.merged = make([]int32, len(f.Merges))
	for rank, pair := range f.Merges {
		if err := t.addMerge(m, uint32(rank), pair); err != nil {
			return nil, fmt.Errorf("model.merges[%d]: %w", rank, err)
		}
	}
	if f.IgnoreMerges {
		m.whole = make(map[string]int32, len(f.Vocab))
		for _, e := range f.Vocab {
			m.whole[t.tokens[e.id].bytes] = int32(e.id)
		}
	}
	return m, nil
}

// alphabet finds the symbol of each byte. Some vocabularies have none for control
// characters that their training text lacked.
func (t *Tokenizer) alphabet(m *bpe) {
	for b := range 256 {
		m.symbol[b] = noSymbol
		if id, ok := t.ids[string(byteChar[b])]; ok {
			m.symbol[b] = int32(id)
		}
	}
}

func (t *Tokenizer) addMerge(m *bpe, rank uint32, pair [2]string) error {
	left, ok := t.ids[pair[0]]
	if !ok {
		return fmt.Errorf("%q is not in the vocabulary", pair[0])
	}
	right, ok := t.ids[pair[1]]
	if !ok {
		return fmt.Errorf("%q is not in the vocabulary", pair[1])
	}
	whole, ok := t.ids[pair[0]+pair[1]]
	if !ok {
		return fmt.Errorf("%q and %q make a token that is not in the vocabulary", pair[0], pair[1])
	}
	m.merges.set(int32(left), int32(right), rank)
	m.merged[rank] = int32(whole)
	return nil
}

// checkIDs makes sure that ids which a file refers to exist.
func (t *Tokenizer) checkIDs(field string, ids []int) error {
	if i := slices.IndexFunc(ids, func(id int) bool { return t.at(id).text == "" }); i >= 0 {
		return fmt.Errorf("%s refers to the id %d, which no token has", field, ids[i])
	}
	return nil
}
