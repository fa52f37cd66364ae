//go:build cuda && cgo

package lora_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/lora/internal/enginetest"
)

// requireGPU skips the test, and says so, where there is no GPU. Any other failure to open
// one is a failure of the test.
func requireGPU(t *testing.T) {
	t.Helper()
	e, err := lora.Open("cuda:0")
	switch {
	case err == nil:
		t.Logf("tested on %s", e.Name())
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	case strings.Contains(err.Error(), "no NVIDIA driver"), strings.Contains(err.Error(), "finds no NVIDIA GPU"):
		t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
	default:
		t.Fatal(err)
	}
}

func TestCUDAEngine(t *testing.T) {
	requireGPU(t)
	for _, name := range []string{"cuda:0", "cuda:0:f32"} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func() (lora.Engine, error) { return lora.Open(name) })
		})
	}
}

func TestCUDANames(t *testing.T) {
	requireGPU(t)
	for name, suffix := range map[string]string{"cuda": " bf16", "cuda:0": " bf16", "cuda:0:bf16": " bf16", "cuda:0:f32": " f32"} {
		e, err := lora.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Name(); !strings.HasPrefix(got, "cuda ") || !strings.HasSuffix(got, suffix) {
			t.Errorf("Open(%q).Name() = %q", name, got)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenCUDAErrors(t *testing.T) {
	for name, want := range map[string]string{
		"cuda:x":     "allowed are a GPU's number and :bf16 or :f32",
		"cuda:0:f16": "allowed are a GPU's number and :bf16 or :f32",
	} {
		if _, err := lora.Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
	requireGPU(t)
	if _, err := lora.Open("cuda:99"); err == nil || !strings.Contains(err.Error(), "no GPU 99, allowed are 0 to") {
		t.Errorf("Open(cuda:99): %v", err)
	}
}

// emulatedGPU opens the emulated GPU, on which failures can be provoked.
func emulatedGPU(t *testing.T) lora.Engine {
	t.Helper()
	requireGPU(t)
	e, err := lora.Open("cuda:0:f32")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if !strings.Contains(e.Name(), "Emulated") {
		t.Skipf("SKIPPED: failures are provoked on the emulated GPU, this is %s", e.Name())
	}
	return e
}

func TestCUDAFailureNamesOperationShapesAndMemory(t *testing.T) {
	e := emulatedGPU(t)
	a, b := e.NewView(3, 4), e.NewView(3, 4)
	e.Write(a, make([]float32, 12))
	t.Setenv("SOCIALRL_EMULATOR_FAIL", "cuLaunchKernel:1:719")
	e.Accumulate(a.ColRange(0, 3), b.ColRange(1, 4))
	e.Zero(b) // does nothing
	_, err := e.SumSquares(a)
	for _, want := range []string{"lora: ", "accumulate_elements of 3×3, 3×3", "launch failure", "free on Emulated GPU"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SumSquares: error %v does not contain %q", err, want)
		}
	}
	if again := e.Read(make([]float32, 12), a); again == nil || again.Error() != err.Error() {
		t.Errorf("Read reports %v, the first failure is %v", again, err)
	}
	if again := e.Sync(); again == nil || again.Error() != err.Error() {
		t.Errorf("Sync reports %v, the first failure is %v", again, err)
	}
	if err := e.Sync(); err != nil {
		t.Errorf("the second Sync reports %v", err)
	}
}

func TestCUDAOutOfMemory(t *testing.T) {
	e := emulatedGPU(t)
	huge := e.NewView(1<<20, 1<<20)
	e.Zero(huge)
	if err := e.Sync(); err == nil || !strings.Contains(err.Error(), "out of memory: 4096.0 GiB wanted") || !strings.Contains(err.Error(), "free on") {
		t.Errorf("NewView: %v", err)
	}
	e.Zero(huge)
	if err := e.Sync(); err == nil || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("an operation on a view without memory: %v", err)
	}
	mark := e.Mark()
	e.Zero(e.Temp(1<<20, 1<<20))
	if err := e.Sync(); err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("Temp: %v", err)
	}
	e.Reset(mark)
	e.Reserve(1 << 50)
	v := e.Temp(2, 2)
	e.Zero(v)
	if sum, err := e.SumSquares(v); err != nil || sum != 0 {
		t.Errorf("after the arena could not be reserved: %v, %v", sum, err)
	}
}

// The module holds a kernel that the engine has anyway, as another package might bring it.
func TestCUDALauncher(t *testing.T) {
	l := emulatedGPU(t).(lora.Launcher)
	const ptx = ".version 7.7\n.target sm_80\n.address_size 64\n" +
		".visible .entry sum_partials(.param .u64 a, .param .u64 b, .param .u32 c)\n{\n\tret;\n}\n"
	kernels, err := l.Kernels("launcher test", ptx, "sum_partials", "other")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []byte
	for i := range 100 {
		numbers = binary.LittleEndian.AppendUint64(numbers, math.Float64bits(float64(i)))
	}
	sum := make([]byte, 8)
	if err := l.Launch(kernels[0], 1, 256, sum, [][]byte{numbers}, 100); err != nil {
		t.Fatal(err)
	}
	if got := math.Float64frombits(binary.LittleEndian.Uint64(sum)); got != 4950 {
		t.Errorf("the kernel gives %v, want 4950", got)
	}
	if err := l.Launch(kernels[1], 1, 32, nil, nil); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a kernel that is not in its module: %v", err)
	}
	if err := l.Sync(); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("Sync after it: %v", err)
	}
	if _, err := l.Kernels("launcher test", "another text"); err == nil || !strings.Contains(err.Error(), "launcher test") {
		t.Errorf("two modules of one name: %v", err)
	}
}

func TestCUDALimits(t *testing.T) {
	requireGPU(t)
	e, err := lora.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	before := e.Stats()
	l := e.(lora.Measurer).Limits()
	if l.F32 < 1e6 || l.F32 > 1e15 || l.BF16 < 1e6 || l.BF16 > 1e17 || l.Read < 1e6 || l.Read > 1e14 {
		t.Errorf("limits %+v", l)
	}
	if e.Stats().Views != before.Views {
		t.Error("measuring keeps memory")
	}
}
