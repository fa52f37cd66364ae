// Package progress shows how far a long job is: a bar on a terminal, and plain
// lines, at most one every few seconds, anywhere else. The library itself prints
// nothing; the example programs draw with this package.
//
//	bar := progress.New(os.Stderr, "annotate", total)
//	defer bar.Close()
//	bar.Set(done, "1.2 USD")
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lineEvery is the least time between two plain lines.
const lineEvery = 5 * time.Second

// Bar shows the progress of one job. It may be used by several goroutines.
type Bar struct {
	mu    sync.Mutex
	d     display
	done  int
	total int
	ended bool
}

// display draws the state of a bar.
type display interface {
	show(done int, note string)
	log(line string)
	close(done int)
}

// New starts a bar for a job of total steps on w. A total below 1 means that the
// number of steps is not known.
func New(w io.Writer, name string, total int) *Bar {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Bar{d: newTerminal(w, name, total), total: total}
	}
	return &Bar{d: newLines(w, name, total, time.Now), total: total}
}

// Add counts n more steps as done.
func (b *Bar) Add(n int) { b.update(func() int { return b.done + n }, "") }

// Set says that done steps are finished; note is shown beside them, "" keeps
// the last one.
func (b *Bar) Set(done int, note string) { b.update(func() int { return done }, note) }

func (b *Bar) update(done func() int, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.done = done()
	b.d.show(b.done, note)
}

// Logf prints a line of its own without disturbing the bar.
func (b *Bar) Logf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.d.log(fmt.Sprintf(format, args...))
}

// Close shows the last state, unless nothing was done, and ends the bar. A second call
// does nothing.
func (b *Bar) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		b.d.close(b.done)
	}
}

// terminal draws a bar that is redrawn in place.
type terminal struct {
	w    io.Writer
	name string
	bar  *progressbar.ProgressBar
}

func newTerminal(w io.Writer, name string, total int) *terminal {
	if total < 1 {
		total = -1
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetPredictTime(total > 0),
	)
	return &terminal{w: w, name: name, bar: bar}
}

func (t *terminal) show(done int, note string) {
	if note != "" {
		t.bar.Describe(t.name + "  " + note)
	}
	t.bar.Set(done)
}

func (t *terminal) log(line string) {
	t.bar.Clear()
	fmt.Fprintln(t.w, line)
	t.bar.RenderBlank()
}

func (t *terminal) close(int) {
	t.bar.Exit()
	fmt.Fprintln(t.w)
}

// lines prints a line now and then.
type lines struct {
	w       io.Writer
	name    string
	total   int
	now     func() time.Time
	start   time.Time
	last    time.Time
	shown   int
	note    string
	written bool
}

func newLines(w io.Writer, name string, total int, now func() time.Time) *lines {
	return &lines{w: w, name: name, total: total, now: now, start: now(), last: now()}
}

func (l *lines) show(done int, note string) {
	if note != "" {
		l.note = note
	}
	if now := l.now(); now.Sub(l.last) >= lineEvery {
		l.last = now
		l.print(done)
	}
}

func (l *lines) print(done int) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", l.name, done)
	if l.total > 0 {
		fmt.Fprintf(&b, " of %d (%d%%)", l.total, 100*done/l.total)
	}
	fmt.Fprintf(&b, ", %v", l.now().Sub(l.start).Round(time.Second))
	if l.note != "" {
		fmt.Fprintf(&b, ", %s", l.note)
	}
	fmt.Fprintln(l.w, b.String())
	l.shown, l.written = done, true
}

func (l *lines) log(line string) { fmt.Fprintln(l.w, line) }

func (l *lines) close(done int) {
	if done > 0 && (!l.written || l.shown != done) {
		l.print(done)
	}
}
