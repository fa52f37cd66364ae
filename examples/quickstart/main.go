// Command quickstart runs the whole method on a miniature social world, with nothing
// but Go: no network, no files to bring. A model of 0.3 million weights is trained from
// scratch by the code that trains one of 7 billion.
//
//	quickstart                    one seed, a few minutes on two cores
//	quickstart -seeds 3 -control  the proof: what the method claims, with intervals
//
// For each seed it plays episodes of players of mixed skill on the training scenarios,
// shares every episode's scores out among its utterances, fits a reward model to the
// shares, clones the better episodes, and improves the clone by GRPO against the reward
// model. Then everybody plays the held-out scenarios: the printed table has the means
// and the paired differences with their intervals; below it stands what was to be
// shown, and whether it holds. With -control another GRPO run gets the same rewards,
// dealt out at random.
//
// The directory OUT holds report.html, and for each seed the episodes (SOTOPIA's
// format), the credits, the reward records, and the runs: clone, reward, grpo, control.
// Stopped by Ctrl-C or killed, the same command goes on where it was.
//
// The exit code is 0 on success, 1 on failure, which with -control includes a claim that
// does not hold, and 2 on wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/socialrl/socialrl/examples/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, standard)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, size func(seed uint64) settings) int {
	return cli.Run("quickstart", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, func(ctx context.Context, args []string, s cli.Streams) error {
		f, err := parse(args, s)
		if err != nil {
			return err
		}
		return study(ctx, f, size, s)
	})
}

// flags are what the command line says.
type flags struct {
	out     string
	device  string
	seed    uint64
	seeds   int
	control bool
}

func parse(args []string, s cli.Streams) (f flags, err error) {
	fs := cli.NewFlags("quickstart", "Run the whole method on a miniature social world.")
	fs.StringVar(&f.out, "out", filepath.Join("runs", "quickstart"), "`directory` for everything that is made; what is finished there is not made again")
	fs.StringVar(&f.device, "device", "cpu", cli.DeviceUsage)
	fs.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn")
	fs.IntVar(&f.seeds, "seeds", 1, "`number` of experiments, with the seeds seed, seed+1, ...")
	fs.BoolVar(&f.control, "control", false, "train on shuffled rewards as well, and fail if a claim does not hold")
	return f, cli.Parse(fs, args, s, f.check)
}

// check returns a UsageError for the first flag that makes no sense.
func (f *flags) check() error {
	switch {
	case f.seed == 0:
		return cli.Usagef("-seed is 0, want 1 or more")
	case f.seeds < 1:
		return cli.Usagef("-seeds is %d, want at least 1", f.seeds)
	}
	if err := cli.CheckDevice(f.device); err != nil {
		return err
	}
	return cli.Required("out", f.out)
}

// study runs one experiment for each seed and reports on all of them.
func study(ctx context.Context, f flags, size func(seed uint64) settings, s cli.Streams) error {
	var outs []*outcome
	for i := range uint64(f.seeds) {
		seed := f.seed + i
		x := &experiment{
			settings: size(seed), seed: seed, device: f.device, control: f.control, log: s.Err,
			dir: filepath.Join(f.out, fmt.Sprintf("seed-%d", seed)),
		}
		out, err := x.run(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.Err, out.times())
		outs = append(outs, out)
	}
	if err := printTables(s.Out, outs); err != nil {
		return err
	}
	all := claims(outs)
	failed, err := printClaims(s.Out, all)
	if err != nil {
		return err
	}
	path := filepath.Join(f.out, "report.html")
	if err := writeReport(path, outs, all); err != nil {
		return err
	}
	fmt.Fprintln(s.Out, "\nreport", path)
	if f.control && failed > 0 {
		return fmt.Errorf("%d of %d claims do not hold", failed, len(all))
	}
	return nil
}

// times says how long the stages took.
func (o *outcome) times() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d:", o.Seed)
	for _, s := range o.Stages {
		fmt.Fprintf(&b, " %s %v,", s.Name, s.Time.Round(100*time.Millisecond))
	}
	return strings.TrimSuffix(b.String(), ",")
}
