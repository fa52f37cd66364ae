package episode_test

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// readAll returns the episodes of a file; an error fails the test.
func readAll(t testing.TB, path string) []*episode.Episode {
	t.Helper()
	var eps []*episode.Episode
	for e, err := range episode.ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		eps = append(eps, e)
	}
	return eps
}

// Published files come back byte for byte, whatever their generation.
func TestPublishedFilesSurviveRoundTrip(t *testing.T) {
	for _, name := range []string{"full.jsonl", "older.jsonl"} {
		path := fixtures.Data(t, "episodes", name)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		eps := readAll(t, path)
		var b bytes.Buffer
		if err := episode.WriteJSONL(&b, eps...); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s: written file differs from what was read", name)
		}
		i := 0
		for again, err := range episode.ReadJSONL(&b) {
			if err != nil || !reflect.DeepEqual(again, eps[i]) {
				t.Errorf("%s: episode %d read again differs (error %v)", name, i, err)
			}
			i++
		}
		if i != len(eps) || i == 0 {
			t.Errorf("%s: %d episodes read again, want %d", name, i, len(eps))
		}
	}
}
