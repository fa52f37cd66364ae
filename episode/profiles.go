package episode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Profiles are who can play and what: agents, environments, relationships and
// pairings, as data sets and databases of SOTOPIA hold them, in their order.
// They are read by any number of goroutines, and must not be changed then.
type Profiles struct {
	Agents        []*AgentProfile
	Environments  []*EnvironmentProfile
	Relationships []*RelationshipProfile
	Pairings      []*Pairing

	// Lists are named lists of ids of environments; see [Profiles.Benchmark].
	Lists map[string][]string
}

// The files of a folder of profiles.
const (
	agentsFile        = "agents.jsonl"
	environmentsFile  = "environments.jsonl"
	relationshipsFile = "relationships.jsonl"
	pairingsFile      = "pairings.jsonl"
	listSuffix        = "_env_ids.txt"
)

// LoadProfiles reads a folder: agents.jsonl and environments.jsonl, which must be
// there, relationships.jsonl and pairings.jsonl, and the list NAME of every
// NAME_env_ids.txt, one id a line. Ids that are not unique, and ids that name
// nothing, are errors.
func LoadProfiles(dir string) (*Profiles, error) {
	p := &Profiles{Lists: map[string][]string{}}
	for _, load := range []func() error{
		func() error { return loadFile(&p.Agents, filepath.Join(dir, agentsFile), false) },
		func() error { return loadFile(&p.Environments, filepath.Join(dir, environmentsFile), false) },
		func() error { return loadFile(&p.Relationships, filepath.Join(dir, relationshipsFile), true) },
		func() error { return loadFile(&p.Pairings, filepath.Join(dir, pairingsFile), true) },
		func() error { return p.loadLists(dir) },
	} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return p, nil
}

// loadFile reads profiles of one kind; a file that is missing is none where that
// is allowed.
func loadFile[T any](to *[]*T, path string, optional bool) error {
	for v, err := range readFile[T](path) {
		if optional && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		*to = append(*to, v)
	}
	return nil
}

func (p *Profiles) loadLists(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+listSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		p.Lists[strings.TrimSuffix(filepath.Base(name), listSuffix)] = strings.Fields(string(text))
	}
	return nil
}

// ReadProfiles reads profiles of one kind, one a line: as [ReadJSONL] does it,
// with either form of the names of members.
func ReadProfiles[T AgentProfile | EnvironmentProfile | RelationshipProfile | Pairing](r io.Reader) iter.Seq2[*T, error] {
	return readJSONL[T]("", r)
}

