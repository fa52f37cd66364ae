package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReference compares small templates, and which of them fail, with Jinja as the
// transformers library sets it up.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		Vars  map[string]json.RawMessage
		Cases []struct {
			Src   string
			Text  *string
			Error string
		}
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{}
	for name, value := range ref.Vars {
		if vars[name], err = FromJSON(value); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range ref.Cases {
		text, err := render(c.Src, vars)
		switch {
		case c.Text == nil && err == nil:
			t.Errorf("%q\n got %q\nwant error %s", c.Src, text, c.Error)
		case c.Text != nil && (err != nil || text != *c.Text):
			t.Errorf("%q: %v\n got %q\nwant %q", c.Src, err, text, *c.Text)
		}
	}
}

func render(source string, vars map[string]any) (string, error) {
	t, err := Compile(source)
	if err != nil {
		return "", err
	}
	return t.Render(vars, time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC))
}

// TestHostile gives templates that would run for ever, end the process or fill
// its memory: each must end in an error that says so.
func TestHostile(t *testing.T) {
	deep := func(open, inner, shut string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
	}
	for _, c := range []struct{ why, source, want string }{
		{"a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests macro calls"},
		{"two macros that call each other", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ g() }}", "nests macro calls"},
		{"a macro that calls itself twice, not deep", "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}", "steps"},
		{"a long range", "{% for i in range(1000000000000) %}{% endfor %}", "range has more"},
		{"loops in loops", deep("{% for i in range(1000) %}", "x", "{% endfor %}", 8), "steps"},
		{"loops in loops that a condition empties", "{% for i in range(90000) %}{% for j in range(90000) if false %}{% endfor %}{% endfor %}", "steps"},
		{"a text that doubles", "{% set ns = namespace(s='abcdefgh') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "text of more"},
		{"a list that doubles", "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "steps"},
		{"a list in a list, over and over", "{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}", "nested more"},
		{"a text many times", "{{ 'abcdefgh' * 100000000000 }}", "text of more"},
		{"nested replacement", "{{ ('x' * 9000) | replace('', 'y' * 9000) }}", "text of more"},
		{"a long separator", "{{ range(50000) | join('x' * 9000) }}", "text of more"},
		{"a wide indent", "{{ ('\n' * 900000) | indent(1000, blank=true) }}", "text of more"},
		{"a macro that doubles its argument", "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + deep("f(", "'abcdefgh'", ")", 40) + " }}", "text of more"},
		{"much text in a loop in a macro", "{% macro f() %}{% for i in range(99999) %}" + strings.Repeat("x", 90000) + "{% endfor %}{% endmacro %}{{ f() }}", "steps"},
		{"much output", "{% for i in range(99999) %}" + strings.Repeat("x", 9000) + "{% endfor %}", "steps"},
		{"deep brackets", "{{ " + deep("(", "1", ")", 100000) + " }}", "nested more"},
		{"deep blocks", deep("{% if true %}", "x", "{% endif %}", 10000), "nested more"},
		{"a chain of attributes", "{{ a" + strings.Repeat(".a", 400000) + " }}", "parts"},
		{"a long sum", "{{ 1" + strings.Repeat("+1", 400000) + " }}", "parts"},
		{"a chain of conditions", "{{ " + strings.Repeat("1 if false else ", 50000) + " 2 }}", "parts"},
		{"a recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loops are not supported"},
		{"a block that renders itself", "{% block a %}{{ self.a() }}{% endblock %}", "'block' not found"},
		{"reading files", "{% include '/etc/passwd' %}", "'include' not found"},
		{"division by zero", "{{ 1 // 0 }}{{ 1 % 0 }}", "division by zero"},
		{"a huge power", "{{ 9 ** 9 ** 9 }}", "too large"},
		{"an error that a loop's condition drops", "{% for x in [1] if raise_exception('no') %}{% endfor %}", "no"},
	} {
		_, err := render(c.source, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.why, err, c.want)
		}
	}
}

// TestMethodChains: gonja evaluates the object of a method call twice; 2^90
// evaluations would not end.
func TestMethodChains(t *testing.T) {
	text, err := render("{{ ' x '"+strings.Repeat(".strip()", 90)+" }}", nil)
	if text != "x" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestLongTags: what stays below the limits renders.
func TestLongTags(t *testing.T) {
	for source, want := range map[string]string{
		"{{ 1" + strings.Repeat("+1", 1900) + " }}":                             "1901",
		"{{ " + strings.Repeat("1 if false else ", 400) + " 2 }}":               "2",
		"{{ " + strings.Repeat("(", 90) + "1" + strings.Repeat(")", 90) + " }}": "1",
	} {
		if got, err := render(source, nil); got != want || err != nil {
			t.Errorf("%.20q: %q, %v; want %q", source, got, err, want)
		}
	}
}

// TestNamespaceHoldsItself: printing it must not recurse.
func TestNamespaceHoldsItself(t *testing.T) {
	if _, err := render("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}{{ [ns] }}{{ ns == ns }}{{ ns is mapping }}", nil); err != nil {
		t.Error(err)
	}
	if _, err := render("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns.a | tojson }}", nil); err == nil {
		t.Error("a namespace has no JSON")
	}
}

// TestRaised: the template's own error comes through as it is.
func TestRaised(t *testing.T) {
	_, err := render("{{ 'a' ~ raise_exception('wrong: ' ~ 1) }}", nil)
	if raised := (*Raised)(nil); !errors.As(err, &raised) || raised.Message != "wrong: 1" {
		t.Errorf("error %v", err)
	}
}

// TestStrftime: the clock is given; the directives are Python's.
func TestStrftime(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"%d %b %Y", "04 Mar 2026"},
		{"%-d/%-m/%y %H:%M:%S", "4/3/26 15:06:07"},
		{"%A, %B %e, %I:%M %p", "Wednesday, March  4, 03:06 PM"},
		{"%j %w %u %% %F", "063 3 3 % 2026-03-04"},
		{"%f|%Z|%z", "000000|UTC|+0000"},
	} {
		got, err := render("{{ strftime_now('"+c.format+"') }}", nil)
		if got != c.want || err != nil {
			t.Errorf("strftime(%q) = %q, %v; want %q", c.format, got, err, c.want)
		}
	}
	if _, err := render("{{ strftime_now('%Q') }}", nil); err == nil {
		t.Error("an unknown directive is an error")
	}
}
