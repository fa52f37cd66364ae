package report_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/socialrl/socialrl/internal/report"
)

func Example() {
	p := report.Page{Title: "Run 7", Lead: "What it learned."}
	p.Add("Learning", report.Chart{
		Title: "loss", X: "step",
		Series: []report.Series{{Name: "loss", X: []float64{1, 2, 3}, Y: []float64{2.1, 1.4, 1.2}}},
	})
	var page strings.Builder
	if err := p.Write(&page); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println(strings.Count(page.String(), "<svg"), "chart")
	// Output: 1 chart
}
