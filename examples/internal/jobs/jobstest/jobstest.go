// Package jobstest helps to test what happens to jobs whose workers die.
package jobstest

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/redisurl"
)

// Age lets the leases on running jobs end as if two minutes had passed: the next worker
// that starts finds the jobs of the dead. At least one job must be running.
func Age(t *testing.T, url string, kind jobs.Kind) {
	t.Helper()
	client, err := redisurl.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	leases := fmt.Sprintf("asynq:{socialrl:%s}:lease", kind)
	held, err := client.ZRangeWithScores(t.Context(), leases, 0, -1).Result()
	if err != nil || len(held) == 0 {
		t.Fatalf("leases %v, %v", held, err)
	}
	for _, l := range held {
		if err := client.ZAdd(t.Context(), leases, redis.Z{Score: l.Score - 120, Member: l.Member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
