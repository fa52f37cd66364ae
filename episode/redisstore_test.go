package episode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/redistest"
)

func openRedis(t *testing.T, url string) *episode.RedisStore {
	t.Helper()
	s, err := episode.OpenRedis(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRedisStoreOnMiniredis(t *testing.T) {
	url := "redis://" + miniredis.RunT(t).Addr()
	testStore(t, func(t *testing.T) episode.Store { return openRedis(t, url) })
}

func TestRedisStoreOnRedisServer(t *testing.T) {
	url := redistest.Start(t)
	testStore(t, func(t *testing.T) episode.Store { return openRedis(t, url) })
}

// A server without memory for more refuses the write; what it has stays.
func TestFullRedisLosesNothing(t *testing.T) {
	url := redistest.Start(t, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	s := openRedis(t, url)
	if err := s.Put(t.Context(), played(t, "a")); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		e := played(t, fmt.Sprintf("b%d", i))
		e.Reasoning = strings.Repeat("x", 1<<18)
		err = s.Put(t.Context(), e)
	}
	var re *episode.RedisError
	if !errors.As(err, &re) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("error is %v, want a RedisError about memory", err)
	}
	if _, err := s.Get(t.Context(), "a"); err != nil {
		t.Errorf("the first episode is gone: %v", err)
	}
}

const secret = "s3cr3t"

// noSecret fails the test where an error is missing or shows the password.
func noSecret(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want one that says %q and not the password", err, want)
	}
}

func TestRedisErrorsNeverShowThePassword(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("another")
	_, err := episode.OpenRedis(t.Context(), "redis://:"+secret+"@"+m.Addr())
	noSecret(t, err, m.Addr())
	for why, url := range map[string]string{
		"bad port":            "redis://:" + secret + "@host:port",
		"slash in a password": "redis://:/" + secret + "@host:6379",
		"other scheme":        "http://:" + secret + "@host",
		"bad escape":          "redis://:%zz" + secret + "@host",
		"unknown option":      "redis://:" + secret + "@host?" + secret + "=1",
		"bad database":        "redis://:" + secret + "@host/" + secret,
	} {
		_, err := episode.OpenRedis(t.Context(), url)
		t.Log(why)
		noSecret(t, err, "redis://[USER]")
	}
}

func TestRedisWrongPasswordOnRealServer(t *testing.T) {
	url := redistest.Start(t)
	_, err := episode.OpenRedis(t.Context(), strings.Replace(url, "pass%20word", secret, 1))
	noSecret(t, err, "WRONGPASS")
	_, err = episode.OpenRedis(t.Context(), strings.Replace(url, ":pass%20word@", "", 1))
	noSecret(t, err, "NOAUTH")
}

// While the server is away calls fail and say so; when it is back the store goes
// on, and everything is there.
func TestRedisDroppedConnection(t *testing.T) {
	m := miniredis.RunT(t)
	s := openRedis(t, "redis://:@"+m.Addr())
	if err := s.Put(t.Context(), played(t, "a")); err != nil {
		t.Fatal(err)
	}
	addr := m.Addr()
	m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Put(ctx, played(t, "b"))
	var re *episode.RedisError
	if !errors.As(err, &re) || re.Addr != addr {
		t.Errorf("error is %v, want a RedisError that names the server", err)
	}
	for _, err := range s.Find(ctx, episode.Query{}) {
		if err == nil {
			t.Error("a search found something on a server that is away")
		}
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), played(t, "b")); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, episode.Query{}); fmt.Sprint(got) != "[a b]" {
		t.Errorf("found %q", got)
	}
}

// What a Python program stored is read, its members that the library does not
// know are kept, and the string beside the documents is no episode.
func TestRedisReadsDocumentsOfOthers(t *testing.T) {
	m := miniredis.RunT(t)
	doc := `{"pk": "01A", "environment": "env", "agents": ["x", "y"], "tag": null, "models": ["j", "a", "b"], "agent_classes": ["LLMAgent", "LLMAgent"],` +
		` "messages": [[["Environment", "Ann", "\nHere is the context of this interaction:\nScenario: A desk.\nParticipants: Ann and Bo\nAnn's background: Ann is 5.\nBo's background: Unknown\nAnn's goal: Win.\nBo's goal: Unknown\nConversation Starts:\n"],` +
		` ["Environment", "Bo", "\nHere is the context of this interaction:\nScenario: A desk.\nParticipants: Ann and Bo\nAnn's background: Unknown\nBo's background: Bo is 6.\nAnn's goal: Unknown\nBo's goal: Lose.\nConversation Starts:\n"],` +
		` ["Ann", "Environment", "said: \"hi\""], ["Bo", "Environment", "did nothing"]]], "reasoning": "", "rewards": [[2.0, {"goal": 2.0}], 0.0], "rewards_prompt": ""}`
	m.Set(string(episode.EpisodeKey)+"01A", doc)
	m.Set(string(episode.EpisodeKey)+"index:hash", "abc")
	s := openRedis(t, "redis://"+m.Addr()+"?decode_responses=True")
	if got := ids(t, s, episode.Query{}); fmt.Sprint(got) != "[01A]" {
		t.Fatalf("found %q", got)
	}
	e, err := s.Get(t.Context(), "01A")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"episode_id": "01A", "environment_id": "env", "agent_ids": ["x", "y"], "experiment_tag": null, "experiment_model_name_pairs": ["j", "a", "b"], "agent_classes": ["LLMAgent", "LLMAgent"],`
	if got := line(t, e); !strings.HasPrefix(got, want) || !strings.HasSuffix(got,
		`"scenario": "A desk.", "agents_background": {"Ann": "Ann is 5.", "Bo": "Bo is 6."}, "social_goals": {"Ann": "Win.", "Bo": "Lose."}, "social_interactions": "Ann said: \"hi\"", "rewards": [{"goal": 2.0}, 0.0]}`+"\n") {
		t.Errorf("episode is %s", got)
	}
	back, err := e.Document()
	if err != nil || !strings.HasPrefix(string(back), strings.Split(doc, `, "agent_classes`)[0]) {
		t.Errorf("document is %s, %v", back, err)
	}
}

// TestRedisStoreOnGivenServer runs the suite on a database of the user's own,
// such as one with the JSON and search commands. It must be empty of episodes.
func TestRedisStoreOnGivenServer(t *testing.T) {
	const env = "SOCIALRL_REDIS_URL"
	url := os.Getenv(env)
	if url == "" {
		t.Skipf("%s is not set: the JSON commands are not tested against a server that has them", env)
	}
	testStore(t, func(t *testing.T) episode.Store { return openRedis(t, url) })
}
