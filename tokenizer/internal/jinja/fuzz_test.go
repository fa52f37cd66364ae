package jinja

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// FuzzTemplate compiles and renders damaged templates: an error or a text within
// the limits, in bounded time.
func FuzzTemplate(f *testing.F) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		f.Fatal(err)
	}
	var ref struct {
		Vars  map[string]json.RawMessage
		Cases []struct{ Src string }
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		f.Fatal(err)
	}
	vars := map[string]any{}
	for name, value := range ref.Vars {
		if vars[name], err = FromJSON(value); err != nil {
			f.Fatal(err)
		}
	}
	for _, c := range ref.Cases {
		f.Add(c.Src)
	}
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		text, err := render(source, vars)
		if len(text) > maxText || err != nil && text != "" {
			t.Errorf("%d bytes, error %v", len(text), err)
		}
		if d := time.Since(start); d > 3*maxTime {
			t.Errorf("took %v", d)
		}
	})
}
