package tokenizer

// EncodeOption changes what [Tokenizer.Encode] does.
type EncodeOption uint8

const (
	// AddSpecial adds the tokens of the post-processor, such as a begin token.
	AddSpecial EncodeOption = 1 << iota
	// PlainSpecial encodes special tokens that occur in the text as ordinary
	// text, for text that comes from outside and must not end a turn.
	PlainSpecial
)

// Encode returns the token ids of a text, without the added special tokens unless
// [AddSpecial] is given (chat templates write their own). Special and other added
// tokens that occur in the text are recognised, see [PlainSpecial]. Bytes that are
// not UTF-8 are encoded as they are. A byte that the vocabulary has no token for
// (some lack control characters) becomes the unknown token where the model names
// one, and is dropped otherwise. The result is that of the Python tokenizers
// library, and takes time nearly proportional to the length of the text,
// whatever the text.
func (t *Tokenizer) Encode(text string, opts ...EncodeOption) []int {
	return t.AppendEncode(make([]int, 0, len(text)/4+len(t.before)+len(t.after)+1), text, opts...)
}

// AppendEncode appends the token ids of a text to ids, as [Tokenizer.Encode]
// returns them.
func (t *Tokenizer) AppendEncode(ids []int, text string, opts ...EncodeOption) []int {
	var all EncodeOption
	for _, o := range opts {
		all |= o
	}
	if all&AddSpecial != 0 {
		ids = append(ids, t.before...)
	}
	e := encoder{t, ids, all&PlainSpecial != 0}
	t.raw.cut(text, e.plain, e.text, e.token)
	ids = e.ids
	if all&AddSpecial != 0 {
		ids = append(ids, t.after...)
	}
	return ids
}

// encoder collects the ids of one text.
type encoder struct {
	t    *Tokenizer
	ids  []int
	skip bool // special tokens are plain text
}

func (e *encoder) plain(a *addedToken) bool { return e.skip && a.Special }

func (e *encoder) token(a *addedToken) { e.ids = append(e.ids, a.ID) }

func (e *encoder) text(s string) {
	e.t.formed.cut(e.t.form(s), e.plain, e.pieces, e.token)
}

func (e *encoder) pieces(s string) { e.t.pipeline.words(s, e.word) }

func (e *encoder) word(s string) { e.ids = e.t.model.appendIDs(e.ids, s) }
