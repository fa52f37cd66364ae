package tokenizer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
)

// The Rust library encodes the text of the episodes with the Qwen vocabulary at
// 3.2 to 3.4 MB/s on one core of the machine where these were written.

func qwen(b *testing.B) *Tokenizer {
	return loadFile(b, fixtures.Data(b, "qwen2.5", "tokenizer.json"))
}

func benchmarkEncode(b *testing.B, t *Tokenizer, text string) {
	var ids []int
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		ids = t.AppendEncode(ids[:0], text)
	}
	b.ReportMetric(float64(len(text))/float64(len(ids)), "B/token")
}

func episodes(b *testing.B) string {
	text, err := os.ReadFile(fixtures.Data(b, "episodes", "full.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func BenchmarkEncode(b *testing.B) { benchmarkEncode(b, qwen(b), episodes(b)) }

// BenchmarkEncodeCold encodes with an empty word cache each time.
func BenchmarkEncodeCold(b *testing.B) {
	t, text := qwen(b), episodes(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		t.model.cache = newWordCache()
		t.Encode(text)
	}
}

// BenchmarkEncodeRepeated encodes one letter over and over: one word, on which
// a merge loop that looks for the best pair each time would take hours.
func BenchmarkEncodeRepeated(b *testing.B) {
	for _, n := range []int{1 << 18, 1 << 20, 1 << 22} {
		b.Run(fmt.Sprintf("%dKB", n>>10), func(b *testing.B) { benchmarkEncode(b, qwen(b), strings.Repeat("a", n)) })
	}
}

func BenchmarkDecode(b *testing.B) {
	t, text := qwen(b), episodes(b)
	ids := t.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		t.Decode(ids)
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := os.ReadFile(fixtures.Data(b, "qwen2.5", "tokenizer.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := New(data); err != nil {
			b.Fatal(err)
		}
	}
}
