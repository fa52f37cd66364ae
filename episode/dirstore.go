package episode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// DirStore is a [Store] in a folder: one JSON file for each episode, named after
// its id. Every file is complete at every instant, and any number of processes
// may use the folder at once; of several that put the same id one wins as a
// whole. The files may be read, copied and removed by other means.
type DirStore struct {
	dir    string
	closed atomic.Bool

	mu    sync.Mutex
	known map[string]digest // what Find compares, by file name
}

// digest is what a store remembers of a file, so that a search reads only what
// it returns.
type digest struct {
	info fs.FileInfo
	head Episode // the fields that a query compares
}

const (
	fileSuffix = ".json"
	// longestID keeps escaped names within what file systems allow.
	longestID = 200
	// leftover is the age at which the temporary file of a writer that died is
	// removed.
	leftover = time.Hour
)

// OpenDir opens the store in a folder, which is created where it is missing.
func OpenDir(path string) (*DirStore, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("episode: store: %w", err)
	}
	s := &DirStore{dir: path, known: map[string]digest{}}
	return s, s.sweep(time.Now())
}

// sweep removes temporary files that writers left behind when they were killed.
func (s *DirStore) sweep(now time.Time) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("episode: store: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name(), fileSuffix+".tmp") {
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > leftover {
			os.Remove(filepath.Join(s.dir, e.Name()))
		}
	}
	return nil
}

// errStoreClosed is what a store that was closed answers.
var errStoreClosed = errors.New("episode: store is closed")

// ready returns an error where the store must not go to work.
func (s *DirStore) ready(ctx context.Context) error {
	if s.closed.Load() {
		return errStoreClosed
	}
	return ctx.Err()
}

// Get implements [Store].
func (s *DirStore) Get(ctx context.Context, id string) (*Episode, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	name, err := fileName(id)
	if err != nil {
		return nil, err
	}
	return s.read(name)
}

func (s *DirStore) read(name string) (*Episode, error) {
	path := filepath.Join(s.dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("episode: %s: %w", path, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("episode: %w", err)
	}
	e := new(Episode)
	if err := e.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("episode: %s: %w", path, err)
	}
	return e, nil
}

// Put implements [Store]. The file is flushed to the disk before Put returns.
func (s *DirStore) Put(ctx context.Context, e *Episode) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	name, err := fileName(e.ID)
	if err != nil {
		return err
	}
	line, err := e.appendJSON(nil)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(s.dir, name), append(line, '\n'), 0o644); err != nil {
		return fmt.Errorf("episode %s: %w", e.ID, err)
	}
	return nil
}

// Delete removes an episode. An id that is not stored gives an error that wraps
// [ErrNotFound].
func (s *DirStore) Delete(ctx context.Context, id string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	name, err := fileName(id)
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("episode: %s: %w", filepath.Join(s.dir, name), ErrNotFound)
	}
	return err
}

// Find implements [Store]. The first search reads every file; later ones read
// those that are new or changed and those that they return.
func (s *DirStore) Find(ctx context.Context, q Query) iter.Seq2[*Episode, error] {
	return func(yield func(*Episode, error) bool) {
		names, err := s.names(q)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, name := range names {
			if err := s.ready(ctx); err != nil {
				yield(nil, err)
				return
			}
			e, err := s.match(name, q)
			if (e != nil || err != nil) && !yield(e, err) {
				return
			}
		}
	}
}

// names returns the files that may hold an answer, in the order of their ids.
func (s *DirStore) names(q Query) ([]string, error) {
	if len(q.IDs) > 0 {
		var names []string
		for _, id := range slices.Compact(slices.Sorted(slices.Values(q.IDs))) {
			name, err := fileName(id)
			if err != nil {
				return nil, err
			}
			names = append(names, name)
		}
		return names, nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("episode: store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), fileSuffix) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(fileID(a), fileID(b)) })
	return names, nil
}

// match returns the episode of a file if q chooses it, and nothing where it does
// not or the file is gone.
func (s *DirStore) match(name string, q Query) (*Episode, error) {
	info, err := os.Stat(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("episode: store: %w", err)
	}
	if d, ok := s.digest(name); ok && same(d.info, info) && !q.Match(&d.head) {
		return nil, nil
	}
	e, err := s.read(name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.known[name] = digest{info, Episode{ID: e.ID, EnvironmentID: e.EnvironmentID, AgentIDs: e.AgentIDs, Tag: e.Tag, Models: e.Models}}
	s.mu.Unlock()
	if !q.Match(e) {
		return nil, nil
	}
	return e, nil
}

func (s *DirStore) digest(name string) (digest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.known[name]
	return d, ok
}

// same reports whether a file is the one that was seen before: every Put makes
// a new one.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Close implements [Store].
func (s *DirStore) Close() error {
	s.closed.Store(true)
	return nil
}

// fileName returns the name of the file for an id. Everything but letters,
// digits, hyphens, underscores and inner dots is written as %XX.
func fileName(id string) (string, error) {
	if id == "" {
		return "", errors.New("episode: the episode has no id")
	}
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; plain(c) || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > longestID {
		return "", fmt.Errorf("episode: id %s is too long for a file name", quote(id))
	}
	return b.String() + fileSuffix, nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// fileID is the reverse of fileName.
func fileID(name string) string {
	escaped := strings.TrimSuffix(name, fileSuffix)
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		var c byte
		if escaped[i] == '%' && i+2 < len(escaped) {
			if _, err := fmt.Sscanf(escaped[i+1:i+3], "%02X", &c); err == nil {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(escaped[i])
	}
	return b.String()
}
