package lora

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// The files of an adapter's directory.
const (
	peftConfigFile = "adapter_config.json"
	peftModelFile  = "adapter_model.safetensors"
)

// ReadAdapterFiles reads an adapter's directory as PEFT writes it:
// adapter_config.json and adapter_model.safetensors, or a directory whose only
// adapter lies in a subfolder (PEFT saves an adapter that is not called "default"
// so). The tensors come sorted by name, in memory of their own. What does not fit
// the configuration is one error ([Mismatch]) that lists it: a branch without its
// other half or of another rank, a layer that is no target, tensors of other kinds,
// a missing head. Types other than F32, F16 and BF16 are refused.
func ReadAdapterFiles(dir string) (Config, []Tensor, error) {
	dir, err := peftFind(dir)
	if err != nil {
		return Config{}, nil, err
	}
	path := filepath.Join(dir, peftConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, err
	}
	c, err := ParseConfig(text)
	if err != nil {
		return Config{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	tensors, err := peftReadTensors(dir, c)
	if err != nil {
		return Config{}, nil, err
	}
	return c, tensors, nil
}

// peftReadTensors reads the tensors and checks that they are those of c.
func peftReadTensors(dir string, c Config) ([]Tensor, error) {
	path := filepath.Join(dir, peftModelFile)
	s, err := OpenSafetensors(path)
	if err != nil {
		if _, e := os.Stat(filepath.Join(dir, "adapter_model.bin")); e == nil && errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; adapter_model.bin is pickled: convert it", err)
		}
		return nil, err
	}
	defer s.Close()
	var tensors []Tensor
	for _, name := range s.Names() {
		t, _ := s.Tensor(name)
		t.Data = slices.Clone(t.Data)
		tensors = append(tensors, t)
	}
	return tensors, peftCheck(path, c, tensors)
}

// peftFind returns the directory that holds the adapter: dir, or its only
// subfolder with one.
func peftFind(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, peftConfigFile)); err == nil {
		return dir, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), peftConfigFile)); err == nil {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s: no %s, nor in a subfolder: %w", dir, peftConfigFile, os.ErrNotExist)
	case 1:
		return filepath.Join(dir, found[0]), nil
	}
	return "", fmt.Errorf("%s: several adapters, choose one: %s", dir, strings.Join(found, ", "))
}

// WriteAdapterFiles writes an adapter's directory, which PEFT 0.15 and later load.
// The tensors must fit the configuration as for [ReadAdapterFiles]. Each file
// appears whole or not at all, the configuration last. The directory is made if
// there is none.
func WriteAdapterFiles(dir string, c Config, tensors []Tensor) error {
	text, err := MarshalConfig(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, peftModelFile)
	if err := peftCheck(path, c, tensors); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := WriteSafetensors(path, tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, peftConfigFile), append(text, '\n'), 0o644)
}

// peftCheck checks that the tensors are those of an adapter of c: all that can be
// said without the model.
func peftCheck(what string, c Config, tensors []Tensor) error {
	k, err := newPEFTChecker(c, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, t := range tensors {
		if err := t.stFloating(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		k.tensor(t)
	}
	if head := AdapterName(HeadModule, PartWhole); c.Head && !k.given[head] {
		k.missing = append(k.missing, head)
	}
	return MismatchError(what, k.missing, k.unknown, k.misshaped)
}

// peftChecker collects what is wrong with the tensors of an adapter.
type peftChecker struct {
	config                      Config
	given                       map[string]bool // names of the tensors
	targets                     map[string]bool // paths of the layers they belong to that are targets
	missing, unknown, misshaped []string
}

func newPEFTChecker(c Config, tensors []Tensor) (*peftChecker, error) {
	k := &peftChecker{config: c, given: map[string]bool{}, targets: map[string]bool{}}
	var paths []string
	for _, t := range tensors {
		path, _, _ := ParseAdapterName(t.Name)
		paths = append(paths, path)
		k.given[t.Name] = true
	}
	targets, err := c.Targeted(paths)
	for _, path := range targets {
		k.targets[path] = true
	}
	return k, err
}

// tensor notes what is wrong with one tensor.
func (k *peftChecker) tensor(t Tensor) {
	module, part, ok := ParseAdapterName(t.Name)
	switch {
	case ok && part == PartWhole && k.config.Head:
		k.shape(t, 0, 1, "[%d, D]")
	case part == PartA && k.targets[module]:
		k.branch(t, AdapterName(module, PartB), 0, "[%d, in]")
	case part == PartB && k.targets[module]:
		k.branch(t, AdapterName(module, PartA), 1, "[out, %d]")
	default:
		k.unknown = append(k.unknown, t.Name)
	}
}

// branch checks one half of a branch: the other half is there, and dimension dim
// is the rank.
func (k *peftChecker) branch(t Tensor, other string, dim int, want string) {
	if !k.given[other] {
		k.missing = append(k.missing, other)
	}
	k.shape(t, dim, k.config.Rank, want)
}

// shape checks that t is a matrix whose dimension dim is n.
func (k *peftChecker) shape(t Tensor, dim, n int, want string) {
	if len(t.Shape) != 2 || t.Shape[dim] != n {
		k.misshaped = append(k.misshaped, fmt.Sprintf("%s: %v, want "+want, t.Name, t.Shape, n))
	}
}
