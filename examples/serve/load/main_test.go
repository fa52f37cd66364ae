package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
)

var command clitest.Program = run

func TestLoad(t *testing.T) {
	s := policy.NewServer(tiny.Base(t, "cpu"), policy.ServerConfig{Name: "tiny"})
	defer s.Close()
	web := httptest.NewServer(s)
	defer web.Close()
	code, stdout, stderr := command.Run("", "-url", web.URL, "-model", "tiny", "-clients", "4", "-prompt", "40", "-reply", "8", "-alone", "60ms", "-time", "150ms", "-hang-up", "3")
	if code != 0 || !strings.Contains(stdout, "4 clients: ") || !strings.Contains(stdout, ", 0 lost") || strings.Contains(stdout, " 0 replies") || !strings.Contains(stdout, "ratio ") {
		t.Errorf("code %d, printed\n%s%s", code, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	command.Want(t, 2, "-model is missing")
	command.Want(t, 2, "LOAD_TEST_UNSET is empty", "-model", "m", "-key-env", "LOAD_TEST_UNSET")
	command.Want(t, 2, "-clients", "-model", "m", "-clients", "0")
	command.Want(t, 1, "refused", "-model", "m", "-url", "http://127.0.0.1:1")
}
