package tokenizer

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Fuzzing takes -fuzzminimizetime 10x: by default Go spends most of the time on
// making interesting inputs smaller.

// FuzzNew reads damaged files. Whatever loads must encode and decode any text
// without a panic, to ids that exist.
func FuzzNew(f *testing.F) {
	config := `{"eos_token": "<e>", "bos_token": {"content": "<e>"}, "chat_template": "{{ messages }}"}`
	for _, pre := range []string{
		`{"type": "ByteLevel", "add_prefix_space": true}`,
		`{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "use_regex": false}]}`,
		`{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": ` + strconv.Quote(patternThree) + `}, "behavior": "Isolated"}, {"type": "ByteLevel"}]}`,
	} {
		f.Add([]byte(`{"added_tokens": [{"id": 4, "content": "<e>", "lstrip": true, "special": true}], "normalizer": {"type": "NFC"}, "pre_tokenizer": `+pre+`,
			"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<e>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<e>": {"ids": [4]}}},
			"decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "unk_token": "u", "vocab": {"u": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]}}`), []byte(config), "a <e>abab 12'Ll é\xff")
	}
	f.Add([]byte(`{"model": {"type": "BPE", "vocab": {}, "merges": []}}`), []byte(`{"chat_template": [{"name": "default", "template": "{{"}]}`), "")
	f.Fuzz(func(t *testing.T, data, config []byte, text string) {
		tok, err := New(data, WithConfig(config))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "tokenizer: ") {
				t.Errorf("error without place: %v", err)
			}
			return
		}
		ids := tok.Encode(text, AddSpecial)
		for _, id := range ids {
			if tok.Token(id) == "" {
				t.Errorf("Encode(%q) gives the id %d, which no token has", text, id)
			}
		}
		if got := tok.Decode(ids); !utf8.ValidString(got) && utf8.ValidString(text) {
			t.Errorf("Decode(%v) = %q is not UTF-8", ids, got)
		}
	})
}

// FuzzEncode encodes any text. Decoding gives the text back (with the Llama 3
// pipeline, which neither normalises nor adds spaces), in one piece or token
// by token.
func FuzzEncode(f *testing.F) {
	tok := loadFile(f, "testdata/tiny-llama3.tokenizer.json")
	for _, s := range []string{"", "I'd say 1234 things...\r\n\n  x", "é漢👩‍👧", "\xe2\x82", "<|turn|> a <|tur"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		want := string(appendValid(nil, []byte(text)))
		if got := tok.Decode(ids); got != want {
			t.Errorf("Decode(Encode(%q)) = %q, want %q", text, got, want)
		}
		d, got := tok.Decoder(), ""
		for _, id := range ids {
			got += d.Push(id)
		}
		if got += d.Flush(); got != want {
			t.Errorf("token by token %q gives %q", text, got)
		}
	})
}

// FuzzNFC checks that composition gives what it was given a second time, and what a
// text that is composed already gives.
func FuzzNFC(f *testing.F) {
	for _, s := range []string{"e\u0301", strings.Repeat("\u0316\u0301", 20), "\u1100\u1161\u11a8", "a\xff\u0301", "\xf6\u0341"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := nfc(text)
		if twice := nfc(once); twice != once {
			t.Errorf("nfc(nfc(%q)) = %q, nfc = %q", text, twice, once)
		}
		var segments strings.Builder
		for s := text; s != ""; {
			n, _ := segment(s)
			segments.WriteString(composeSegment(s[:n]))
			s = s[n:]
		}
		if segments.String() != once {
			t.Errorf("segments of %q compose to %q, the text to %q", text, segments.String(), once)
		}
	})
}
