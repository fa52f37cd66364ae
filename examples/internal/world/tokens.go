package world

import (
	"embed"
	"io/fs"

	"github.com/socialrl/socialrl/tokenizer"
)

//go:embed tokenizer/tokenizer.json tokenizer/tokenizer_config.json
var tokenizerFiles embed.FS

// Tokenizer returns the world's own tokenizer: byte-level BPE with a vocabulary
// of 512, made by tokenizer/train.py from episodes of the world, and a chat
// template of one token per role.
func Tokenizer() (*tokenizer.Tokenizer, error) {
	files, err := TokenizerFiles()
	if err != nil {
		return nil, err
	}
	return tokenizer.New(files["tokenizer.json"], tokenizer.WithConfig(files["tokenizer_config.json"]))
}

// TokenizerFiles returns the files of the tokenizer by name, as a model
// directory holds them.
func TokenizerFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		b, err := fs.ReadFile(tokenizerFiles, "tokenizer/"+name)
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	return files, nil
}
