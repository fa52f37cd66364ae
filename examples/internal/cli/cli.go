// Package cli holds what the example programs share: exit codes, the flags that
// name a model, the flags of a training run, and the reading of training items.
//
//	func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
//
//	func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
//		return cli.Run("score", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, score)
//	}
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// UsageError is a mistake on the command line.
type UsageError struct{ err error }

// Error says what is wrong.
func (e UsageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e UsageError) Unwrap() error { return e.err }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Streams are what a program reads and writes besides files.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a program until it is done or interrupted, and returns its exit code: 0
// on success and for -h, 1 on failure, 2 on wrong usage. A failure is told in one
// line on standard error. The first interrupt ends the context; the second one ends
// the process at once.
func Run(name string, args []string, s Streams, program func(ctx context.Context, args []string, s Streams) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return exit(s.Err, name, program(ctx, args, s), ctx.Err() != nil)
}

func exit(w io.Writer, name string, err error, interrupted bool) int {
	var usage UsageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(w, "%s: %s (-h lists the flags)\n", name, oneLine(err))
		return 2
	case interrupted && errors.Is(err, context.Canceled):
		fmt.Fprintf(w, "%s: interrupted; start again to go on\n", name)
	default:
		fmt.Fprintf(w, "%s: %s\n", name, oneLine(err))
	}
	return 1
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(c rune) bool { return c == '\n' }), "; ")
}

// ParseTo parses flags and refuses arguments behind them. What the flag package
// prints about a mistake is left to Run; what -h asks for goes to w.
func ParseTo(w io.Writer, fs *flag.FlagSet, args []string) error {
	fs.Init(fs.Name(), flag.ContinueOnError)
	help := fs.Usage
	fs.Usage = func() {}
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	fs.SetOutput(w)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if fs.Usage = help; help == nil {
			fmt.Fprintf(w, "Usage of %s:\n", fs.Name())
			fs.PrintDefaults()
		} else {
			help()
		}
		return err
	case err != nil:
		return UsageError{err}
	case fs.NArg() > 0:
		return Usagef("unexpected argument %q", fs.Arg(0))
	}
	return nil
}

// Parse parses the flags of a program as [ParseTo] does, has them checked, and prints
// the effective configuration on standard error. Where one of these fails nothing is
// printed but what -h asks for.
func Parse(fs *flag.FlagSet, args []string, s Streams, check func() error) error {
	if err := ParseTo(s.Out, fs, args); err != nil {
		return err
	}
	if err := check(); err != nil {
		return err
	}
	Show(s.Err, fs)
	return nil
}

// NewFlags returns an empty set of flags; -h prints the synopsis above them.
func NewFlags(name, synopsis string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\n\nFlags:\n", synopsis)
		fs.PrintDefaults()
	}
	return fs
}

// Required returns a UsageError that names the first flag in pairs of name and value
// whose value is empty.
func Required(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return Usagef("-%s is missing", pairs[i])
		}
	}
	return nil
}
