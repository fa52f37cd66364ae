package lora

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// WriteSafetensors writes a safetensors file of the tensors and free texts
// (metadata may be nil; programs of the field expect {"format": "pt"} in a
// checkpoint). Equal arguments give equal bytes, whatever their order: tensors
// stand by type, larger elements first, then by name. The file appears whole or
// not at all: it is written under a temporary name beside path, flushed to disk
// and renamed. Invalid tensors (two of a name, Data of another length than type
// and shape ask for) are an error, and nothing is written.
func WriteSafetensors(path string, tensors []Tensor, metadata map[string]string) error {
	return StreamSafetensors(path, tensors, metadata, func(t Tensor) ([]byte, error) { return t.Data, nil })
}

// StreamSafetensors is [WriteSafetensors] for sets that do not fit in memory:
// Data of the tensors is not looked at; data is called once for each tensor in
// the order of the file, and may use the same memory for each. An error from data
// ends the writing and leaves nothing behind.
func StreamSafetensors(path string, tensors []Tensor, metadata map[string]string, data func(Tensor) ([]byte, error)) error {
	sorted := slices.SortedStableFunc(slices.Values(tensors), stOrder)
	header, err := stMakeHeader(sorted, metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.Write(path, 0o644, func(f io.Writer) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			if err := stWriteData(w, t, data); err != nil {
				return fmt.Errorf("%s: tensor %q: %w", path, t.Name, err)
			}
		}
		return w.Flush()
	})
}

// stOrder is the format's habit: wide types first, so that every tensor is
// aligned to its element, then names.
func stOrder(a, b Tensor) int {
	return cmp.Or(cmp.Compare(b.DType, a.DType), cmp.Compare(a.Name, b.Name))
}

func stWriteData(w io.Writer, t Tensor, data func(Tensor) ([]byte, error)) error {
	b, err := data(t)
	if err != nil {
		return err
	}
	if want := t.Elems() * t.DType.Size(); len(b) != want {
		return fmt.Errorf("%d bytes of data, shape %v of %s takes %d", len(b), t.Shape, t.DType, want)
	}
	_, err = w.Write(b)
	return err
}

// stMakeHeader returns the file up to the data: the header's length, the header,
// spaces up to a multiple of 8.
func stMakeHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	b := append(make([]byte, 8), '{')
	b, err := stAppendMetadata(b, metadata)
	if err != nil {
		return nil, err
	}
	offset, seen := 0, map[string]bool{}
	for _, t := range tensors {
		if seen[t.Name] || t.Name == "__metadata__" {
			return nil, fmt.Errorf("tensor name %q twice or reserved", t.Name)
		}
		seen[t.Name] = true
		if b, offset, err = stAppendTensor(b, t, offset); err != nil {
			return nil, err
		}
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if len(b)-8 > stMaxHeader {
		return nil, fmt.Errorf("header of %d bytes: at most %d allowed", len(b)-8, stMaxHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, nil
}

func stAppendMetadata(b []byte, metadata map[string]string) (_ []byte, err error) {
	if len(metadata) == 0 {
		return b, nil
	}
	b = append(b, `"__metadata__":{`...)
	for i, k := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = jsontext.AppendQuote(b, k); err != nil {
			return nil, fmt.Errorf("metadata key %q: %w", k, err)
		}
		b = append(b, ':')
		if b, err = jsontext.AppendQuote(b, metadata[k]); err != nil {
			return nil, fmt.Errorf("metadata %q: %w", k, err)
		}
	}
	return append(b, '}'), nil
}

// stAppendTensor appends a tensor's entry; its data begin at offset. It returns
// where they end.
func stAppendTensor(b []byte, t Tensor, offset int) ([]byte, int, error) {
	size, err := stCheck(t)
	if err != nil {
		return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	if b, err = jsontext.AppendQuote(b, t.Name); err != nil {
		return nil, 0, fmt.Errorf("tensor name %q: %w", t.Name, err)
	}
	b = append(b, `:{"dtype":"`+t.DType.String()+`","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(d), 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = strconv.AppendInt(b, int64(offset), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(offset+size), 10)
	return append(b, "]}"...), offset + size, nil
}

// stCheck returns the bytes of a tensor that is to be written.
func stCheck(t Tensor) (int, error) {
	if t.DType.Size() == 0 {
		return 0, fmt.Errorf("unknown type %d", t.DType)
	}
	if len(t.Shape) > stMaxDims {
		return 0, fmt.Errorf("%d dimensions: at most %d allowed", len(t.Shape), stMaxDims)
	}
	shape := make([]uint64, len(t.Shape))
	for i, d := range t.Shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v is negative", t.Shape)
		}
		shape[i] = uint64(d)
	}
	n, ok := stBytes(t.DType, shape)
	if !ok {
		return 0, fmt.Errorf("shape %v of %s overflows", t.Shape, t.DType)
	}
	return int(n), nil
}
