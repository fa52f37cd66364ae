package lora

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/socialrl/socialrl/internal/oneline"
)

// stOpenShards opens all shards of an index and checks that they hold the
// tensors it says, each once.
func stOpenShards(dir, index string) (*Safetensors, error) {
	where, err := stReadIndex(index)
	if err != nil {
		return nil, err
	}
	s := &Safetensors{path: dir, tensors: map[string]stEntry{}}
	if err := s.addShards(dir, where); err != nil {
		return nil, oneline.Join(fmt.Errorf("%s: %w", index, err), s.Close())
	}
	return s, nil
}

// stReadIndex reads the map from tensor name to shard.
func stReadIndex(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: no weight_map", path)
	}
	for name, file := range index.WeightMap {
		if file != filepath.Base(file) || !filepath.IsLocal(file) || file == "." || strings.ContainsRune(file, '\\') {
			return nil, fmt.Errorf("%s: weight_map: tensor %q: %q is not a file name", path, name, file)
		}
	}
	return index.WeightMap, nil
}

func (s *Safetensors) addShards(dir string, where map[string]string) error {
	var missing, unlisted, twice []string
	for _, file := range slices.Compact(slices.Sorted(maps.Values(where))) {
		path := filepath.Join(dir, file)
		tensors, err := s.addFile(path)
		if err != nil {
			return err
		}
		for _, t := range tensors {
			_, listed := where[t.Name]
			_, seen := s.tensors[t.Name]
			switch {
			case seen:
				twice = append(twice, t.Name)
			case !listed:
				unlisted = append(unlisted, t.Name)
			}
			if !seen || where[t.Name] == file {
				s.tensors[t.Name] = stEntry{t, path}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(where)) {
		if filepath.Base(s.File(name)) != where[name] {
			missing = append(missing, name+" (in "+where[name]+")")
		}
	}
	return stDisagree(missing, unlisted, twice)
}

// stDisagree puts what is wrong between index and shards into one error.
func stDisagree(missing, unlisted, twice []string) error {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"missing from their shards", missing}, {"in a shard but not listed", unlisted}, {"in two shards", twice}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+": "+stList(p.names))
		}
	}
	if parts == nil {
		return nil
	}
	return errors.New("index and shards disagree: " + strings.Join(parts, "; "))
}

// stList joins names, sorted; of very many the first, and how many more.
func stList(names []string) string {
	const most = 20
	names = slices.Sorted(slices.Values(names))
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
