// Package redisurl opens connections to Redis databases that are named by URLs, without
// showing their passwords.
//
//	client, err := redisurl.Open("redis://:PASSWORD@localhost:6379/0")
package redisurl

import (
	"context"
	"errors"
	"net/url"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// errURL says what a URL looks like. The errors of the parsers would quote the one that
// cannot be read, password included.
var errURL = errors.New("the Redis URL cannot be read: want redis://[USER][:PASSWORD]@HOST[:PORT][/DATABASE], " +
	"special characters of the password percent-encoded")

// Open returns a client of the database at a URL such as
// redis://:PASSWORD@host:6379/0 (rediss:// for TLS; special characters of the password
// percent-encoded). It does not connect yet.
//
// The first call silences the log of package go-redis, which would print every lost
// connection; redis.SetLogger, called afterwards, brings it back.
func Open(rawURL string) (*redis.Client, error) {
	options, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	silenceOnce.Do(func() { redis.SetLogger(silent{}) })
	return redis.NewClient(options), nil
}

func parse(rawURL string) (*redis.Options, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errURL
	}
	query := u.Query()
	query.Del("decode_responses") // means something to clients in Python only
	u.RawQuery = query.Encode()
	options, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errURL
	}
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}

var silenceOnce sync.Once

// silent is a log that keeps nothing.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
