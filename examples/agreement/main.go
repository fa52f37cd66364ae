// Command agreement says how far annotators agree.
//
//	agreement -files human_and_llm.jsonl
//	agreement -files gpt-4o.jsonl,qwen.jsonl,people.jsonl -truth "people.jsonl: person 1 of goal" -json agreement.json
//
// Every method of a file of attributions is an annotator, and so are the people
// whose labels stand in it. All pairs on one dimension are compared on the
// utterances that both labelled: mean absolute difference, Spearman's rank
// correlation, exact match, and accuracy, precision, recall and F1 of the highest
// label, of the earlier one as prediction and the later one as truth; and Fleiss'
// kappa of the labels and of the key utterances, which are those with the highest
// label. People come last, so they are the truth.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/examples/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("agreement", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, agreement)
}

// settings are the parsed flags.
type settings struct {
	files, truth, json string
	top, people        int
}

const synopsis = `Usage: agreement -files FILE,... [flags]

Says how far annotators agree: methods of attribution, and people.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("agreement", synopsis)
	fs.StringVar(&s.files, "files", "", "comma-separated JSON lines `files` of attributions, in any form of the field (required)")
	fs.StringVar(&s.truth, "truth", "", "`name` of the annotator that the others are compared with (default: all pairs)")
	fs.IntVar(&s.top, "top", 3, "highest label; attributions on other scales are brought to 0..top and rounded")
	fs.IntVar(&s.people, "people", 3, "highest label that people gave")
	fs.StringVar(&s.json, "json", "", "JSON `file` to write the figures to, whole or not at all")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("files", s.files); err != nil {
		return err
	}
	if s.top < 1 || s.people < 1 {
		return cli.Usagef("-top is %d, -people %d: want at least 1", s.top, s.people)
	}
	return nil
}

func agreement(_ context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	raters, err := s.read(io.Out)
	if err != nil {
		return err
	}
	r, err := compare(raters, s.truth, s.top)
	if err != nil {
		return err
	}
	if s.json != "" {
		if err := writeJSON(s.json, r); err != nil {
			return err
		}
	}
	return r.print(io.Out, s.top)
}

// read reads the annotators of all files, people last, and prints who they are.
func (s *settings) read(w io.Writer) ([]attribution.Rater, error) {
	var raters []attribution.Rater
	files := cli.Split(s.files)
	names := prefixes(files)
	for i, file := range files {
		o := attribution.RaterOptions{Prefix: names[i], Top: s.top, People: s.people}
		found, counts, err := attribution.Raters(attribution.ReadFile(file), o)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(w, "%s: attributions %d, labels %d, masked %d, without an attribution %d\n",
			file, counts.Lines, counts.Labels, counts.Masked, counts.Without)
		raters = append(raters, found...)
	}
	slices.SortStableFunc(raters, func(a, b attribution.Rater) int { return order(a) - order(b) })
	for _, r := range raters {
		fmt.Fprintf(w, "annotator %q: labels %d\n", r.Name, len(r.Labels))
	}
	return raters, nil
}

func order(r attribution.Rater) int {
	if r.Person {
		return 1
	}
	return 0
}

// prefixes tells the annotators of several files apart, by the files' names, or
// their paths where names repeat.
func prefixes(files []string) []string {
	names := make([]string, len(files))
	if len(files) == 1 {
		return names
	}
	times := map[string]int{}
	for _, f := range files {
		times[filepath.Base(f)]++
	}
	for i, f := range files {
		if base := filepath.Base(f); times[base] == 1 {
			f = base
		}
		names[i] = f + ": "
	}
	return names
}
