package episode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/socialrl/socialrl/internal/redisurl"
)

// RedisStore is a [Store] in a Redis database, in the layout of SOTOPIA: one
// document for each episode under [EpisodeKey] and its id. Where the server has
// the JSON commands the documents are JSON values, and plain strings of the same
// text otherwise; where it has a search index that SOTOPIA made, searches by tag
// use it, and a cursor scan otherwise.
type RedisStore struct {
	client *redis.Client
	addr   string // for errors; holds no password
	secret string // what errors must not show
	json   bool   // the server has the JSON commands
}

// KeyPrefix is the start of the keys of one kind of document. Keys are the
// prefix followed by the document's pk.
type KeyPrefix string

// The kinds of documents that SOTOPIA keeps.
const (
	EpisodeKey      KeyPrefix = ":sotopia.database.logs.EpisodeLog:"
	AgentKey        KeyPrefix = ":sotopia.database.persistent_profile.AgentProfile:"
	EnvironmentKey  KeyPrefix = ":sotopia.database.persistent_profile.EnvironmentProfile:"
	RelationshipKey KeyPrefix = ":sotopia.database.persistent_profile.RelationshipProfile:"
	EnvironmentList KeyPrefix = ":sotopia.database.persistent_profile.EnvironmentList:"
	PairingKey      KeyPrefix = ":sotopia.database.env_agent_combo_storage.EnvAgentComboStorage:"
)

// index is the name of the search index over the documents.
func (p KeyPrefix) index() string { return string(p) + "index" }

// OpenRedis connects to the database at a URL such as
// redis://:PASSWORD@host:6379/0 (rediss:// for TLS; special characters of the
// password percent-encoded). It asks the server which commands it has. Errors
// never hold the password.
//
// The first call silences the log of package go-redis, which would print every
// lost connection; redis.SetLogger, called afterwards, brings it back.
func OpenRedis(ctx context.Context, rawURL string) (*RedisStore, error) {
	client, err := redisurl.Open(rawURL)
	if err != nil {
		return nil, fmt.Errorf("episode: %w", err)
	}
	options := client.Options()
	s := &RedisStore{client: client, addr: options.Addr, secret: options.Password}
	if err := s.probe(ctx); err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// probe checks the connection and asks for the JSON commands.
func (s *RedisStore) probe(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return s.fail("connect", err)
	}
	err := s.client.Do(ctx, "JSON.GET", EpisodeKey.index()+":probe").Err()
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		s.json = true
	case !isUnknownCommand(err):
		return s.fail("JSON.GET", err)
	}
	return nil
}

func isUnknownCommand(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "unknown command")
}

// isWrongType reports whether a key holds another kind of value than a command
// expects.
func isWrongType(err error) bool {
	return strings.Contains(err.Error(), "WRONGTYPE") || strings.Contains(err.Error(), "wrong Redis type")
}

// RedisError is a failure of a Redis database.
type RedisError struct {
	Addr string // host:port
	Op   string // what was attempted
	Err  error  // what the server or the connection said; holds no password
}

// Error names the server, the operation and the cause.
func (e *RedisError) Error() string { return fmt.Sprintf("redis %s: %s: %v", e.Addr, e.Op, e.Err) }

// Unwrap returns the cause.
func (e *RedisError) Unwrap() error { return e.Err }

// fail wraps an error. One whose text holds the password is replaced.
func (s *RedisStore) fail(op string, err error) error {
	if s.secret != "" && strings.Contains(err.Error(), s.secret) {
		err = errors.New(strings.ReplaceAll(err.Error(), s.secret, "***"))
	}
	return &RedisError{s.addr, op, err}
}

// Get implements [Store].
func (s *RedisStore) Get(ctx context.Context, id string) (*Episode, error) {
	text, err := s.GetDocument(ctx, EpisodeKey, id)
	if err != nil {
		return nil, err
	}
	return s.parse(id, text)
}

func (s *RedisStore) parse(id string, text []byte) (*Episode, error) {
	e, err := ParseDocument(text)
	if err != nil {
		return nil, s.fail("read "+string(EpisodeKey)+id, err)
	}
	return e, nil
}

// Put implements [Store]. The server answers when it has the document in memory;
// how soon it is on a disk is the server's configuration.
func (s *RedisStore) Put(ctx context.Context, e *Episode) error {
	if e.ID == "" {
		return errors.New("episode: the episode has no id")
	}
	text, err := e.Document()
	if err != nil {
		return err
	}
	return s.PutDocument(ctx, EpisodeKey, e.ID, text)
}

// Delete removes an episode. An id that is not stored gives an error that wraps
// [ErrNotFound].
func (s *RedisStore) Delete(ctx context.Context, id string) error {
	n, err := s.client.Del(ctx, string(EpisodeKey)+id).Result()
	if err != nil {
		return s.fail("delete "+id, err)
	}
	if n == 0 {
		return s.fail("delete "+id, ErrNotFound)
	}
	return nil
}

