package policy

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// WritePlans writes a table of what a workload takes on an engine for several sizes of
// the group, in units of 10⁹ bytes: a line a size, the parts of [Usage] in columns.
// "again" is the number of blocks that the update computes again to keep to w.Budget; a
// total above that is marked with an exclamation mark.
func WritePlans(out io.Writer, engine string, w Workload, groups ...int) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "G\tweights\tadapters\tcaches\tsampling\tscoring\treference\tupdate\tagain\ttotal\t")
	for _, w.Group = range groups {
		u, err := Plan(engine, w)
		if err != nil {
			return err
		}
		mark := ""
		if w.Budget > 0 && !u.Fits(w.Budget) {
			mark = "!"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s%s\t\n", w.Group, giga(u.Weights+u.Vectors),
			giga(u.Trained()+u.Reference+u.Reward), giga(u.Cache), giga(u.Sampling), giga(u.Scoring), giga(u.Comparing), giga(u.Update), u.Again, giga(u.Total()), mark)
	}
	return t.Flush()
}

// giga returns bytes in units of 10⁹.
func giga(bytes int64) string { return strconv.FormatFloat(float64(bytes)/1e9, 'f', 2, 64) }
