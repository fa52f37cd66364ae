package redisurl

import (
	"strings"
	"testing"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		why, url, addr, password string
		db                       int
	}{
		{"the shortest", "redis://localhost", "localhost:6379", "", 0},
		{"a password with a space and a slash", "redis://:pass%20wo%2Frd@host:7000/3", "host:7000", "pass wo/rd", 3},
		{"an option of Python's client", "redis://host:1/?decode_responses=True", "host:1", "", 0},
	} {
		client, err := Open(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		if o := client.Options(); o.Addr != c.addr || o.Password != c.password || o.DB != c.db {
			t.Errorf("%s: %s, password %q, database %d", c.why, o.Addr, o.Password, o.DB)
		}
		client.Close()
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	for _, url := range []string{"http://:hunter2@host", "redis://:hunter2@host:port", "redis://:hunter2@host/db", ":hunter2"} {
		if _, err := Open(url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v, want one without the password", url, err)
		}
	}
}
