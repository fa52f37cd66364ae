package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/policy"
)

func TestShow(t *testing.T) {
	fs := flag.NewFlagSet("x", flag.ContinueOnError)
	fs.Int("n", 3, "")
	fs.String("empty", "", "")
	fs.String("text", "", "")
	fs.String("url", "", "")
	if err := ParseTo(&bytes.Buffer{}, fs, []string{"-text", "a b", "-url", "redis://:secret@h:1/0"}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	Show(&b, fs)
	if want := "x -n=3 -text=\"a b\" -url=redis://:xxxxx@h:1/0\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	fs.String("z", strings.Repeat("z", 100), "")
	b.Reset()
	Show(&b, fs)
	if !strings.Contains(b.String(), " \\\n    -z=zz") {
		t.Errorf("a long line is not broken:\n%s", &b)
	}
}

func TestRedact(t *testing.T) {
	for _, c := range []struct{ why, value, want string }{
		{"no URL", "a@b", "a@b"},
		{"no password", "redis://host:1/0", "redis://host:1/0"},
		{"a password", "redis://me:pw@host:1/0", "redis://me:xxxxx@host:1/0"},
		{"a password that is not encoded", "redis://:p%w@host:1", "redis://xxxxx@host:1"},
		{"a password with the mark of the host", "redis://:p@w%@host", "redis://xxxxx@host"},
	} {
		if got := Redact(c.value); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	fs := NewFlags("x", "Usage: x [flags]")
	fs.Int("n", 3, "`number` of things")
	var b bytes.Buffer
	if err := ParseTo(&b, fs, []string{"-h"}); err != flag.ErrHelp {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"Usage: x [flags]\n", "-n number", "(default 3)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, &b)
		}
	}
}

func TestPin(t *testing.T) {
	type settings struct {
		A int
		B []string
	}
	path := filepath.Join(t.TempDir(), "run", "x.json")
	for _, c := range []struct {
		why  string
		s    settings
		want string
	}{
		{"a new run", settings{1, []string{"q"}}, ""},
		{"the same again", settings{1, []string{"q"}}, ""},
		{"another number", settings{2, []string{"q"}}, "A was 1, now 2"},
		{"another list", settings{1, []string{"q", "v"}}, "B was [q], now [q v]"},
	} {
		err := Pin(path, c.s)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.why, err, c.want)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Pin(path, settings{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: error %v", err)
	}
}

func TestFitFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"":                 "",
		"-clip -1":         "", // no clipping
		"-epochs 0":        "-epochs is 0",
		"-batch -2":        "-batch is -2",
		"-keep 0":          "-keep is 0",
		"-warmup -1":       "-warmup is -1",
		"-patience -1":     "-patience is -1",
		"-lr NaN":          "-lr is NaN",
		"-weight-decay -1": "-weight-decay is -1",
		"-clip 0":          "-clip is 0",
		"-held-out 1":      "-held-out is 1",
		"-seed 0":          "-seed is 0",
		"-schedule up":     `-schedule is "up"`,
	} {
		c := policy.FitConfig{LR: 1e-4, Epochs: 1, Batch: 16}
		fs := NewFlags("x", "")
		DefineFit(fs, &c)
		if err := ParseTo(&bytes.Buffer{}, fs, strings.Fields(flags)); err != nil {
			t.Fatal(err)
		}
		err := CheckFit(&c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", flags, err, want)
		}
	}
}

func TestAdapterFlags(t *testing.T) {
	good := Adapter{Rank: 8, Alpha: 64, Dropout: 0.05, Targets: "q_proj"}
	for want, change := range map[string]func(a *Adapter){
		"":               func(*Adapter) {},
		"-rank is 0":     func(a *Adapter) { a.Rank = 0 },
		"-alpha is 0":    func(a *Adapter) { a.Alpha = 0 },
		"-dropout is 1":  func(a *Adapter) { a.Dropout = 1 },
		"-targets names": func(a *Adapter) { a.Targets = " , " },
	} {
		a := good
		change(&a)
		err := a.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// What a file holds is seen by its beginning.
func TestHoldsItems(t *testing.T) {
	for _, c := range []struct {
		why, text string
		want      bool
	}{
		{"an array", " [", true},
		{"an array, whatever is in it", "[3]", true},
		{"items one after the other", "{\"input\": \"a\", \"output\": \"b\"}\n{", true},
		{"an episode", `{"episode_id": "a"}`, false},
		{"an object that is cut off", `{"input": "a"`, false},
		{"nothing", "", false},
		{"no JSON", "hello", false},
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := holdsItems(path); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
}
