package tokenizer_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/tokenizer"
)

// directory makes a model directory of the tiny tokenizer in testdata.
func directory() string {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile("testdata/tiny.tokenizer.json")
	if err != nil {
		log.Fatal(err)
	}
	files := map[string]string{
		"tokenizer.json":        string(data),
		"tokenizer_config.json": `{"eos_token": "<|stop|>"}`,
		"chat_template.jinja": `{% for m in messages %}<|turn|>{{ m.role }}
{{ m.content }}<|stop|>
{% endfor %}{% if add_generation_prompt %}<|turn|>assistant
{% endif %}`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	return dir
}

// From messages to ids and back.
func Example() {
	dir := directory()
	defer os.RemoveAll(dir)

	t, err := tokenizer.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	text, err := t.Render([]tokenizer.Message{{Role: "user", Content: "Let's share the apples."}}, tokenizer.GenerationPrompt())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(text)
	ids := t.Encode(text)
	fmt.Println(len(ids), ids[:3])
	fmt.Println(t.Decode(ids) == text)
	eos, _ := t.EOS()
	fmt.Println(eos, t.Token(eos))
	// Output:
	// <|turn|>user
	// Let's share the apples.<|stop|>
	// <|turn|>assistant
	// 28 [1 87 85]
	// true
	// 2 <|stop|>
}

// Text that strangers wrote must not end a turn.
func ExampleTokenizer_Encode() {
	dir := directory()
	defer os.RemoveAll(dir)
	t, err := tokenizer.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Encode("the<|stop|>"))
	fmt.Println(t.Encode("the<|stop|>", tokenizer.PlainSpecial))
	// Output:
	// [86 259 2]
	// [86 259 30 94 85 86 81 82 94 32]
}

// A server sends text as tokens arrive: whole characters only.
func ExampleDecoder() {
	dir := directory()
	defer os.RemoveAll(dir)
	t, err := tokenizer.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	d := t.Decoder(tokenizer.SkipSpecial)
	for _, id := range t.Encode("\u0e44<|stop|>") { // one letter in three tokens
		fmt.Printf("%q ", d.Push(id))
	}
	fmt.Printf("%q\n", d.Flush())
	// Output:
	// "" "" "ไ" "" ""
}
