//go:build cuda && cgo

package cuda

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// open opens GPU 0, or skips the test where there is none.
func open(t *testing.T) *Device {
	t.Helper()
	d, err := Open(0)
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no GPU here: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// emulated opens the emulated GPU, which fails on demand; other tests are not meant for
// it alone.
func emulated(t *testing.T) *Device {
	t.Helper()
	d := open(t)
	if !strings.HasPrefix(d.Name(), "Emulated") {
		t.Skipf("SKIPPED, NOT TESTED: failures are provoked on the emulated GPU, this is %s", d.Name())
	}
	return d
}

// vector is n floats on the device.
type vector struct {
	d *Device
	p Ptr
	n int
}

func newVector(t *testing.T, d *Device, n int, fill float32) vector {
	t.Helper()
	p, err := d.Alloc(4 * int64(n))
	if err != nil {
		t.Fatal(err)
	}
	v := vector{d, p, n}
	v.write(fill)
	return v
}

// write sets all elements, by staged data.
func (v vector) write(x float32) {
	data := make([]byte, 0, 4*v.n)
	for range v.n {
		b := math.Float32bits(x)
		data = append(data, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
	v.d.Upload(v.p, data)
}

// read returns the elements' common value.
func (v vector) read(t *testing.T) float32 {
	t.Helper()
	data := make([]byte, 4*v.n)
	if err := v.d.Download(data, v.p); err != nil {
		t.Fatal(err)
	}
	var first uint32
	for i := range v.n {
		b := uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24
		if i == 0 {
			first = b
		}
		if b != first {
			t.Fatalf("element %d is %v, element 0 is %v", i, math.Float32frombits(b), math.Float32frombits(first))
		}
	}
	return math.Float32frombits(first)
}

var (
	addKernel   = Kernel("elementwise", "accumulate_elements")
	scaleKernel = Kernel("elementwise", "scale_elements")
	pickKernel  = Kernel("elementwise", "pick_rows")
)

// add sets v += w.
func add(c *Call, v, w vector) {
	c.Begin(addKernel)
	c.Shape(1, v.n)
	for _, word := range []uint64{uint64(v.p), 1, uint64(v.n), uint64(v.n), uint64(w.p), uint64(w.n)} {
		c.Word(word)
	}
	v.d.Launch(c, Grid{2, 1, 1, 64, 0})
}

// scale sets v *= s.
func scale(c *Call, v vector, s float32) {
	c.Begin(scaleKernel)
	for _, word := range []uint64{uint64(v.p), 1, uint64(v.n), uint64(v.n), uint64(math.Float32bits(s))} {
		c.Word(word)
	}
	v.d.Launch(c, Grid{1, 1, 1, 32, 0})
}

// pickRow sets dst to row i of table, which is staged.
func pickRow(c *Call, dst, table vector, i byte) {
	ids := dst.d.Stage([]byte{i, 0, 0, 0})
	c.Begin(pickKernel)
	for _, word := range []uint64{uint64(dst.p), 1, uint64(dst.n), uint64(dst.n), uint64(table.p), uint64(dst.n), uint64(ids)} {
		c.Word(word)
	}
	dst.d.Launch(c, Grid{1, 1, 1, 32, 0})
}

func TestDeviceHasProperties(t *testing.T) {
	d := open(t)
	major, minor := d.Capability()
	free, total := d.Memory()
	if d.Name() == "" || d.SMs() <= 0 || major*10+minor < minCapability || free <= 0 || free > total {
		t.Errorf("%q, %d multiprocessors, capability %d.%d, %d of %d bytes free", d.Name(), d.SMs(), major, minor, free, total)
	}
}

func TestLaunchesComeInOrder(t *testing.T) {
	d := open(t)
	var c Call
	v, w := newVector(t, d, 1000, 1), newVector(t, d, 1000, 2)
	add(&c, v, w)      // 3
	scale(&c, w, 10)   // 20
	add(&c, v, w)      // 23
	scale(&c, v, -0.5) // -11.5
	if got := v.read(t); got != -11.5 {
		t.Errorf("got %v, want -11.5", got)
	}
}

func TestStagingBeginsAnew(t *testing.T) {
	d := open(t)
	var c Call
	table, row := newVector(t, d, 3*64, 0), newVector(t, d, 64, 0)
	for i := range 3 {
		vector{d, table.p.Add(int64(i) * 256), 64}.write(float32(i))
	}
	sum := newVector(t, d, 64, 0)
	filler := make([]byte, stagingSize/stagingShare)
	want := float32(0)
	for i := range 40 { // five times around
		d.Stage(filler)
		pickRow(&c, row, table, byte(i%3))
		add(&c, sum, row)
		want += float32(i % 3)
	}
	if got := sum.read(t); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStagingGrows(t *testing.T) {
	d := open(t)
	var c Call
	row := newVector(t, d, 64, 0)
	large := make([]byte, 3*stagingSize)
	for i := range large {
		large[i] = byte(i >> 16)
	}
	small := d.Stage([]byte{1, 0, 0, 0})
	p := d.Stage(large) // what was staged before stays
	table := newVector(t, d, 128, 7)
	c.Begin(pickKernel)
	for _, word := range []uint64{uint64(row.p), 1, 64, 64, uint64(table.p), 64, uint64(small)} {
		c.Word(word)
	}
	d.Launch(&c, Grid{1, 1, 1, 32, 0})
	if got := row.read(t); got != 7 {
		t.Errorf("row is %v", got)
	}
	back := make([]byte, len(large))
	if err := d.Download(back, p); err != nil {
		t.Fatal(err)
	}
	for i := range back {
		if back[i] != large[i] {
			t.Fatalf("byte %d of %d differs", i, len(back))
		}
	}
}

// A step of a sequence that varies in what it stages, as decoding does.
func step(c *Call, d *Device, sum, row, table vector, i int) {
	for k := range 4 {
		pickRow(c, row, table, byte((i+k)%3))
		add(c, sum, row)
		scale(c, sum, 0.5)
	}
}

func TestRegionComputesWhatCallsCompute(t *testing.T) {
	d := open(t)
	var c Call
	table, row := newVector(t, d, 3*64, 0), newVector(t, d, 64, 0)
	for i := range 3 {
		vector{d, table.p.Add(int64(i) * 256), 64}.write(float32(1 + i))
	}
	alone, together := newVector(t, d, 64, 0), newVector(t, d, 64, 0)
	for i := range 10 {
		step(&c, d, alone, row, table, i)
		d.Begin(1)
		step(&c, d, together, row, table, i)
		if i == 5 { // one more launch, another recording
			scale(&c, together, 3)
		}
		if i == 7 { // waits in the middle
			together.read(t)
			scale(&c, together, 2)
		}
		d.End()
		switch i {
		case 5:
			scale(&c, alone, 3)
		case 7:
			scale(&c, alone, 2)
		}
		if want, got := alone.read(t), together.read(t); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("step %d: %v, alone %v", i, got, want)
		}
	}
	// Steps 1-4 repeat step 0; step 5 adds a launch, 6 is shorter than 5, and 7 ends where
	// it waits, which is where 8 and 9 end.
	if _, graphs := d.Launches(); graphs != 4+3 {
		t.Errorf("%d graphs were launched, want 7", graphs)
	}
}

func TestRegionsDoNotAllocate(t *testing.T) {
	d := open(t)
	var c Call
	table, row, sum := newVector(t, d, 3*64, 1), newVector(t, d, 64, 0), newVector(t, d, 64, 0)
	i := 0
	for name, f := range map[string]func(){
		"alone": func() { step(&c, d, sum, row, table, i) },
		"in a region": func() {
			d.Begin(7)
			step(&c, d, sum, row, table, i)
			d.End()
		},
	} {
		f()
		f()
		if n := testing.AllocsPerRun(20, func() { i++; f() }); n > 0 {
			t.Errorf("a step %s allocates %v times", name, n)
		}
	}
}

func TestRegionStagesMoreThanItsMemory(t *testing.T) {
	d := open(t)
	var c Call
	table, row, sum := newVector(t, d, 3*64, 1), newVector(t, d, 64, 0), newVector(t, d, 64, 0)
	for range 4 {
		d.Begin(1)
		pickRow(&c, row, table, 1)
		add(&c, sum, row)
		d.Stage(make([]byte, 2*regionSize))
		pickRow(&c, row, table, 2)
		add(&c, sum, row)
		d.End()
	}
	if got := sum.read(t); got != 8 {
		t.Errorf("got %v, want 8", got)
	}
}

func TestRecordingsAreBounded(t *testing.T) {
	d := open(t)
	var c Call
	v := newVector(t, d, 64, 1)
	for key := range uint64(3 * maxRecordings) {
		d.Begin(key)
		scale(&c, v, 1)
		d.End()
	}
	if n := len(d.region.recordings); n != maxRecordings {
		t.Errorf("%d recordings are kept, want %d", n, maxRecordings)
	}
}

// fail has the emulator's function fail from now on, until the test ends.
func fail(t *testing.T, plan string) {
	t.Helper()
	t.Setenv("SOCIALRL_EMULATOR_FAIL", plan)
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	emulated(t)
	for _, test := range []struct{ name, env, value, want string }{
		{"no GPU", "SOCIALRL_EMULATOR_DEVICES", "0", "no NVIDIA GPU"},
		{"old driver", "SOCIALRL_EMULATOR_DRIVER", "11040", "CUDA 11.4, needed is 11.7"},
		{"old GPU", "SOCIALRL_EMULATOR_CAPABILITY", "75", "compute capability 7.5, needed is 8.0"},
		{"driver that does not start", "SOCIALRL_EMULATOR_FAIL", "cuInit:1:999", "unknown error"},
		{"no context", "SOCIALRL_EMULATOR_FAIL", "cuDevicePrimaryCtxRetain:1:2", "making a context"},
		{"no pinned memory", "SOCIALRL_EMULATOR_FAIL", "cuMemHostAlloc:1:2", "pinning"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(test.env, test.value)
			d, err := Open(0)
			if err == nil {
				_ = d.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not contain %q", err, test.want)
			}
		})
	}
	if _, err := Open(5); err == nil || !strings.Contains(err.Error(), "no GPU 5, allowed are 0 to") {
		t.Errorf("Open(5): %v", err)
	}
}

func TestFailureSticksUntilSync(t *testing.T) {
	d := emulated(t)
	var c Call
	v, w := newVector(t, d, 100, 1), newVector(t, d, 100, 1)
	fail(t, "cuLaunchKernel:1:701")
	add(&c, v, w)
	add(&c, v, w) // does nothing
	err := d.Download(make([]byte, 4), v.p)
	for _, want := range []string{"accumulate_elements of 1×100", "too many resources", "free on Emulated GPU"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
	if again := d.Sync(); again != err {
		t.Errorf("Sync reports %v, the first failure is %v", again, err)
	}
	if err := d.Sync(); err != nil {
		t.Errorf("the second Sync reports %v", err)
	}
	if got := v.read(t); got != 1 {
		t.Errorf("an operation that failed, or one after it, changed its output to %v", got)
	}
}

func TestOutOfMemoryIsAnError(t *testing.T) {
	d := emulated(t)
	_, err := d.Alloc(1 << 50)
	if !errors.Is(err, ErrOutOfMemory) || !strings.Contains(err.Error(), "GiB wanted") || !strings.Contains(err.Error(), "free on") {
		t.Errorf("error %v", err)
	}
	if err := d.Sync(); err != nil {
		t.Errorf("it sticks: %v", err)
	}
}

func TestModuleThatDoesNotLoad(t *testing.T) {
	d := emulated(t)
	for name, text := range map[string]string{"nonsense": "nonsense", "future": ".version 99.0\n.target sm_80\n"} {
		ids, err := Register("test "+name, text, "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Load(ids[0]); err == nil || !strings.Contains(err.Error(), "module test "+name) {
			t.Errorf("%s: error %v does not name the module", name, err)
		}
	}
	if _, err := Register("test nonsense", "other", "k"); err == nil {
		t.Error("two modules of one name are no error")
	}
	if err := d.Load(Kernel("elementwise", "no_such_kernel")); err == nil || !strings.Contains(err.Error(), "no_such_kernel") {
		t.Errorf("a kernel that is not there: %v", err)
	}
}

func TestGraphThatFails(t *testing.T) {
	d := emulated(t)
	var c Call
	table, row, sum := newVector(t, d, 3*64, 1), newVector(t, d, 64, 0), newVector(t, d, 64, 0)
	region := func() {
		d.Begin(1)
		step(&c, d, sum, row, table, 0)
		d.End()
	}
	region()
	fail(t, "cuGraphInstantiate:0:801") // the calls go on alone
	region()
	region()
	kernels, graphs := d.Launches()
	if err := d.Sync(); err != nil || graphs != 0 || kernels != 3*12 {
		t.Errorf("%v, %d graphs, %d kernels", err, graphs, kernels)
	}
	if got, want := sum.read(t), float32(1-math.Pow(2, -12)); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
