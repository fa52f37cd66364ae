package progress

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Where there is no terminal, a line comes every five seconds and at the end.
func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		bar := New(&b, "annotate", 40)
		for i := range 40 {
			time.Sleep(300 * time.Millisecond)
			bar.Set(i+1, "1.5 USD")
			if i == 19 {
				bar.Logf("episode %d failed", i)
			}
		}
		bar.Close()
		bar.Close()
		bar.Add(1)
		want := strings.Join([]string{
			"annotate: 17 of 40 (42%), 5s, 1.5 USD",
			"episode 19 failed",
			"annotate: 34 of 40 (85%), 10s, 1.5 USD",
			"annotate: 40 of 40 (100%), 12s, 1.5 USD",
			"",
		}, "\n")
		if b.String() != want {
			t.Errorf("printed\n%swant\n%s", b.String(), want)
		}
	})
}

func TestUnknownTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		bar := New(&b, "import", 0)
		bar.Add(3)
		bar.Add(4)
		bar.Close()
		if want := "import: 7, 0s\n"; b.String() != want {
			t.Errorf("printed %q, want %q", b.String(), want)
		}
	})
}

// The bar of a terminal shows name, count and note.
func TestTerminalBar(t *testing.T) {
	var b bytes.Buffer
	bar := &Bar{d: newTerminal(&b, "train", 10), total: 10}
	bar.Set(10, "loss 0.5")
	bar.Logf("checkpoint written")
	bar.Close()
	for _, want := range []string{"train", "10/10", "loss 0.5", "checkpoint written\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not shown in %q", want, b.String())
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	var b bytes.Buffer
	bar := New(&b, "play", 800)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				bar.Add(1)
			}
		})
	}
	wg.Wait()
	bar.Close()
	if !strings.Contains(b.String(), "play: 800 of 800 (100%)") {
		t.Errorf("printed %q", b.String())
	}
}
