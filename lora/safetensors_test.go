package lora_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
)

// testdata/safetensors/dtypes.safetensors was written by safetensors 0.8.0 from
// torch 2.6.0: one tensor of each type, with the values of this table.
func TestReadEveryType(t *testing.T) {
	s := stOpenTest(t, "testdata/safetensors/dtypes.safetensors")
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		name   string
		dtype  string
		shape  string
		floats []float32 // nil: not a type that converts
		raw    string
	}{
		{"f32", "F32", "[2 3]", []float32{0, -1.5, 3.4e38, 1e-45, 2, inf}, ""},
		{"f16", "F16", "[8]", []float32{0, stNegZero(), 1, -2, 65504, 0x1p-24, 0x1.ff8p-15, inf}, ""},
		{"bf16", "BF16", "[2 2 2]", []float32{0, stNegZero(), 1, -2, 3.140625, 0x1p-133, 0x1.c4p127, -inf}, ""},
		{"scalar", "F32", "[]", []float32{2.5}, ""},
		{"none", "F32", "[0 4]", []float32{}, ""},
		{"f64", "F64", "[1]", nil, "000000000000f07f"},
		{"i64", "I64", "[2]", nil, "ffffffffffffffff0000000000010000"},
		{"i32", "I32", "[1]", nil, "f9ffffff"},
		{"i16", "I16", "[1]", nil, "d4fe"},
		{"i8", "I8", "[1]", nil, "fd"},
		{"u8", "U8", "[1]", nil, "ff"},
		{"bool", "BOOL", "[2]", nil, "0100"},
		{"c64", "C64", "[1]", nil, "0000803f00000040"},
		{"e4m3", "F8_E4M3", "[1]", nil, "38"},
		{"e5m2", "F8_E5M2", "[1]", nil, "3c"},
		{"名 \"q\"\n", "F32", "[1]", []float32{1}, ""},
	} {
		x, ok := s.Tensor(c.name)
		if !ok || x.DType.String() != c.dtype || fmt.Sprint(x.Shape) != c.shape {
			t.Errorf("%s: %v, %s %v, want %s %s", c.name, ok, x.DType, x.Shape, c.dtype, c.shape)
		}
		got, err := x.Floats()
		if c.floats == nil {
			if err == nil || !strings.Contains(err.Error(), c.dtype) {
				t.Errorf("%s: error %v, want one that names %s", c.name, err, c.dtype)
			}
			if fmt.Sprintf("%x", x.Data) != c.raw {
				t.Errorf("%s: bytes %x, want %s", c.name, x.Data, c.raw)
			}
			continue
		}
		if err != nil || !stSameBits(got, c.floats) {
			t.Errorf("%s: %v (%v), want %v", c.name, got, err, c.floats)
		}
	}
	if m := s.Metadata(); len(m) != 1 || m["made by"] != "torch é" {
		t.Errorf("metadata %v", m)
	}
}

// A file that is read and written again is the same file, byte for byte: order
// of tensors, spelling of the header and padding are those of the reference.
func TestWriteEqualsReference(t *testing.T) {
	paths := []string{"testdata/safetensors/dtypes.safetensors"}
	if fixtures.Set() {
		more, err := filepath.Glob(filepath.Join(fixtures.Path(t, "models"), "*", "*.safetensors"))
		if err != nil || len(more) < 10 {
			t.Fatalf("%d files (%v)", len(more), err)
		}
		paths = append(paths, more...)
	}
	for _, path := range paths {
		s := stOpenTest(t, path)
		var all []lora.Tensor
		for _, name := range s.Names() {
			x, _ := s.Tensor(name)
			all = append(all, x)
		}
		slices.Reverse(all)
		out := filepath.Join(t.TempDir(), "out.safetensors")
		if err := lora.WriteSafetensors(out, all, s.Metadata()); err != nil {
			t.Fatal(err)
		}
		want, got := stReadText(t, path), stReadText(t, out)
		if !bytes.Equal(want, got) {
			t.Errorf("%s: written file differs", path)
		}
	}
}

