package lora

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/socialrl/socialrl/internal/oneline"
)

// Safetensors is an open set of named tensors: one safetensors file, or the
// shards of a Hugging Face model directory. The files are mapped into memory
// where the system allows it, so that opening costs no copy and a tensor is read
// from disk when its bytes are touched; elsewhere they are read whole.
//
// Every header was checked when the set was opened: whatever [Safetensors.Tensor]
// returns has as many bytes as its type and shape ask for. A set may be read from
// several goroutines. The files must not be cut short while they are mapped (most
// systems then kill the reader); a program that replaces one does so by rename,
// as [WriteSafetensors] does. Windows lets nobody replace a file while it is
// mapped: there the set must be closed first.
type Safetensors struct {
	path     string
	files    []*stFile
	tensors  map[string]stEntry
	metadata map[string]string
}

// stEntry is a tensor and the file that holds it.
type stEntry struct {
	Tensor
	file string
}

// Tensor is a named array as a file holds it: elements in row-major order,
// little-endian.
type Tensor struct {
	// Name is the tensor's name in the file, for example
	// "model.layers.0.mlp.up_proj.weight".
	Name string
	// DType is the type of an element.
	DType DType
	// Shape is the length of each dimension, outermost first; empty for a scalar.
	Shape []int
	// Data is the elements' bytes, Elems() times DType.Size() of them. Of a tensor
	// of an open file it is the mapped memory itself: it must not be written, and
	// ends with [Safetensors.Close]. A matrix in 4 bits (NF4) has two elements a
	// byte, the first in the upper half, and type U8.
	Data []byte
	// NF4 says what the codes of a matrix in 4 bits stand for; nil for all other
	// tensors. Shape is the matrix's.
	NF4 *NF4State
}

// OpenSafetensors opens one safetensors file. A file that is truncated or does
// not keep the format's rules (a header longer than the file or than 100 MB,
// tensors that overlap, leave a hole or lie outside the file, a shape that does
// not fit the bytes, duplicate names, an unknown type) gives an error that names
// the file and the place.
//
// Format: https://github.com/huggingface/safetensors.
func OpenSafetensors(path string) (*Safetensors, error) {
	s := &Safetensors{path: path, tensors: map[string]stEntry{}}
	tensors, err := s.addFile(path)
	if err != nil {
		return nil, oneline.Join(err, s.Close())
	}
	for _, t := range tensors {
		s.tensors[t.Name] = stEntry{t, path}
	}
	return s, nil
}

// addFile opens one more file of the set and returns its tensors, which it does
// not enter into the set.
func (s *Safetensors) addFile(path string) ([]Tensor, error) {
	f, err := stOpen(path)
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, f)
	tensors, metadata, err := stParse(f.data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.metadata == nil {
		s.metadata = metadata
	}
	return tensors, nil
}

// Path returns the path that the set was opened with.
func (s *Safetensors) Path() string { return s.path }

// File returns the path of the file that holds the tensor, or "" where there is
// no such tensor.
func (s *Safetensors) File(name string) string { return s.tensors[name].file }

// Names returns the names of all tensors, sorted.
func (s *Safetensors) Names() []string {
	return slices.Sorted(maps.Keys(s.tensors))
}

// Tensor returns the tensor of that name and whether there is one.
func (s *Safetensors) Tensor(name string) (Tensor, bool) {
	e, ok := s.tensors[name]
	return e.Tensor, ok
}

// Metadata returns the free texts of the header ("__metadata__"), for shards
// those of the first that has any; empty where there are none.
func (s *Safetensors) Metadata() map[string]string { return maps.Clone(s.metadata) }

// Close unmaps the files. The Data of every tensor of the set becomes invalid.
// Closing twice is harmless.
func (s *Safetensors) Close() error {
	var errs []error
	for _, f := range s.files {
		if err := f.close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.path, err))
		}
	}
	s.files, s.tensors = nil, nil
	return oneline.Join(errs...)
}

// The names under which a Hugging Face directory holds its weights.
const (
	stModelFile = "model.safetensors"
	stIndexFile = "model.safetensors.index.json"
)

// OpenModel opens the weights of a Hugging Face model directory:
// model.safetensors, or else the shards that model.safetensors.index.json lists.
// An index and shards that disagree (a tensor listed but absent from its shard,
// in a shard but not listed, or in two shards) give an error that lists the names.
func OpenModel(dir string) (*Safetensors, error) {
	single := filepath.Join(dir, stModelFile)
	if _, err := os.Stat(single); err == nil {
		return OpenSafetensors(single)
	}
	index := filepath.Join(dir, stIndexFile)
	if _, err := os.Stat(index); err == nil {
		return stOpenShards(dir, index)
	}
	return nil, stNoWeights(dir)
}

// stNoWeights says what the directory lacks.
func stNoWeights(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	for _, f := range []string{"pytorch_model.bin", "pytorch_model.bin.index.json"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			return fmt.Errorf("%s: weights are pickled (%s): convert them to %s", dir, f, stModelFile)
		}
	}
	return fmt.Errorf("%s: neither %s nor %s: %w", dir, stModelFile, stIndexFile, os.ErrNotExist)
}
