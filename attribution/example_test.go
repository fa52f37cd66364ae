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

// Any method by its name in files.
func ExampleByName() {
	choice := episode.LLMFunc(func(context.Context, episode.Request) (episode.Reply, error) {
		return episode.Reply{Text: `{"key_utterance": 4}`}, nil
	})
	ep := first()
	for _, name := range []string{"key_utterance", "discounting", "all_the_same"} {
		at, err := attribution.ByName(name, attribution.Options{LLM: choice, Dimension: episode.Goal})
		if err != nil {
			log.Fatal(err)
		}
		a, err := at.Attribute(context.Background(), ep, ep.Agents()[0])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s:", a.Method)
		for _, c := range a.Own() {
			fmt.Printf(" %.2f", c.Reward)
		}
		fmt.Println()
	}
	// Output:
	// key_utterance/goal/1: 0.00 0.00 9.00 0.00
	// discounting/goal: 6.56 7.29 8.10 9.00
	// all_the_same/goal: 9.00 9.00 9.00 9.00
}

// Credit by what the dialogue would have been worth without some utterances. Here a
// rule judges; a judge of episodes or a reward model can look at what
// [attribution.Without] leaves, and [attribution.Rating] asks a chat model.
func ExampleShapley() {
	deal := func(_ context.Context, ep *episode.Episode, agent string, said []bool) (float64, error) {
		left, err := attribution.Without(ep, agent, said)
		if err != nil {
			return 0, err
		}
		value := 0.0
		if strings.Contains(left.SocialInteractions, "I will repair your nets") {
			value += 4
			if strings.Contains(left.SocialInteractions, "I need the boat back") {
				value += 5
			}
		}
		return value, nil
	}
	ep := first()
	a, err := attribution.Shapley{Value: deal}.Attribute(context.Background(), ep, ep.Agents()[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range a.Own() {
		fmt.Printf("%.1f: %s\n", c.Reward, c.Text)
	}
	// Output:
	// 0.0: said: "Hi José, how are you?"
	// 2.5: said: "I need the boat back before the regatta on Sunday."
	// 6.5: said: "If you return it on Saturday I will repair your nets for free."
	// 0.0: [non-verbal communication] shakes hands
}

// A left glove is worth something with a right one only, and there are two left ones.
func ExampleShapleyValues() {
	pairs := func(_ context.Context, in []bool) (float64, error) {
		if (in[0] || in[1]) && in[2] {
			return 1, nil
		}
		return 0, nil
	}
	r, err := attribution.ShapleyValues(context.Background(), 3, pairs, attribution.ShapleyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.3f of %d coalitions\n", r.Values, r.Evaluations)
	// Output: [0.167 0.167 0.667] of 8 coalitions
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

// How far the annotators of one file agree: a model on 0..10, and a person on 0..3.
func ExampleRaters() {
	file := `{"episode_id": "E1", "scenario": "A chat.", "agent": "Ann", "goal": "Win", "score": 8.0, "is_first_speaker": true, "rewarded_utterances": {` +
		`"Utterance 0 by Ann": ["Ann said: \"Hi!\"", 0, {"2024-04-23": 0}], "Utterance 1 by Ann": ["Ann said: \"Deal?\"", 10, {"2024-04-23": 3}], ` +
		`"Utterance 2 by Ann": ["Ann said: \"Bye.\"", 5, {"2024-04-23": 1}]}}`
	raters, _, err := attribution.Raters(attribution.ReadJSONL(strings.NewReader(file)), attribution.RaterOptions{})
	if err != nil {
		log.Fatal(err)
	}
	labels := attribution.Shared(raters...)
	for r, l := range labels {
		fmt.Println(raters[r].Name, l)
	}
	fmt.Printf("exact match %.2f\n", attribution.Agree(labels[0], labels[1], 3).ExactMatch)
	// Output:
	// unnamed/goal/10 [2 3 0]
	// person 1 of goal [1 3 0]
	// exact match 0.67
}

func ExampleFleissKappa() {
	fmt.Printf("%.3f\n", attribution.FleissKappa([][]int{{0, 1, 1, 2}, {0, 1, 2, 2}, {0, 1, 1, 0}}))
	// Output: 0.489
}
