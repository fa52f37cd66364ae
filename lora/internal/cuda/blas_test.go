//go:build cuda && cgo

package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// elements is a matrix's memory on the host, of small whole numbers, which products of
// either type of elements do not round.
type elements []float32

func newElements(n, seed int) elements {
	e := make(elements, n)
	for i := range e {
		e[i] = float32((i*7+seed*13)%11 - 5)
	}
	return e
}

// upload copies the elements to the device in a type.
func (e elements) upload(t *testing.T, d *Device, as ElementType) Ptr {
	t.Helper()
	var data []byte
	for _, x := range e {
		if bits := math.Float32bits(x); as == BF16 {
			data = binary.LittleEndian.AppendUint16(data, uint16(bits>>16))
		} else {
			data = binary.LittleEndian.AppendUint32(data, bits)
		}
	}
	p, err := d.Alloc(int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	d.Upload(p, data)
	return p
}

func download(t *testing.T, d *Device, p Ptr, n int) elements {
	t.Helper()
	data := make([]byte, 4*n)
	if err := d.Download(data, p); err != nil {
		t.Fatal(err)
	}
	e := make(elements, n)
	for i := range e {
		e[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return e
}

// at returns element (i, j) of matrix b of a batch.
func (f *Factor) at(e elements, b, i, j int) float32 {
	if f.Trans {
		i, j = j, i
	}
	return e[b*int(f.Step)+i*f.Stride+j]
}

// Products of row-major matrices, either of them transposed, with rows apart, alone and in
// batches, of both types, are the loops that define them. What lies between rows stays.
func TestMultiply(t *testing.T) {
	d := open(t)
	if err := d.StartBLAS(); err != nil {
		t.Fatal(err)
	}
	const m, n, k, stride, step = 5, 3, 4, 7, 50
	for _, as := range []ElementType{F32, BF16} {
		for _, batch := range []int{0, 2} {
			for trans := range 4 {
				a, b, c := newElements(2*step, 1), newElements(2*step, 2), newElements(2*step, 3)
				p := Product{
					M: m, N: n, K: k, Type: as, Alpha: 2, Beta: float32(trans % 3), Batch: batch,
					A: Factor{P: a.upload(t, d, as), Stride: stride, Step: step, Trans: trans&1 != 0},
					B: Factor{P: b.upload(t, d, as), Stride: stride, Step: step, Trans: trans&2 != 0},
					C: Factor{Stride: stride, Step: step},
				}
				if p.Beta == 0 {
					c[0] = float32(math.NaN()) // is not read
				}
				p.C.P = c.upload(t, d, F32)
				d.Multiply(&p)
				for i := range max(1, batch) * m * n {
					box, row, col := i/(m*n), i/n%m, i%n
					sum := float32(0)
					for l := range k {
						sum += p.A.at(a, box, row, l) * p.B.at(b, box, l, col)
					}
					place := &c[box*step+row*stride+col]
					if *place *= p.Beta; p.Beta == 0 {
						*place = 0
					}
					*place += p.Alpha * sum
				}
				if got := download(t, d, p.C.P, len(c)); fmt.Sprint(got) != fmt.Sprint(c) {
					t.Errorf("type %d, batch %d, transposed %v %v:\n%v, want\n%v", as, batch, p.A.Trans, p.B.Trans, got, c)
				}
			}
		}
	}
}

// A product without elements is nothing to do; one without terms is a mistake.
func TestMultiplyNothing(t *testing.T) {
	d := open(t)
	if err := d.StartBLAS(); err != nil {
		t.Fatal(err)
	}
	d.Multiply(&Product{M: 0, N: 3, K: 4})
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	d.Multiply(&Product{M: 1, N: 3})
}

// A failure names the product, cuBLAS's result and the free memory, and sticks.
func TestMultiplyThatFails(t *testing.T) {
	d := emulated(t)
	p := Product{M: 2, N: 3, K: 4, Alpha: 1}
	d.Multiply(&p)
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "cuBLAS is not started") {
		t.Errorf("without StartBLAS: %v", err)
	}
	if err := d.StartBLAS(); err != nil {
		t.Fatal(err)
	}
	fail(t, "cublasGemmEx:1:999")
	d.Multiply(&p)
	err := d.Sync()
	for _, want := range []string{"product of 2×4 and 4×3", "cuBLAS: EXECUTION_FAILED", "free on"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
}

// Where cuBLAS is missing, StartBLAS says what it looked for. The search is the system's, so
// that it takes a process of its own, whose path has the driver alone.
func TestStartBLASSaysWhatIsMissing(t *testing.T) {
	const alone = "SOCIALRL_TEST_WITHOUT_CUBLAS"
	if os.Getenv(alone) != "" {
		err := open(t).StartBLAS()
		fmt.Printf("StartBLAS: %v\n", err)
		return
	}
	emulated(t)
	folder := t.TempDir()
	for _, path := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if driver := filepath.Join(path, "libcuda.so.1"); fileExists(driver) {
			if err := os.Symlink(driver, filepath.Join(folder, "libcuda.so.1")); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStartBLASSaysWhatIsMissing$")
	cmd.Env = append(os.Environ(), alone+"=1", "LD_LIBRARY_PATH="+folder)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"cuBLAS", "libcublas.so.13, .12 or .11", "cannot be loaded", "cannot open shared object file"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s does not contain %q", out, want)
		}
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
