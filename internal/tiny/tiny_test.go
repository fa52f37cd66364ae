package tiny

import (
	"testing"

	"github.com/socialrl/socialrl/tokenizer"
)

func TestBase(t *testing.T) {
	base := Base(t, "cpu")
	tok := base.Tokenizer()
	text, err := tok.Render([]tokenizer.Message{{Role: "user", Content: "hé"}}, tokenizer.GenerationPrompt())
	if err != nil || text != "<|im_start|>user\nhé<|im_end|>\n<|im_start|>assistant\n" {
		t.Errorf("rendered %q, %v", text, err)
	}
	ids := tok.Encode("é<|im_end|>")
	if len(ids) != 3 || ids[0] != 0xc3 || ids[2] != End {
		t.Errorf("tokens %v", ids)
	}
	if got := tok.Decode(ids, tokenizer.SkipSpecial); got != "é" {
		t.Errorf("decoded %q", got)
	}
}
