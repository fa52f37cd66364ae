package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/internal/dirtest"
)

// Places are checked without a trace, and a bad one is named as the user named it.
func TestCheckOutputs(t *testing.T) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
	if err := os.WriteFile(file, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	before := dirtest.Names(t, dir)
	for _, c := range []struct {
		why, path        string
		asFile, asFolder bool
	}{
		{"nothing", "", true, true},
		{"something new", filepath.Join(dir, "new"), true, true},
		{"something in a folder that is missing", filepath.Join(dir, "new", "deep"), false, true},
		{"a file", file, true, false},
		{"a folder", folder, false, true},
		{"something in a file", filepath.Join(file, "x"), false, false},
	} {
		for what, got := range map[string]struct {
			err error
			ok  bool
		}{"a file": {CheckFiles(c.path), c.asFile}, "a folder": {CheckDirs(c.path), c.asFolder}} {
			if (got.err == nil) != got.ok || got.err != nil && !strings.Contains(got.err.Error(), " "+c.path+": ") {
				t.Errorf("%s as %s: error %v", c.why, what, got.err)
			}
		}
	}
	if err := CheckFiles("-"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, dirtest.Names(t, dir)); diff != "" {
		t.Error(diff)
	}
}
