// Corpus writes the texts that the world's tokenizer is trained on, prompts and
// replies of noisy episodes, as one JSON array of strings on standard output.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/socialrl/socialrl/examples/internal/world"
)

func main() {
	if err := write(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context) error {
	cases := world.Cases(world.Scenarios(), 8, 1)
	episodes, err := world.Play(ctx, cases, world.Noisy(1))
	if err != nil {
		return err
	}
	var texts []string
	for i, e := range episodes {
		items, err := e.Items(cases[i].Learner.Name, world.Template())
		if err != nil {
			return err
		}
		texts = append(texts, items[len(items)-1].Input)
		for _, item := range items {
			texts = append(texts, item.Output)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(texts)
}
