// Package redistest starts a real Redis server for a test.
package redistest

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// Start starts a server that wants a password and returns its URL. It ends with the
// test, and keeps nothing. Where there is no redis-server the test is skipped.
func Start(t testing.TB, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("NOT TESTED against a real Redis: there is no redis-server on the PATH (apt-get install redis-server)")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, append([]string{"--port", port, "--bind", "127.0.0.1", "--requirepass", "pass word",
		"--save", "", "--dir", t.TempDir()}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	await(t, addr)
	return "redis://:pass%20word@" + addr
}

// freeAddr returns an address that nobody listens at.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await waits until somebody listens at an address.
func await(t testing.TB, addr string) {
	t.Helper()
	for range 400 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("redis-server does not listen at %s", addr)
}
