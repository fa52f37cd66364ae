package lora

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a header. The first is the format's own; the second keeps a hostile
// shape from costing more memory than its text.
const (
	stMaxHeader = 100_000_000
	stMaxDims   = 64
)

// stInfo is one tensor of a header: where its bytes lie after the header.
type stInfo struct {
	Tensor
	begin, end uint64
}

// stParse checks a whole file: eight bytes with the header's length, the header
// (JSON), the tensors' bytes without holes. The tensors' Data are parts of file.
func stParse(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, fmt.Errorf("%d bytes: a safetensors file starts with 8 bytes of header length", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > stMaxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes: at most %d allowed (not a safetensors file?)", n, stMaxHeader)
	}
	if n > uint64(len(file)-8) {
		return nil, nil, fmt.Errorf("header of %d bytes, but the file ends after %d: truncated", n, len(file)-8)
	}
	header, data := file[8:8+n:8+n], file[8+n:]
	infos, metadata, err := stHeader(header)
	if err != nil {
		return nil, nil, err
	}
	if err := stPlace(infos, data); err != nil {
		return nil, nil, err
	}
	tensors := make([]Tensor, len(infos))
	for i, t := range infos {
		tensors[i] = t.Tensor
	}
	return tensors, metadata, nil
}

// stPlace checks that the tensors cover data exactly, one after the other, and
// gives each its bytes. It sorts infos by place.
func stPlace(infos []stInfo, data []byte) error {
	slices.SortStableFunc(infos, func(a, b stInfo) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	size, at := uint64(len(data)), uint64(0)
	for i := range infos {
		t := &infos[i]
		if t.begin != at {
			return fmt.Errorf("tensor %q starts at data offset %d, expected %d: %s", t.Name, t.begin, at,
				map[bool]string{true: "overlap", false: "hole"}[t.begin < at])
		}
		if t.end > size {
			return fmt.Errorf("tensor %q ends at data offset %d, but the data end at %d: truncated", t.Name, t.end, size)
		}
		t.Data = data[t.begin:t.end:t.end]
		at = t.end
	}
	if at != size {
		return fmt.Errorf("%d bytes after the last tensor's end at data offset %d", size-at, at)
	}
	return nil
}

// stReader walks a header's JSON. Names that occur twice, invalid UTF-8 and
// nesting without end are errors of the decoder, with their byte offsets.
type stReader struct{ dec *jsontext.Decoder }

func stHeader(header []byte) (infos []stInfo, metadata map[string]string, err error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("header does not start with '{'")
	}
	r := stReader{jsontext.NewDecoder(bytes.NewBuffer(header))}
	err = r.object(func(name string) (err error) {
		if name == "__metadata__" {
			metadata, err = r.texts()
			return err
		}
		t, err := r.tensor(name)
		infos = append(infos, t)
		return err
	})
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	return infos, metadata, nil
}

// end checks that nothing but space follows.
func (r stReader) end() error {
	if _, err := r.dec.ReadToken(); err == nil {
		return fmt.Errorf("more than one JSON value (byte %d)", r.dec.InputOffset())
	} else if err != io.EOF {
		return err
	}
	return nil
}

// expect reads a token of that kind.
func (r stReader) expect(kind jsontext.Kind, what string) (jsontext.Token, error) {
	t, err := r.dec.ReadToken()
	if err == nil && t.Kind() != kind {
		err = fmt.Errorf("%s: %s expected, found %s (byte %d)", r.dec.StackPointer(), what, t.Kind(), r.dec.InputOffset())
	}
	return t, stNoEOF(err)
}

// stNoEOF makes the end inside a value an error in its own words.
func stNoEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// object reads an object and calls f at each value.
func (r stReader) object(f func(name string) error) error {
	if _, err := r.expect('{', "an object"); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		t, err := r.expect('"', "a name")
		if err != nil {
			return err
		}
		if err := f(t.String()); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// texts reads an object of strings.
func (r stReader) texts() (map[string]string, error) {
	m := map[string]string{}
	err := r.object(func(name string) error {
		t, err := r.expect('"', "a string")
		if err == nil {
			m[name] = t.String()
		}
		return err
	})
	return m, err
}

// tensor reads {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} and
// checks that type, shape and length fit. Other keys are ignored.
func (r stReader) tensor(name string) (stInfo, error) {
	t := stInfo{Tensor: Tensor{Name: name}}
	var dtype string
	var shape, offsets []uint64
	err := r.object(func(key string) (err error) {
		switch key {
		case "dtype":
			var tok jsontext.Token
			if tok, err = r.expect('"', "a string"); err == nil {
				dtype = tok.String()
			}
		case "shape":
			shape, err = r.counts()
		case "data_offsets":
			offsets, err = r.counts()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if err == nil {
		err = t.set(dtype, shape, offsets)
	}
	if err != nil {
		return t, fmt.Errorf("tensor %q: %w", name, err)
	}
	return t, nil
}

// counts reads a list of integers from 0 on; it is never nil.
func (r stReader) counts() ([]uint64, error) {
	if _, err := r.expect('[', "a list"); err != nil {
		return nil, err
	}
	list := []uint64{}
	for r.dec.PeekKind() != ']' {
		t, err := r.expect('0', "a number")
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(t.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%s: %s is not an integer from 0 to 2^63-1", r.dec.StackPointer(), t)
		}
		if len(list) == stMaxDims {
			return nil, fmt.Errorf("%s: more than %d numbers", r.dec.StackPointer(), stMaxDims)
		}
		list = append(list, n)
	}
	_, err := r.dec.ReadToken()
	return list, err
}

// set fills in what was read. The bytes must be those that type and shape need.
func (t *stInfo) set(dtype string, shape, offsets []uint64) error {
	var ok bool
	switch t.DType, ok = stDTypeOf(dtype); {
	case dtype == "":
		return errors.New(`no "dtype"`)
	case !ok:
		return fmt.Errorf("unknown dtype %q", dtype)
	case shape == nil:
		return errors.New(`no "shape"`)
	case len(offsets) != 2:
		return fmt.Errorf(`"data_offsets" are %d numbers, expected begin and end`, len(offsets))
	case offsets[1] < offsets[0]:
		return fmt.Errorf("data_offsets end at %d before they begin at %d", offsets[1], offsets[0])
	}
	t.begin, t.end = offsets[0], offsets[1]
	need, ok := stBytes(t.DType, shape)
	if !ok {
		return fmt.Errorf("shape %v of %s overflows", shape, t.DType)
	}
	if need != t.end-t.begin {
		return fmt.Errorf("shape %v of %s takes %d bytes, data_offsets hold %d", shape, t.DType, need, t.end-t.begin)
	}
	t.Shape = make([]int, len(shape))
	for i, d := range shape {
		t.Shape[i] = int(d)
	}
	return nil
}

// stBytes returns the bytes of a shape, and false where they or a dimension do
// not fit an int.
func stBytes(d DType, shape []uint64) (uint64, bool) {
	n := uint64(d.Size())
	for _, dim := range shape {
		hi, lo := bits.Mul64(n, dim)
		if hi != 0 || lo > math.MaxInt || dim > math.MaxInt {
			return 0, false
		}
		n = lo
	}
	return n, true
}
