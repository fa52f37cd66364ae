// Package tokenizer reads the tokenizer of a Hugging Face model directory: it
// turns text into token ids and back, and chat messages into the text that the
// model was trained on.
//
//	t, err := tokenizer.Load(dir)
//	if err != nil {
//		return err
//	}
//	text, err := t.Render([]tokenizer.Message{{Role: "user", Content: "Hello!"}}, tokenizer.GenerationPrompt())
//	if err != nil {
//		return err
//	}
//	ids := t.Encode(text)
//	fmt.Println(len(ids), t.Decode(ids))
//
// Supported is byte-level byte-pair encoding as the families of GPT-2, Qwen2 and
// Qwen3, Llama 3 and SmolLM2 write it to tokenizer.json: NFC normalisation, their
// split patterns, digits apart, added and special tokens, begin and end tokens,
// ignore_merges. Any other kind of model, and any component that is not known, is
// refused by name when the file is read; nothing is approximated. Ids and text are
// those of the Python tokenizers library.
//
// Encode takes the ids that stand in a text as they are: a text that contains
// <|im_end|> gives the token, as everywhere in this ecosystem. Whoever encodes
// text of strangers on its own says [PlainSpecial].
//
// Chat templates are Jinja as the Python transformers library sets it up, with
// blocks and functions that reach nothing outside the template. They come with
// downloaded models, so each rendering has a budget of steps, text and nesting,
// and ends in an error beyond it. Not supported, and refused by name, are the
// blocks with, filter, call, block, include, extends and import, recursive loops,
// and assignments to several names.
//
// A [Tokenizer] never changes once it is made and all its methods may be called from
// several goroutines at once; a [Decoder] belongs to one stream. Results depend on
// the arguments alone (and on the clock, where a template asks for it); a cache of
// words, at most some 20 MB for a tokenizer, only makes the next call faster.
package tokenizer
