package gemm

import (
	"runtime"
	"sync/atomic"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// Pool is a set of persistent workers with their scratch memory, and the
// variant of the kernels that they run.
//
// The goroutine that calls [Pool.For] or a product works too, as worker 0;
// workers 1 and up are goroutines that wait, first spinning for a
// fraction of a millisecond, then parked. A worker that the system does not schedule delays
// nobody: the others take its share. One goroutine at a time may use a pool, and
// the functions it runs must not use the same pool.
type Pool struct {
	kern    *kernels
	vec     vec.Kernels
	workers []worker
	state   atomic.Uint64 // generation<<32 | open bit | workers inside
	next    atomic.Int64  // first index not yet claimed
	n       int
	grain   int
	f       func(worker, lo, hi int)
	failure atomic.Pointer[failure]
	closed  atomic.Bool

	packed   []float32                // rows of the left factor, see packLeft
	lefts    []float32                // units of its whole numbers, see product.unit
	tail     []float32                // rows of the left factor of a product's tail
	job      product                  // product in progress
	pieces   []int                    // first units of its pieces, see product.deal
	packRows func(worker, lo, hi int) // job.pack, bound once so that it costs no allocation
	runTiles func(worker, lo, hi int) // job.run, likewise

	right      []float32                // panels of a right factor, see product.layPanels
	runStrided func(worker, lo, hi int) // job.inPlaceRows
}

// worker is what belongs to one worker.
type worker struct {
	wake     chan struct{}
	parked   atomic.Bool
	scratch  []float32 // one block of the right factor, see product.layOut
	between  []float32 // results between two reduction blocks, see product.sums
	pairs    []uint32  // a block of NR × NR on its way there
	scales   []float32 // of the codes in use, at least maxScales
	turned   []uint32  // a block of NR × NR in pairs, on its way
	integers []float32 // sums and codes in digits, see integerFunc
	shape    tileShape // of the tiles in use
	_        [64]byte  // keep neighbours on other cache lines
}

// failure carries a panic from a worker to the caller.
type failure struct{ value any }

const (
	open       = 1 << 31
	insideMask = open - 1
	spins      = 4000 // pauses before a worker parks, some 200 µs: longer than the gaps between operations
)

// NewPool starts a pool.
//
// workers is the number of workers including the caller; 0 or less means
// runtime.GOMAXPROCS(0). variant is one of [Variants], or "" for the best. A
// variant that this machine or build lacks is an error. Close the pool to end
// its goroutines.
func NewPool(workers int, variant string) (*Pool, error) {
	kern, err := lookup(variant)
	if err != nil {
		return nil, err
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	vectors, err := vec.New(kern.vec)
	if err != nil {
		return nil, err
	}
	p := &Pool{kern: kern, vec: vectors, workers: make([]worker, workers)}
	p.job.pool = p
	p.packRows, p.runTiles, p.runStrided = p.job.pack, p.job.run, p.job.inPlaceRows
	for i := range p.workers {
		p.workers[i].scratch = aligned(blockK * NR)
		p.workers[i].pairs = asWords(aligned(NR * NR))
		p.workers[i].scales = aligned(max(maxScales, heldScales+NR))
		p.workers[i].turned = asWords(aligned(NR * NR / 2))
		p.workers[i].integers = aligned(integerScratch)
		if i > 0 {
			p.workers[i].wake = make(chan struct{}, 1)
			go p.serve(i)
		}
	}
	return p, nil
}

// Workers returns the number of workers, the caller included.
func (p *Pool) Workers() int { return len(p.workers) }

// Variant returns the name of the kernels that the pool runs.
func (p *Pool) Variant() string { return p.kern.name }

// Vec returns the functions on slices of the same variant.
func (p *Pool) Vec() vec.Kernels { return p.vec }

// Close ends the pool's goroutines. The pool must not be used afterwards;
// closing twice is allowed.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	for i := 1; i < len(p.workers); i++ {
		p.workers[i].notify()
	}
}

