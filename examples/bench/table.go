package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// report is the file of -json.
type report struct {
	Engine  string      `json:"engine"`
	Threads int         `json:"threads"`
	Model   string      `json:"model"`
	Limits  lora.Limits `json:"limits"`
	Rows    []line      `json:"rows"`
}

// line is a line of the table.
type line struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`   // of the weights
	Unit   string    `json:"unit"`   // of Values
	Values []float64 `json:"values"` // one a repetition
	Median float64   `json:"median"`
	Best   float64   `json:"best"`
	Spread float64   `json:"spread"`            // (largest − smallest) / median
	Limit  float64   `json:"limit,omitempty"`   // what cannot be passed, in Unit
	Of     string    `json:"of,omitempty"`      // what sets the limit
	Bytes  int64     `json:"bytes,omitempty"`   // of weights, read at least once a repetition or step
	Peak   int64     `json:"peak_memory_bytes"` // of the process, while the row ran
	Note   string    `json:"note,omitempty"`
}

// seconds is the unit of which less is better.
const seconds = "s"

// share returns which part of the limit the median reaches; 0 where no limit is known.
func (l line) share() float64 {
	switch {
	case l.Limit == 0 || l.Median == 0:
		return 0
	case l.Unit == seconds:
		return l.Limit / l.Median
	}
	return l.Median / l.Limit
}

// The names of what sets limits.
const (
	ofArithmetic = "arithmetic"
	ofRead       = "memory"
	ofPhases     = "phases"
)

// newLine returns a line of values; limit is 0 where none is known.
func newLine(name, unit string, values []float64, limit float64, of string) line {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	l := line{Name: name, Unit: unit, Values: values, Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Best: sorted[n-1], Limit: limit, Of: of}
	if unit == seconds {
		l.Best = sorted[0]
	}
	if l.Median != 0 {
		l.Spread = (sorted[n-1] - sorted[0]) / l.Median
	}
	if limit == 0 {
		l.Of = ""
	}
	return l
}

// rates returns amount/seconds for each time.
func rates(amount float64, seconds []float64) []float64 {
	out := make([]float64, len(seconds))
	for i, s := range seconds {
		out[i] = amount / s
	}
	return out
}

// printHead prints the limits and the names of the columns.
func (b *bench) printHead() {
	r := &b.report
	r.Threads = runtime.GOMAXPROCS(0)
	fmt.Fprintf(b.out, "%s, %d threads; %s\n", r.Engine, r.Threads, r.Model)
	bf16 := "no bf16 dot products"
	if r.Limits.BF16 > 0 {
		bf16 = fmt.Sprintf("bf16 dot products %.0f GFLOP/s", r.Limits.BF16/1e9)
	}
	fmt.Fprintf(b.out, "limits: f32 %.0f GFLOP/s, %s, memory %.1f GB/s\n\n", r.Limits.F32/1e9, bf16, r.Limits.Read/1e9)
	fmt.Fprintf(b.out, "%-34s %-6s %10s %10s %-9s %7s %5s  %-16s %9s %9s  %s\n", "row", "kind", "median", "best", "", "spread", "reps", "of limit", "weights", "peak", "")
}

// print prints a line of the table.
func (b *bench) print(l line) {
	share, weights := "", ""
	if l.Limit > 0 {
		share = fmt.Sprintf("%3.0f%% %s", 100*l.share(), l.Of)
	}
	if l.Bytes > 0 {
		weights = cli.Size(l.Bytes)
	}
	fmt.Fprintf(b.out, "%-34s %-6s %10.4g %10.4g %-9s %6.1f%% %5d  %-16s %9s %9s  %s\n",
		l.Name, l.Kind, l.Median, l.Best, l.Unit, 100*l.Spread, len(l.Values), share, weights, cli.Size(l.Peak), l.Note)
}

// write writes the file of -json, whole or not at all.
func (b *bench) write() error {
	if b.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(b.json, append(text, '\n'), 0o644)
}

// describe writes the shape of a model.
func describe(c policy.Config) string {
	return fmt.Sprintf("%s of width %d, %d layers, %d/%d heads of %d, feed-forward %d, vocabulary %d",
		c.ModelType, c.HiddenSize, c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.IntermediateSize, c.VocabSize)
}
