package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Chart is a figure with axes: curves, or dots.
type Chart struct {
	Title  string
	X, Y   string // what the axes show
	Series []Series
	Dots   bool // one dot a point instead of a curve
	Equal  bool // draw the line on which X and Y are the same
}

// Series is one curve of a [Chart].
type Series struct {
	Name   string
	X, Y   []float64 // equally many
	Colour int       // 0..3; the legend names the first series of each
}

// Size of the drawing and of its margins, in units of the SVG.
const (
	width, height      = 400.0, 240.0
	left, right        = 46.0, 16.0
	top, bottom        = 8.0, 34.0
	colours            = 4
	plotWide, plotHigh = width - left - right, height - top - bottom
)

func (c Chart) html() template.HTML {
	fx, fy := c.frame()
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption>`, template.HTMLEscapeString(c.Title))
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, height, template.HTMLEscapeString(c.Title))
	drawAxes(&b, fx, fy, c.X, c.Y)
	if c.Equal {
		lo, hi := max(fx.lo, fy.lo), min(fx.hi, fy.hi)
		fmt.Fprintf(&b, `<path class="guide" d="M%s %sL%s %s"/>`, num(fx.at(lo)), num(fy.at(lo)), num(fx.at(hi)), num(fy.at(hi)))
	}
	for _, s := range c.Series {
		if c.Dots {
			drawDots(&b, s, fx, fy)
		} else {
			fmt.Fprintf(&b, `<path class="curve s%d" d="%s"/>`, s.Colour%colours, curve(s, fx, fy))
		}
	}
	b.WriteString(`</svg>`)
	c.legend(&b)
	b.WriteString(`</figure>`)
	return template.HTML(b.String())
}

func (c Chart) inGrid() bool { return true }

// legend names the colours where there are several.
func (c Chart) legend(b *strings.Builder) {
	var first []Series
	for _, s := range c.Series {
		if !slices.ContainsFunc(first, func(f Series) bool { return f.Colour == s.Colour }) {
			first = append(first, s)
		}
	}
	if len(first) < 2 {
		return
	}
	b.WriteString(`<div class="legend">`)
	for _, s := range first {
		fmt.Fprintf(b, `<i class="s%d"></i>%s`, s.Colour%colours, template.HTMLEscapeString(s.Name))
	}
	b.WriteString(`</div>`)
}

// scale maps a range of numbers to a range of the drawing.
type scale struct{ lo, hi, from, to float64 }

func (s scale) at(v float64) float64 { return s.from + (v-s.lo)/(s.hi-s.lo)*(s.to-s.from) }

// frame finds the scales in which all points have room.
func (c Chart) frame() (x, y scale) {
	x = scale{math.Inf(1), math.Inf(-1), left, left + plotWide}
	y = scale{math.Inf(1), math.Inf(-1), top + plotHigh, top}
	for _, s := range c.Series {
		for i := range s.X {
			if finite(s.X[i]) && finite(s.Y[i]) {
				x.lo, x.hi = min(x.lo, s.X[i]), max(x.hi, s.X[i])
				y.lo, y.hi = min(y.lo, s.Y[i]), max(y.hi, s.Y[i])
			}
		}
	}
	return x.widened(), y.widened()
}

// widened gives a scale some length where it has none.
func (s scale) widened() scale {
	switch {
	case s.lo > s.hi: // there was no point
		s.lo, s.hi = 0, 1
	case s.lo == s.hi:
		s.lo, s.hi = s.lo-0.5, s.hi+0.5
	}
	return s
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// curve returns the path through the points.
func curve(s Series, fx, fy scale) string {
	var b strings.Builder
	pen := "M"
	for i := range s.X {
		if finite(s.X[i]) && finite(s.Y[i]) {
			b.WriteString(pen + num(fx.at(s.X[i])) + " " + num(fy.at(s.Y[i])))
			pen = "L"
		}
	}
	return b.String()
}

func drawDots(b *strings.Builder, s Series, fx, fy scale) {
	for i := range s.X {
		if finite(s.X[i]) && finite(s.Y[i]) {
			fmt.Fprintf(b, `<circle class="dot" cx="%s" cy="%s" r="2.2"/>`, num(fx.at(s.X[i])), num(fy.at(s.Y[i])))
		}
	}
}

func drawAxes(b *strings.Builder, fx, fy scale, x, y string) {
	floor := top + plotHigh
	fmt.Fprintf(b, `<path class="axis" d="M%g %gV%gH%g"/>`, left, top, floor, left+plotWide)
	for _, v := range ticks(fx.lo, fx.hi) {
		fmt.Fprintf(b, `<text x="%s" y="%g" text-anchor="middle">%s</text>`, num(fx.at(v)), floor+14, label(v))
	}
	for _, v := range ticks(fy.lo, fy.hi) {
		at := fy.at(v)
		fmt.Fprintf(b, `<path class="axis" d="M%g %sH%g"/>`, left, num(at), left+plotWide)
		fmt.Fprintf(b, `<text x="%g" y="%s" text-anchor="end">%s</text>`, left-5, num(at+4), label(v))
	}
	fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, left+plotWide/2, height-4, template.HTMLEscapeString(x))
	if y != "" {
		fmt.Fprintf(b, `<text transform="translate(11 %g) rotate(-90)" text-anchor="middle">%s</text>`, top+plotHigh/2, template.HTMLEscapeString(y))
	}
}

// ticks returns up to six round numbers between lo and hi: multiples of 1, 2 or 5
// times a power of ten.
func ticks(lo, hi float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/5)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(m*step) <= 5 {
			step *= m
			break
		}
	}
	var at []float64
	for k := math.Ceil(lo / step); k*step <= hi; k++ {
		at = append(at, k*step)
	}
	return at
}

// num writes a coordinate.
func num(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// label writes a number at an axis; zero has no sign.
func label(v float64) string { return strconv.FormatFloat(v+0, 'g', 3, 64) }
