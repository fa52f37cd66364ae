package lora

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"
)

// FuzzSafetensors looks for a file that makes the reader panic or hand out a
// tensor whose bytes do not fit; what is read is written and read again. It works
// in memory: a disk flush for each input would leave time for few.
func FuzzSafetensors(f *testing.F) {
	seed, err := os.ReadFile("testdata/safetensors/dtypes.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	n := 8 + binary.LittleEndian.Uint64(seed)
	f.Add(seed[8:n], seed[n:])
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`), []byte("data"))
	f.Add([]byte(`{"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`), []byte{})
	f.Fuzz(func(t *testing.T, header, data []byte) {
		tensors, metadata, err := stParse(stJoin(header, data))
		if err != nil {
			return
		}
		for _, x := range tensors {
			if x.Elems()*x.DType.Size() != len(x.Data) {
				t.Fatalf("%q: %v of %s has %d bytes", x.Name, x.Shape, x.DType, len(x.Data))
			}
			if v, err := x.Floats(); err == nil && len(v) != x.Elems() {
				t.Fatalf("%q: %d floats of %d", x.Name, len(v), x.Elems())
			}
		}
		stFuzzAgain(t, tensors, metadata)
	})
}

// FuzzSafetensorsLength is the same for the eight bytes of length.
func FuzzSafetensorsLength(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if tensors, metadata, err := stParse(file); err == nil {
			stFuzzAgain(t, tensors, metadata)
		}
	})
}

func stFuzzAgain(t *testing.T, tensors []Tensor, metadata map[string]string) {
	sorted := slices.SortedStableFunc(slices.Values(tensors), stOrder)
	file, err := stMakeHeader(sorted, metadata)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	if len(file)%8 != 0 {
		t.Fatalf("data start at byte %d", len(file))
	}
	for _, x := range sorted {
		file = append(file, x.Data...)
	}
	again, _, err := stParse(file)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	slices.SortStableFunc(again, stOrder)
	for i, x := range sorted {
		y := again[i]
		if y.Name != x.Name || y.DType != x.DType || !slices.Equal(x.Shape, y.Shape) || !bytes.Equal(x.Data, y.Data) {
			t.Fatalf("%q changed on its way", x.Name)
		}
	}
}

// stJoin makes a file of a header and data.
func stJoin(header, data []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), data...)
}
