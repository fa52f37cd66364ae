package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func page(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPageIsWhole: every block shows up, text is escaped, and nothing is fetched.
func TestPageIsWhole(t *testing.T) {
	p := &Page{Title: "A < B", Lead: "lead & more"}
	p.Add("one", Text("x < y"), Table{Head: []string{"", "goal"}, Rows: [][]string{{"<row>", "1"}}})
	p.Add("two",
		Chart{Title: "first & last", Series: []Series{{X: []float64{1, 2}, Y: []float64{3, 4}}}},
		Chart{Title: "dots", Dots: true, Equal: true, Series: []Series{{X: []float64{1, 2}, Y: []float64{1, 5}}}},
		Claims{{Text: "it works", Figure: "1 > 0", Holds: true}, {Text: "it flies"}},
		Dialogue{{Speaker: "Ann", Text: "hi", Credit: 0.5, Note: "credit 1"}, {Speaker: "Bob", Text: "</ol>"}})
	s := page(t, p)
	for _, want := range []string{
		"<title>A &lt; B</title>", "lead &amp; more", "x &lt; y", "&lt;row&gt;", "first &amp; last", `class="pass"`, `class="fail"`,
		"--credit:0.500", "&lt;/ol&gt;", `class="guide"`,
	} {
		if !strings.Contains(s, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"http:", "https:", "<script", "<img", "src=", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(s, `<div class="grid">`); n != 1 {
		t.Errorf("%d grids, want one around two neighbouring charts", n)
	}
	checkNesting(t, s[strings.Index(s, "<body>"):strings.Index(s, "</html>")])
}

// checkNesting reports tags of the body that are not closed in order.
func checkNesting(t *testing.T, body string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTicksAreRoundAndFew(t *testing.T) {
	for _, r := range []struct {
		lo, hi float64
		want   []float64
	}{
		{0, 10, []float64{0, 2, 4, 6, 8, 10}},
		{0, 1, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{-3, 4, []float64{-2, 0, 2, 4}},
		{103, 147, []float64{110, 120, 130, 140}},
	} {
		got := ticks(r.lo, r.hi)
		if !slices.EqualFunc(got, r.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("%v..%v: %v, want %v", r.lo, r.hi, got, r.want)
		}
	}
}

// TestChartsLeaveOutWhatIsNoNumber: such points are skipped, and a chart without any
// point or with a constant one is still a chart.
func TestChartsLeaveOutWhatIsNoNumber(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, s := range map[string]Series{
		"gaps":     {X: []float64{1, 2, 3, 4}, Y: []float64{1, nan, inf, 2}},
		"nothing":  {},
		"constant": {X: []float64{5}, Y: []float64{7}},
	} {
		for _, dots := range []bool{false, true} {
			got := string(Chart{Title: name, Dots: dots, Series: []Series{s}}.html())
			if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	gaps := Chart{Dots: true, Series: []Series{{X: []float64{1, 2, 3}, Y: []float64{1, nan, 2}}}}
	if n := strings.Count(string(gaps.html()), "<circle"); n != 2 {
		t.Errorf("%d dots, want 2", n)
	}
}

// TestLegendNamesEachColourOnce, since one kind of run may have a curve for each seed.
func TestLegendNamesEachColourOnce(t *testing.T) {
	c := Chart{Series: []Series{{Name: "a"}, {Name: "a"}, {Name: "b", Colour: 1}}}
	if got := string(c.html()); strings.Count(got, "</i>a") != 1 || strings.Count(got, "</i>b") != 1 {
		t.Errorf("legend of %s", got)
	}
	if got := string(Chart{Series: []Series{{Name: "a"}}}.html()); strings.Contains(got, "legend") {
		t.Error("a single curve needs no legend")
	}
}

// TestIntervalsShowEveryRow: a dot and a line for each, the zero line where it is asked
// for, and long names shortened with the whole name at hand.
func TestIntervalsShowEveryRow(t *testing.T) {
	long := strings.Repeat("long-name/", 9)
	c := Intervals{Title: "a < b", X: "points", Zero: true, Rows: []Row{
		{Name: long, Value: 2, Low: 1, High: 3}, {Name: "<b>", Value: 4, Low: math.NaN(), High: 5, Colour: 5, Hollow: true},
	}}
	got := string(c.html())
	checkNesting(t, got)
	for what, want := range map[string]int{
		"<circle": 2, `class="whisker`: 1, `class="guide"`: 1, "hollow": 1, `"point hollow s1"`: 1, "<title>" + long: 1, "…": 1, "&lt;b&gt;": 2, "NaN": 0, "a &lt; b": 2,
	} {
		if n := strings.Count(got, what); n != want {
			t.Errorf("%d times %q, want %d", n, what, want)
		}
	}
	if got := string(Intervals{Title: "empty"}.html()); strings.Contains(got, "Inf") || strings.Contains(got, "NaN") {
		t.Errorf("without rows: %s", got)
	}
}

func TestNamesAreShortenedInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		why, name string
		n         int
		want      string
	}{
		{"fits", "abc", 3, "abc"},
		{"head and tail stay", "abcdefghijkl", 10, "abcdef…jkl"},
		{"wide characters have two columns", "日本語日本語", 7, "日本…語"},
		{"nothing to shorten", "", 5, ""},
	} {
		if got := shortened(c.name, c.n); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// TestBrowseListsEntries: every entry with its choices, a menu where there is a choice
// at all, and the script that belongs to the page and to no other.
func TestBrowseListsEntries(t *testing.T) {
	p := &Page{Title: "x"}
	p.Add("list", Browse{
		Facets: []string{"model", "tag"}, Order: "goal",
		Entries: []Entry{
			{Title: "<one>", Notes: []string{"a & b"}, Facets: [][]string{{"m", "n"}, {"t"}}, Key: 2.5, Body: []Block{
				Text("inside"), Sided{{Name: "Ann", Note: "Goal: <x>", Lines: []Mark{{"goal", "8", "because </dd>"}}}},
			}},
			{Title: "two", Facets: [][]string{{"m"}, {"t"}}, Key: math.NaN()},
		},
	})
	s := page(t, p)
	for _, want := range []string{
		`data-key="2.5"`, `data-key=""`, "data-f0=\"m\nn\"", `data-of="f0"`, "&lt;one&gt;", "a &amp; b", "inside", "because &lt;/dd&gt;", "goal, lowest first", "2 of 2",
		"<script>" + browseJS + "</script>", digest(browseJS),
	} {
		if !strings.Contains(s, want) && !strings.Contains(strings.ReplaceAll(s, "&#43;", "+"), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(s, `data-of="f1"`) {
		t.Error("there is a menu without a choice")
	}
	if n := strings.Count(s, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	checkNesting(t, s[strings.Index(s, `<div class="browse">`):strings.Index(s, "</section>")])
}

// TestCellsBreak: what follows a line break in a cell stands below it.
func TestCellsBreak(t *testing.T) {
	got := string(Table{Head: []string{"a"}, Rows: [][]string{{"7 ± 1\n[6, 8]"}}}.html())
	if !strings.Contains(got, "7 ± 1<small>[6, 8]</small>") {
		t.Error(got)
	}
}
