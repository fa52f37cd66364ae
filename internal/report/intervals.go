package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	eastasian "golang.org/x/text/width"
)

// Intervals is a figure with one row for each name: a dot for the value and a line
// from Low to High.
type Intervals struct {
	Title  string
	X      string  // what the axis shows
	Lo, Hi float64 // ends of the axis; where both are 0 they are those of the rows
	Zero   bool    // draw a line at 0, which is then on the axis
	Rows   []Row
}

// Row is one row of [Intervals].
type Row struct {
	Name             string // shortened where it is too long; the full name shows on pointing
	Value, Low, High float64
	Colour           int  // 0..3
	Hollow           bool // an empty dot
}

// Layout of a row: the name above the line.
const (
	rowHigh  = 30.0
	nameWide = 60 // columns of a name that have room
)

func (c Intervals) html() template.HTML {
	x := c.frame()
	high := top + rowHigh*float64(len(c.Rows)) + bottom
	var b strings.Builder
	title := template.HTMLEscapeString(c.Title)
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption>`, title)
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, high, title)
	floor := high - bottom
	for _, v := range ticks(x.lo, x.hi) {
		fmt.Fprintf(&b, `<path class="axis" d="M%s %gV%g"/>`, num(x.at(v)), top, floor)
		fmt.Fprintf(&b, `<text x="%s" y="%g" text-anchor="middle">%s</text>`, num(x.at(v)), floor+14, label(v))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, (x.from+x.to)/2, high-4, template.HTMLEscapeString(c.X))
	if c.Zero {
		fmt.Fprintf(&b, `<path class="guide" d="M%s %gV%g"/>`, num(x.at(0)), top, floor)
	}
	for i, r := range c.Rows {
		r.draw(&b, x, top+rowHigh*float64(i))
	}
	b.WriteString(`</svg></figure>`)
	return template.HTML(b.String())
}

func (c Intervals) inGrid() bool { return true }

// frame finds the scale of the axis.
func (c Intervals) frame() scale {
	s := scale{c.Lo, c.Hi, sideways, width - sideways}
	if s.lo == 0 && s.hi == 0 {
		s.lo, s.hi = math.Inf(1), math.Inf(-1)
		for _, r := range c.Rows {
			for _, v := range []float64{r.Value, r.Low, r.High} {
				if finite(v) {
					s.lo, s.hi = min(s.lo, v), max(s.hi, v)
				}
			}
		}
	}
	if c.Zero {
		s.lo, s.hi = min(s.lo, 0), max(s.hi, 0)
	}
	return s.widened()
}

// sideways is the margin on either side.
const sideways = 14.0

// draw draws the row below y.
func (r Row) draw(b *strings.Builder, x scale, y float64) {
	fmt.Fprintf(b, `<g><title>%s</title><text x="%g" y="%g" class="name">%s</text>`,
		template.HTMLEscapeString(r.Name), x.from, y+11, template.HTMLEscapeString(shortened(r.Name, nameWide)))
	at := num(y + 20)
	colour := r.Colour % colours
	if finite(r.Low) && finite(r.High) {
		fmt.Fprintf(b, `<path class="whisker s%d" d="M%s %sH%s"/>`, colour, num(x.at(r.Low)), at, num(x.at(r.High)))
	}
	if finite(r.Value) {
		class := "point"
		if r.Hollow {
			class += " hollow"
		}
		fmt.Fprintf(b, `<circle class="%s s%d" cx="%s" cy="%s" r="4"/>`, class, colour, num(x.at(r.Value)), at)
	}
	b.WriteString(`</g>`)
}

// shortened cuts a text in its middle where it has more than n columns; characters of
// East Asian width have two.
func shortened(s string, n int) string {
	runes := []rune(s)
	if fitting(runes, n) == len(runes) {
		return s
	}
	head := fitting(runes, (n-1)*2/3)
	slices.Reverse(runes)
	tail := fitting(runes[:len(runes)-head], (n-1)/3)
	slices.Reverse(runes)
	return string(runes[:head]) + "…" + string(runes[len(runes)-tail:])
}

// fitting returns how many characters from the first on fit into n columns.
func fitting(runes []rune, n int) int {
	for i, c := range runes {
		if n -= columns(c); n < 0 {
			return i
		}
	}
	return len(runes)
}

func columns(c rune) int {
	switch eastasian.LookupRune(c).Kind() {
	case eastasian.EastAsianWide, eastasian.EastAsianFullwidth:
		return 2
	}
	return 1
}
