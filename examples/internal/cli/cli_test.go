package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/lora"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		why         string
		err         error
		interrupted bool
		code        int
		line        string
	}{
		{"success says nothing", nil, false, 0, ""},
		{"-h is no failure", flag.ErrHelp, false, 0, ""},
		{"wrong usage", Usagef("-n is %d", 3), false, 2, "x: -n is 3 (-h lists the flags)\n"},
		{"a failure of several causes is one line", errors.Join(errors.New("a"), errors.New("b")), false, 1, "x: a; b\n"},
		{"an interrupted run can be resumed", fmt.Errorf("step: %w", context.Canceled), true, 1, "x: interrupted; start again to go on\n"},
		{"a failure while being interrupted is told", errors.New("disk full"), true, 1, "x: disk full\n"},
	} {
		var b bytes.Buffer
		if code := exit(&b, "x", c.err, c.interrupted); code != c.code || b.String() != c.line {
			t.Errorf("%s: code %d, %q, want %d, %q", c.why, code, b.String(), c.code, c.line)
		}
	}
}

func TestParse(t *testing.T) {
	for args, want := range map[string]string{"-n 3": "", "-n x": "invalid value", "-m": "not defined", "-n 3 y": `unexpected argument "y"`} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.Int("n", 1, "number")
		err := ParseTo(&bytes.Buffer{}, fs, strings.Fields(args))
		if want == "" && err == nil {
			continue
		}
		var usage UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", args, err, want)
		}
	}
}

// The configuration is shown once it has been found to be right.
func TestParseChecksAndShows(t *testing.T) {
	bad := errors.New("bad")
	for _, c := range []struct {
		why, args string
		found     error // by the check
		want      error
		out, err  string // what is printed begins so
	}{
		{"all is well", "-n 3", nil, nil, "", "x -n=3\n"},
		{"a value is out of range", "-n 3", bad, bad, "", ""},
		{"help does not need good values", "-h", bad, flag.ErrHelp, "about x\n", ""},
	} {
		fs := NewFlags("x", "about x")
		fs.Int("n", 1, "number")
		var out, errs bytes.Buffer
		err := Parse(fs, strings.Fields(c.args), Streams{Out: &out, Err: &errs}, func() error { return c.found })
		if !errors.Is(err, c.want) || errs.String() != c.err || !strings.HasPrefix(out.String(), c.out) || c.out == "" && out.Len() > 0 {
			t.Errorf("%s: error %v, printed %q and %q", c.why, err, &out, &errs)
		}
	}
}

func TestRequired(t *testing.T) {
	if err := Required("a", "x", "b", "y"); err != nil {
		t.Error(err)
	}
	if err := Required("a", "x", "b", ""); err == nil || err.Error() != "-b is missing" {
		t.Errorf("error %v", err)
	}
}

func TestModelFlags(t *testing.T) {
	if _, _, err := (&Model{Device: "cpu", DType: "f8"}).Open(); err == nil || err.Error() != `-dtype is "f8", want f32, bf16, nf4 or int8` {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"f32", "bf16", "nf4", "int8"} {
		if err := (&Model{Device: "cpu", DType: name}).Check(); err != nil {
			t.Error(err)
		}
	}
	got := (&Adapter{Rank: 2, Alpha: 4, Targets: "q_proj, v_proj"}).Config()
	if diff := cmp.Diff(lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, got); diff != "" {
		t.Error(diff)
	}
	if all := (&Adapter{Targets: "all"}).Config(); len(all.Targets) != 7 {
		t.Errorf("targets %v", all.Targets)
	}
}
