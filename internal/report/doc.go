// Package report writes findings as one HTML file that needs nothing else:
// text, tables, charts as inline SVG, and dialogues shaded by numbers. It follows the
// reader's choice of light or dark and the width of the window.
//
//	p := report.Page{Title: "Run 7"}
//	p.Add("Learning", report.Chart{Title: "loss", X: "step",
//		Series: []report.Series{{Name: "loss", X: x, Y: y}}})
//	err := p.Write(w)
//
// Everything that is shown is escaped, and the page forbids itself to fetch anything and
// to run a script that is not its own.
//
// Numbers that are NaN or infinite are left out of charts.
package report
