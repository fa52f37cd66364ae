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
