package gemm

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestForVisitsEveryIndexOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		p := open2(t, workers, "")
		for round := range 300 {
			n, grain := round%50, round%7
			seen := make([]atomic.Int32, n)
			busy := make([]atomic.Int32, workers)
			p.For(n, grain, func(worker, lo, hi int) {
				if busy[worker].Add(1) != 1 {
					t.Error("one worker runs two pieces at once")
				}
				if hi-lo < 1 || hi-lo > max(grain, 1) || lo%max(grain, 1) != 0 {
					t.Errorf("piece [%d,%d) of grain %d", lo, hi, grain)
				}
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
				busy[worker].Add(-1)
			})
			for i := range seen {
				if seen[i].Load() != 1 {
					t.Fatalf("%d workers, n %d, grain %d: index %d visited %d times", workers, n, grain, i, seen[i].Load())
				}
			}
		}
	}
}

// A worker that parked is woken; one that was just busy takes part again.
func TestForUsesAllWorkers(t *testing.T) {
	p := open2(t, 3, "")
	for _, wait := range []time.Duration{0, 5 * time.Millisecond} {
		time.Sleep(wait)
		var used [3]atomic.Bool
		meet := make(chan struct{})
		var arrived atomic.Int32
		p.For(3, 1, func(worker, lo, hi int) {
			used[worker].Store(true)
			if arrived.Add(1) == 3 {
				close(meet)
			}
			<-meet // each piece needs a worker of its own
		})
		for i := range used {
			if !used[i].Load() {
				t.Errorf("worker %d was idle", i)
			}
		}
	}
}

func TestForRaisesThePanicOfAnyWorkerInTheCaller(t *testing.T) {
	p := open2(t, 2, "")
	for bad := range 6 {
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			p.For(6, 1, func(_, lo, _ int) {
				if lo == bad {
					panic("boom")
				}
			})
		}()
	}
	var n atomic.Int32
	p.For(10, 1, func(_, _, _ int) { n.Add(1) })
	if n.Load() != 10 {
		t.Errorf("after a panic, %d of 10 pieces ran", n.Load())
	}
}

func TestForWithOneProcessor(t *testing.T) {
	p := open2(t, 4, "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var sum atomic.Int64
	for range 20 {
		p.For(100, 3, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				sum.Add(int64(i))
			}
		})
	}
	if sum.Load() != 20*4950 {
		t.Errorf("sum %d", sum.Load())
	}
}

func TestForAllocatesNothing(t *testing.T) {
	p := open2(t, 2, "")
	var n atomic.Int64
	f := func(_, lo, hi int) { n.Add(int64(hi - lo)) }
	if a := testing.AllocsPerRun(50, func() { p.For(100, 10, f) }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

func TestNewPoolRefusesUnknownVariants(t *testing.T) {
	if _, err := NewPool(1, "mmx"); err == nil {
		t.Error("no error")
	}
	p := open2(t, 0, "generic")
	if p.Workers() != runtime.GOMAXPROCS(0) || p.Variant() != "generic" {
		t.Errorf("%d workers, variant %q", p.Workers(), p.Variant())
	}
}

func TestCloseEndsTheGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	p, err := NewPool(4, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines left of %d", runtime.NumGoroutine(), before)
}