func TestRowsInBlocks(t *testing.T) {
	v := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	x := lora.NewF32("x", []int{5, 2}, v)
	rows, err := x.Rows(2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, block := range rows {
		got = append(got, fmt.Sprint(r, block))
	}
	if want := []string{"0 [1 2 3 4]", "2 [5 6 7 8]", "4 [9 10]"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	part := make([]float32, 3)
	if err := x.ReadFloats(part, 7); err != nil || !slices.Equal(part, v[7:]) {
		t.Errorf("%v (%v)", part, err)
	}
}

// Rounding to bfloat16: nearest, ties to even; infinities and NaN stay.
func TestBF16Rounding(t *testing.T) {
	for _, c := range []struct {
		in   uint32
		want uint16
		why  string
	}{
		{0x3f800000, 0x3f80, "exact"},
		{0x3f807fff, 0x3f80, "below the middle"},
		{0x3f808000, 0x3f80, "middle, even stays"},
		{0x3f818000, 0x3f82, "middle, odd goes up"},
		{0x3f808001, 0x3f81, "above the middle"},
		{0xbf808001, 0xbf81, "sign"},
		{0x7f7fffff, 0x7f80, "overflow to infinity"},
		{0xff800000, 0xff80, "infinity"},
		{0x7f800001, 0x7fc0, "NaN whose upper half is an infinity"},
	} {
		x := lora.NewBF16("x", []int{1}, []float32{math.Float32frombits(c.in)})
		if got := binary.LittleEndian.Uint16(x.Data); got != c.want {
			t.Errorf("%s: %#x gives %#x, want %#x", c.why, c.in, got, c.want)
		}
	}
}

// What a file may not do, each with what its error must say.
func TestRefuseBrokenFiles(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"dtype":"%s","shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
	}
	good := entry("F32", "[1]", "[0,4]")
	for _, c := range []struct {
		file string
		want string
	}{
		{"", "0 bytes"},
		{"1234567", "7 bytes"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff{}", "at most 100000000"},
		{"\x10\x00\x00\x00\x00\x00\x00\x00{}", "truncated"},
		{stFileText("", ""), "does not start with '{'"},
		{stFileText(" {}", ""), "does not start with '{'"},
		{stFileText("{", ""), "unexpected EOF"},
		{stFileText("{}x", ""), "header"},
		{stFileText("{}{}", ""), "more than one JSON value"},
		{stFileText("{}", "data"), "4 bytes after the last tensor"},
		{stFileText("{\"\xff\":"+good+"}", "data"), "UTF-8"},
		{stFileText(`{"a":`+good+`,"a":`+good+`}`, "data"), "duplicate"},
		{stFileText(`{"a":{"dtype":"F32","dtype":"F32"}}`, "data"), "duplicate"},
		{stFileText(`{"a":`+strings.Repeat("[", 20000), ""), "object expected"},
		{stFileText(`{"a":{"x":`+strings.Repeat("[", 20000), ""), "depth"},
		{stFileText(`{"a":7}`, ""), "object expected"},
		{stFileText(`{"a":{}}`, ""), `no "dtype"`},
		{stFileText(`{"a":{"dtype":"F32"}}`, ""), `no "shape"`},
		{stFileText(`{"a":{"dtype":"F32","shape":[1]}}`, ""), "0 numbers"},
		{stFileText(`{"a":{"dtype":3}}`, ""), "string expected"},
		{stFileText(`{"a":`+entry("F33", "[1]", "[0,4]")+`}`, "data"), `unknown dtype "F33"`},
		{stFileText(`{"a":`+entry("F32", "[1]", "[0,4,8]")+`}`, "data"), "3 numbers"},
		{stFileText(`{"a":`+entry("F32", "[1]", "[4,0]")+`}`, "data"), "before they begin"},
		{stFileText(`{"a":`+entry("F32", "[2]", "[0,4]")+`}`, "data"), "takes 8 bytes"},
		{stFileText(`{"a":`+entry("F16", "[1]", "[0,4]")+`}`, "data"), "takes 2 bytes"},
		{stFileText(`{"a":`+entry("F32", "[-1]", "[0,4]")+`}`, "data"), "-1 is not an integer"},
		{stFileText(`{"a":`+entry("F32", "[1.5]", "[0,4]")+`}`, "data"), "1.5 is not an integer"},
		{stFileText(`{"a":`+entry("F32", "[1e2]", "[0,4]")+`}`, "data"), "1e2 is not an integer"},
		{stFileText(`{"a":`+entry("F32", "[4611686018427387904,4]", "[0,4]")+`}`, "data"), "overflows"},
		{stFileText(`{"a":`+entry("F32", "[18446744073709551615]", "[0,4]")+`}`, "data"), "not an integer"},
		{stFileText(`{"a":`+entry("F32", "["+strings.Repeat("1,", 64)+"1]", "[0,4]")+`}`, "data"), "more than 64"},
		{stFileText(`{"a":`+entry("F32", "[2]", "[0,8]")+`}`, "data"), "truncated"},
		{stFileText(`{"a":`+entry("F32", "[1]", "[2,6]")+`}`, "data56"), "hole"},
		{stFileText(`{"a":`+good+`,"b":`+entry("F32", "[1]", "[2,6]")+`}`, "data56"), "overlap"},
		{stFileText(`{"__metadata__":{"a":1}}`, ""), "string expected"},
	} {
		path := filepath.Join(t.TempDir(), "bad.safetensors")
		stWriteText(t, path, c.file)
		s, err := lora.OpenSafetensors(path)
		if err == nil {
			t.Errorf("%.60q opens: %v", c.file, s.Names())
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.60q: error %q lacks %q or the path", c.file, err, c.want)
		}
	}
}

func TestOpenModelSingleAndShards(t *testing.T) {
	dir := t.TempDir()
	one := lora.NewF32("one", []int{1}, []float32{1})
	two := lora.NewBF16("two", []int{1}, []float32{2})
	stWriteTest(t, filepath.Join(dir, "a.safetensors"), one)
	stWriteTest(t, filepath.Join(dir, "b.safetensors"), two)
	stWriteText(t, filepath.Join(dir, "model.safetensors.index.json"),
		`{"metadata":{"total_size":6},"weight_map":{"one":"a.safetensors","two":"b.safetensors"}}`)
	s, err := lora.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !slices.Equal(s.Names(), []string{"one", "two"}) || filepath.Base(s.File("two")) != "b.safetensors" {
		t.Errorf("%v, two in %s", s.Names(), s.File("two"))
	}
	stWriteTest(t, filepath.Join(dir, "model.safetensors"), one)
	whole, err := lora.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if !slices.Equal(whole.Names(), []string{"one"}) {
		t.Errorf("beside shards a single file counts, got %v", whole.Names())
	}
}

func TestRefuseBrokenShards(t *testing.T) {
	for _, c := range []struct{ index, want string }{
		{`{"weight_map":{"one":"a.safetensors","x":"a.safetensors","two":"b.safetensors"}}`, "missing from their shards: x (in a.safetensors)"},
		{`{"weight_map":{"one":"b.safetensors","two":"a.safetensors"}}`, "missing from their shards: one (in b.safetensors), two (in a.safetensors)"},
		{`{"weight_map":{"one":"a.safetensors","x":"b.safetensors"}}`, "not listed: two"},
		{`{"weight_map":{"one":"a.safetensors","two":"c.safetensors"}}`, "in two shards: one"},
		{`{"weight_map":{"one":"gone.safetensors"}}`, "gone.safetensors"},
		{`{"weight_map":{"one":"../a.safetensors"}}`, "not a file name"},
		{`{"weight_map":{"one":""}}`, "not a file name"},
		{`{"weight_map":{"one":"a\\b"}}`, "not a file name"},
		{`{"weight_map":{"one":1}}`, "/weight_map/one"},
		{`{"weight_map":{}}`, "no weight_map"},
		{`{`, "EOF"},
	} {
		dir := t.TempDir()
		one := lora.NewF32("one", []int{1}, []float32{1})
		two := lora.NewF32("two", []int{1}, []float32{2})
		stWriteTest(t, filepath.Join(dir, "a.safetensors"), one)
		stWriteTest(t, filepath.Join(dir, "b.safetensors"), two)
		stWriteTest(t, filepath.Join(dir, "c.safetensors"), one, two)
		stWriteText(t, filepath.Join(dir, "model.safetensors.index.json"), c.index)
		s, err := lora.OpenModel(dir)
		if err == nil {
			t.Errorf("%s opens: %v", c.index, s.Names())
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %q lacks %q or the path", c.index, err, c.want)
		}
	}
}

func TestOpenModelWithoutWeights(t *testing.T) {
	dir := t.TempDir()
	if _, err := lora.OpenModel(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
	stWriteText(t, filepath.Join(dir, "pytorch_model.bin"), "x")
	if _, err := lora.OpenModel(dir); err == nil || !strings.Contains(err.Error(), "pytorch_model.bin") {
		t.Errorf("pickled weights: %v", err)
	}
	if _, err := lora.OpenModel(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := lora.OpenSafetensors(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory as file: %v", err)
	}
}

// A failed write leaves the former file as it was and nothing beside it.
func TestWriteAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.safetensors")
	good := lora.NewF32("x", []int{1}, []float32{1})
	stWriteTest(t, path, good)
	before := stReadText(t, path)
	failed := errors.New("source failed")
	for _, c := range []struct {
		tensors []lora.Tensor
		data    func(lora.Tensor) ([]byte, error)
		want    string
	}{
		{[]lora.Tensor{good, good}, nil, "twice"},
		{[]lora.Tensor{{Name: "__metadata__", DType: lora.DTypeF32}}, nil, "reserved"},
		{[]lora.Tensor{{Name: "y"}}, nil, "unknown type"},
		{[]lora.Tensor{{Name: "\xff", DType: lora.DTypeF32}}, nil, "UTF-8"},
		{[]lora.Tensor{{Name: "y", DType: lora.DTypeF32, Shape: []int{-1}}}, nil, "negative"},
		{[]lora.Tensor{{Name: "y", DType: lora.DTypeF32, Shape: []int{math.MaxInt, 8}}}, nil, "overflows"},
		{[]lora.Tensor{{Name: "y", DType: lora.DTypeF32, Shape: []int{2}, Data: make([]byte, 7)}}, nil, "7 bytes of data"},
		{[]lora.Tensor{good}, func(lora.Tensor) ([]byte, error) { return nil, failed }, "source failed"},
	} {
		if c.data == nil {
			c.data = func(t lora.Tensor) ([]byte, error) { return t.Data, nil }
		}
		err := lora.StreamSafetensors(path, c.tensors, nil, c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v lacks %q", err, c.want)
		}
		files, _ := os.ReadDir(dir)
		if len(files) != 1 || !bytes.Equal(stReadText(t, path), before) {
			t.Errorf("%s: the former file changed, or one was left: %v", c.want, files)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s := stOpenTest(t, "testdata/safetensors/dtypes.safetensors")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// stFileText is a file of that header and data.
func stFileText(header, data string) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + data
}

func stOpenTest(t testing.TB, path string) *lora.Safetensors {
	t.Helper()
	s, err := lora.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func stWriteTest(t testing.TB, path string, x ...lora.Tensor) {
	t.Helper()
	if err := lora.WriteSafetensors(path, x, nil); err != nil {
		t.Fatal(err)
	}
}

func stWriteText(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func stReadText(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func stNegZero() float32 { return math.Float32frombits(1 << 31) }

func stSameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}
