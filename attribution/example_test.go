package attribution_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// first returns the first of the made-up episodes.
func first() *episode.Episode {
	for ep, err := range episode.ReadFile("testdata/episodes.jsonl") {
		if err != nil {
			log.Fatal(err)
		}
		return ep
	}
	return nil
}

// scripted stands for a model: a real one is episode.NewRemote(url, key, name).
var scripted = episode.LLMFunc(func(context.Context, episode.Request) (episode.Reply, error) {
	return episode.Reply{Text: `{"scores": {"0": 0, "2": 1, "4": 3, "6": 0}}`}, nil
})

// Credit for every utterance of a file of episodes, by a model behind an
// OpenAI-compatible endpoint.
func Example() {
	llm := episode.NewRemote("https://api.openai.com/v1", os.Getenv("OPENAI_API_KEY"), "gpt-4o")
	var methods []attribution.Attributor
	for _, d := range []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge} {
		methods = append(methods, attribution.Direct{LLM: llm, Dimension: d, Scale: 3})
	}
	sum, err := attribution.Annotate(context.Background(), episode.ReadFile("episodes.jsonl"), methods,
		attribution.AnnotateOptions{Path: "annotated.jsonl"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d attributions, %d tokens\n", sum.Done, sum.Usage.PromptTokens+sum.Usage.CompletionTokens)
}

func ExampleDirect() {
	ep := first()
	at := attribution.Direct{LLM: scripted, Dimension: episode.Goal, Scale: 3}
	a, err := at.Attribute(context.Background(), ep, ep.Agents()[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range a.Own() {
		fmt.Printf("%.0f of 3, reward %.0f: %s\n", c.Attribution, c.Reward, c.Text)
	}
	// Output:
	// 0 of 3, reward 0: said: "Hi José, how are you?"
	// 1 of 3, reward 3: said: "I need the boat back before the regatta on Sunday."
	// 3 of 3, reward 9: said: "If you return it on Saturday I will repair your nets for free."
	// 0 of 3, reward 0: [non-verbal communication] shakes hands
}

// Without a model: credit by the words of the dialogue.
func ExampleEvidence() {
	ep := first()
	a, err := attribution.Evidence{Dimension: episode.Goal}.Attribute(context.Background(), ep, ep.Agents()[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range a.Own() {
		fmt.Printf("%.2f: %s\n", c.Reward, c.Text)
	}
	// Output:
	// 2.65: said: "Hi José, how are you?"
	// 9.00: said: "I need the boat back before the regatta on Sunday."
	// 4.24: said: "If you return it on Saturday I will repair your nets for free."
	// 2.65: [non-verbal communication] shakes hands
}

// Without a model: credit by what a function of one's own sees.
func ExampleEvidence_function() {
	offers := func(ep *episode.Episode, agent string) ([]float64, error) {
		var evidence []float64
		for _, u := range ep.UtterancesOf(agent) {
			if strings.Contains(u.Text, "I will") {
				evidence = append(evidence, 1)
			} else {
				evidence = append(evidence, 0.1)
			}
		}
		return evidence, nil
	}
	ep := first()
	a, err := attribution.Evidence{Func: offers}.Attribute(context.Background(), ep, ep.Agents()[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range a.Own() {
		fmt.Printf("%.1f ", c.Reward)
	}
	// Output: 0.9 0.9 9.0 0.9
}

func ExampleAnnotate() {
	dir, err := os.MkdirTemp("", "annotate")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	o := attribution.AnnotateOptions{Path: filepath.Join(dir, "annotated.jsonl")}
	methods := []attribution.Attributor{attribution.Evidence{}, attribution.Uniform{}}
	for range 2 { // the second run finds everything finished
		sum, err := attribution.Annotate(context.Background(), episode.ReadFile("testdata/episodes.jsonl"), methods, o)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(sum.Episodes, "episodes:", sum.Done, "done,", sum.Skipped, "skipped")
	}
	// Output:
	// 3 episodes: 12 done, 0 skipped
	// 3 episodes: 0 done, 12 skipped
}

func ExampleAnnotate_dryRun() {
	o := attribution.AnnotateOptions{DryRun: true, Price: attribution.Price{Prompt: 2.5, Completion: 10}}
	sum, err := attribution.Annotate(context.Background(), episode.ReadFile("testdata/episodes.jsonl"),
		[]attribution.Attributor{attribution.Direct{LLM: scripted}}, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d calls, below one cent each: %v\n", sum.Usage.Calls, sum.Usage.Cost < 0.06)
	// Output: 6 calls, below one cent each: true
}

// A failure is an error of its own type that carries what the model said.
func ExampleFailure() {
	mute := episode.LLMFunc(func(context.Context, episode.Request) (episode.Reply, error) {
		return episode.Reply{Text: "I cannot rate people."}, nil
	})
	ep := first()
	_, err := attribution.Direct{LLM: mute, Tries: 2}.Attribute(context.Background(), ep, ep.Agents()[0])
	fmt.Println(err)
	// Output: attribution: direct/goal/3 of episode EP1, agent Maeve O'Malley: no usable reply (unusable replies: 2; the last: no complete JSON value with scores by index: "I cannot rate people.")
}

func ExampleReadJSONL() {
	older := `{"episode_id": "E1", "scenario": "A chat.", "agent": "Ann", "goal": "Win", "score": 8.0, "is_first_speaker": true,
		"rewarded_utterances": {"Utterance 0 by Ann": ["Ann said: \"Hi!\"", -1], "Utterance 0 by Bo": ["Bo said: \"Hi.\"", -1], "Utterance 1 by Ann": ["Ann said: \"Deal?\"", 5]}}`
	for a, err := range attribution.ReadJSONL(strings.NewReader(strings.ReplaceAll(older, "\n", " "))) {
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range a.Credits {
			fmt.Println(c.Speaker, c.Text, c.State == attribution.Scored, c.Reward)
		}
	}
	// Output:
	// Ann said: "Hi!" false -1
	// Bo said: "Hi." false 0
	// Ann said: "Deal?" true 4
}

func ExampleAgree() {
	model, person := []float64{3, 1, 0, 3}, []float64{3, 2, 0, 1}
	a := attribution.Agree(model, person, 3)
	fmt.Printf("exact %.2f, Spearman %.2f, F1 of 3 %.2f\n", a.ExactMatch, a.Spearman, a.F1)
	// Output: exact 0.50, Spearman 0.63, F1 of 3 0.67
}

func ExampleFleissKappa() {
	fmt.Printf("%.3f\n", attribution.FleissKappa([][]int{{0, 1, 1, 2}, {0, 1, 2, 2}, {0, 1, 1, 0}}))
	// Output: 0.489
}