// For runs f over [0, n) in pieces:
//
//	for lo := 0; lo < n; lo += grain {
//		f(worker, lo, min(lo+grain, n)) // in any order, on any worker
//	}
//
// worker is in [0, Workers()); no two calls with the same worker overlap, so it
// may index scratch memory. Pieces are handed out as workers become free. For
// returns when all are done. grain below 1 counts as 1. With one piece or one
// worker everything runs on the caller. A panic in f is raised again in the
// caller once all workers have stopped; pieces not yet begun may then be missing.
//
// For allocates nothing, but f escapes: a closure made for each call costs an
// allocation, a function value kept by the caller does not.
func (p *Pool) For(n, grain int, f func(worker, lo, hi int)) {
	grain = max(grain, 1)
	if n <= grain || len(p.workers) == 1 {
		for lo := 0; lo < n; lo += grain {
			f(0, lo, min(lo+grain, n))
		}
		return
	}
	p.n, p.grain, p.f = n, grain, f
	p.next.Store(0)
	generation := p.state.Load()>>32 + 1
	p.state.Store(generation<<32 | open)
	pieces := (n + grain - 1) / grain
	for i := 1; i < min(len(p.workers), pieces); i++ {
		if w := &p.workers[i]; w.parked.Load() {
			w.notify()
		}
	}
	p.claim(0)
	p.state.And(^uint64(open))
	p.await()
	p.f = nil
	if fail := p.failure.Swap(nil); fail != nil {
		panic(fail.value)
	}
}

// claim runs pieces until none is left. It is entered only while the job is
// open, and the job is not replaced before every worker has left.
func (p *Pool) claim(worker int) {
	defer p.caught()
	n, grain, f := p.n, p.grain, p.f
	for {
		lo := int(p.next.Add(int64(grain))) - grain
		if lo >= n {
			return
		}
		f(worker, lo, min(lo+grain, n))
	}
}

// caught records a panic and stops the handing out of pieces.
func (p *Pool) caught() {
	if v := recover(); v != nil {
		p.failure.CompareAndSwap(nil, &failure{v})
		p.next.Store(int64(p.n))
	}
}

// await returns when no worker is inside the job, which is closed.
func (p *Pool) await() {
	for spin := 0; p.state.Load()&insideMask != 0; spin++ {
		if spin < spins {
			pause()
		} else {
			runtime.Gosched()
		}
	}
}

// serve is the life of worker i > 0.
func (p *Pool) serve(i int) {
	seen := uint64(0)
	for !p.closed.Load() {
		if p.enter(&seen) {
			p.claim(i)
			p.state.Add(^uint64(0)) // leave
			continue
		}
		p.idle(&p.workers[i], seen)
	}
}

// enter joins the open job unless it is the one of generation *seen.
func (p *Pool) enter(seen *uint64) bool {
	for {
		s := p.state.Load()
		if s&open == 0 || s>>32 == *seen {
			return false
		}
		if p.state.CompareAndSwap(s, s+1) {
			*seen = s >> 32
			return true
		}
	}
}

// idle returns when there may be a job newer than generation seen, or the pool
// was closed.
func (p *Pool) idle(w *worker, seen uint64) {
	for range spins {
		if p.fresh(seen) {
			return
		}
		pause()
	}
	w.parked.Store(true)
	if !p.fresh(seen) && !p.closed.Load() {
		<-w.wake
	}
	w.parked.Store(false)
}

// fresh reports whether a job other than generation seen is open.
func (p *Pool) fresh(seen uint64) bool {
	s := p.state.Load()
	return s&open != 0 && s>>32 != seen
}

// grow makes room for n results between reduction blocks.
func (w *worker) grow(n int) {
	if len(w.between) < n {
		w.between = aligned(n)
	}
}

// notify wakes w, now or at its next attempt to park.
func (w *worker) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