// WriteProfiles writes profiles of one kind as JSON lines, in the spelling of
// Python's json.dumps: what was read from lines and not changed comes out as it
// went in.
func WriteProfiles[T interface{ MarshalJSON() ([]byte, error) }](w io.Writer, profiles ...T) error {
	for _, p := range profiles {
		line, err := p.MarshalJSON()
		if err != nil {
			return err
		}
		if _, err := w.Write(append(bytes.TrimSpace(line), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// LoadProfilesRedis reads all profiles of a database of SOTOPIA, in the order of
// their ids, and its lists of environments by name.
func LoadProfilesRedis(ctx context.Context, s *RedisStore) (*Profiles, error) {
	p := &Profiles{Lists: map[string][]string{}}
	for _, load := range []func() error{
		func() error { return loadDocuments(ctx, s, AgentKey, &p.Agents) },
		func() error { return loadDocuments(ctx, s, EnvironmentKey, &p.Environments) },
		func() error { return loadDocuments(ctx, s, RelationshipKey, &p.Relationships) },
		func() error { return loadDocuments(ctx, s, PairingKey, &p.Pairings) },
		func() error { return p.loadRedisLists(ctx, s) },
	} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	return p, p.Check()
}

func loadDocuments[T any](ctx context.Context, s *RedisStore, kind KeyPrefix, to *[]*T) error {
	pks, err := s.PKs(ctx, kind)
	if err != nil {
		return err
	}
	for _, pk := range pks {
		text, err := s.GetDocument(ctx, kind, pk)
		if errors.Is(err, ErrNotFound) {
			continue // removed since
		}
		if err != nil {
			return err
		}
		v := new(T)
		if err := json.Unmarshal(text, v); err != nil {
			return fmt.Errorf("redis %s%s: %w", kind, pk, err)
		}
		*to = append(*to, v)
	}
	return nil
}

func (p *Profiles) loadRedisLists(ctx context.Context, s *RedisStore) error {
	type list struct {
		Name         string   `json:"name"`
		Environments []string `json:"environments"`
	}
	var lists []*list
	if err := loadDocuments(ctx, s, EnvironmentList, &lists); err != nil {
		return err
	}
	for _, l := range lists {
		p.Lists[l.Name] = l.Environments
	}
	return nil
}

// SaveRedis stores all profiles as documents. Those of the same ids are replaced.
func (p *Profiles) SaveRedis(ctx context.Context, s *RedisStore) error {
	return errors.Join(
		saveDocuments(ctx, s, AgentKey, p.Agents), saveDocuments(ctx, s, EnvironmentKey, p.Environments),
		saveDocuments(ctx, s, RelationshipKey, p.Relationships), saveDocuments(ctx, s, PairingKey, p.Pairings))
}

// document is a profile that can be kept in Redis.
type document interface {
	Document() ([]byte, error)
	pk() string
}

func (p *AgentProfile) pk() string        { return p.ID }
func (p *EnvironmentProfile) pk() string  { return p.ID }
func (p *RelationshipProfile) pk() string { return p.ID }
func (p *Pairing) pk() string             { return p.ID }

func saveDocuments[T document](ctx context.Context, s *RedisStore, kind KeyPrefix, all []T) error {
	for _, p := range all {
		text, err := p.Document()
		if err != nil {
			return err
		}
		if err := s.PutDocument(ctx, kind, p.pk(), text); err != nil {
			return err
		}
	}
	return nil
}

// Check returns an error where two profiles of a kind have one id, or a
// relationship, a pairing or a list names a profile that is not there.
func (p *Profiles) Check() error {
	agents, err := idSet("agent", p.Agents)
	if err != nil {
		return err
	}
	environments, err := idSet("environment", p.Environments)
	if err != nil {
		return err
	}
	var missing []error
	look := func(what string, set map[string]bool, ids ...string) {
		for _, id := range ids {
			if !set[id] {
				missing = append(missing, fmt.Errorf("%s names %q, which is not there", what, id))
			}
		}
	}
	for _, r := range p.Relationships {
		look("relationship "+r.ID, agents, r.First, r.Second)
	}
	for _, c := range p.Pairings {
		look("pairing "+c.ID, environments, c.EnvironmentID)
		look("pairing "+c.ID, agents, c.AgentIDs...)
	}
	for name, ids := range p.Lists {
		look("list "+name, environments, ids...)
	}
	return errors.Join(missing...)
}

func idSet[T document](kind string, all []T) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, p := range all {
		if ids[p.pk()] {
			return nil, fmt.Errorf("two %ss have the id %q", kind, p.pk())
		}
		ids[p.pk()] = true
	}
	return ids, nil
}

// Agent returns the agent with an id. The error of an unknown one wraps
// [ErrNotFound].
func (p *Profiles) Agent(id string) (*AgentProfile, error) {
	return find(p.Agents, "agent", id, func(a *AgentProfile) bool { return a.ID == id })
}

// Environment returns the environment with an id, or else the only one with that
// codename. The error of an unknown one wraps [ErrNotFound].
func (p *Profiles) Environment(id string) (*EnvironmentProfile, error) {
	e, err := find(p.Environments, "environment", id, func(e *EnvironmentProfile) bool { return e.ID == id })
	if err == nil {
		return e, nil
	}
	var named []*EnvironmentProfile
	for _, e := range p.Environments {
		if e.Codename == id {
			named = append(named, e)
		}
	}
	switch len(named) {
	case 0:
		return nil, err
	case 1:
		return named[0], nil
	}
	return nil, fmt.Errorf("episode: %d environments have the codename %q: take an id", len(named), id)
}

func find[T any](all []*T, kind, id string, is func(*T) bool) (*T, error) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], nil
	}
	return nil, fmt.Errorf("episode: %s %q: %w", kind, id, ErrNotFound)
}