// GetDocument returns the JSON text of a document of any kind. One that is not
// there gives an error that wraps [ErrNotFound].
func (s *RedisStore) GetDocument(ctx context.Context, kind KeyPrefix, pk string) ([]byte, error) {
	key := string(kind) + pk
	text, err := s.getText(ctx, key)
	if errors.Is(err, redis.Nil) || err == nil && text == "" {
		err = ErrNotFound
	}
	if err != nil {
		return nil, s.fail("get "+key, err)
	}
	return []byte(text), nil
}

// getText returns a JSON value as text, or a string.
func (s *RedisStore) getText(ctx context.Context, key string) (string, error) {
	if s.json {
		text, err := s.client.JSONGet(ctx, key, ".").Result()
		if err == nil || !isWrongType(err) {
			return text, err
		}
	}
	return s.client.Get(ctx, key).Result()
}

// PutDocument stores the JSON text of a document of any kind. The text must be a
// JSON object.
func (s *RedisStore) PutDocument(ctx context.Context, kind KeyPrefix, pk string, text []byte) error {
	key := string(kind) + pk
	if _, err := parseObject(text); err != nil {
		return fmt.Errorf("episode: document %s: %w", key, err)
	}
	if !s.json {
		if err := s.client.Set(ctx, key, text, 0).Err(); err != nil {
			return s.fail("put "+key, err)
		}
		return nil
	}
	err := s.client.JSONSet(ctx, key, ".", text).Err()
	if err != nil && isWrongType(err) { // a string of the time when the server had no JSON commands
		err = s.replaceString(ctx, key, text)
	}
	if err != nil {
		return s.fail("put "+key, err)
	}
	return nil
}

// replaceString puts a JSON value in the place of a string, in one step.
func (s *RedisStore) replaceString(ctx context.Context, key string, text []byte) error {
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, key)
		p.JSONSet(ctx, key, ".", text)
		return nil
	})
	return err
}

// Find implements [Store].
func (s *RedisStore) Find(ctx context.Context, q Query) iter.Seq2[*Episode, error] {
	return func(yield func(*Episode, error) bool) {
		ids, err := s.candidates(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, id := range ids {
			text, err := s.GetDocument(ctx, EpisodeKey, id)
			if errors.Is(err, ErrNotFound) {
				continue // removed since
			}
			if err != nil {
				yield(nil, err)
				return
			}
			e, err := s.parse(id, text)
			if err == nil && !q.Match(e) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// candidates returns the ids that may answer a query, sorted.
func (s *RedisStore) candidates(ctx context.Context, q Query) ([]string, error) {
	if len(q.IDs) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(q.IDs))), nil
	}
	if q.Tag != "" && s.json {
		ids, found, err := s.searchTag(ctx, q.Tag)
		if err != nil || found {
			return ids, err
		}
	}
	return s.PKs(ctx, EpisodeKey)
}

// PKs returns the pks of all documents of a kind, sorted, by a cursor scan.
func (s *RedisStore) PKs(ctx context.Context, kind KeyPrefix) ([]string, error) {
	var pks []string
	scan := s.client.Scan(ctx, 0, string(kind)+"*", 1000).Iterator()
	for scan.Next(ctx) {
		if key := scan.Val(); key != kind.index()+":hash" {
			pks = append(pks, strings.TrimPrefix(key, string(kind)))
		}
	}
	if err := scan.Err(); err != nil {
		return nil, s.fail("scan", err)
	}
	slices.Sort(pks)
	return slices.Compact(pks), nil // a scan may name a key twice
}

// searchPage is how many keys one search returns.
const searchPage = 1000

// searchTag asks the search index for the episodes with a tag; the comparison
// of the index ignores case. found is false where there is no index.
func (s *RedisStore) searchTag(ctx context.Context, tag string) (ids []string, found bool, err error) {
	query := "@tag:{" + escapeTag(tag) + "}"
	for {
		page, err := s.client.FTSearchWithArgs(ctx, EpisodeKey.index(), query, &redis.FTSearchOptions{
			NoContent: true, LimitOffset: len(ids), Limit: searchPage, DialectVersion: 2,
		}).Result()
		if err != nil {
			if isUnknownCommand(err) || isMissingIndex(err) {
				return nil, false, nil
			}
			return nil, false, s.fail("search "+query, err)
		}
		for _, d := range page.Docs {
			ids = append(ids, strings.TrimPrefix(d.ID, string(EpisodeKey)))
		}
		if len(page.Docs) == 0 || len(ids) >= page.Total {
			slices.Sort(ids)
			return slices.Compact(ids), true, nil
		}
	}
}

func isMissingIndex(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "no such index") || strings.Contains(text, "unknown index")
}

// escapeTag escapes what is not a letter or a digit in the text of a TAG query.
func escapeTag(tag string) string {
	var b strings.Builder
	for i := range len(tag) {
		c := tag[i]
		if c < 0x80 && c != '_' && (!plain(c) || c == '-') {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Close implements [Store].
func (s *RedisStore) Close() error { return s.client.Close() }
