package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// Show prints the effective configuration as a command line: every flag with its
// value, empty ones left out. Passwords in URLs are not shown.
func Show(w io.Writer, set *flag.FlagSet) {
	const width = 100
	line := set.Name()
	set.VisitAll(func(f *flag.Flag) {
		value := f.Value.String()
		if value == "" {
			return
		}
		part := " -" + f.Name + "=" + quote(Redact(value))
		if len(line)+len(part) > width {
			fmt.Fprintln(w, line+" \\")
			line = "   "
		}
		line += part
	})
	fmt.Fprintln(w, line)
}

// quote quotes a value that a shell would take apart.
func quote(value string) string {
	if strings.ContainsAny(value, " \t\r\n\"'\\$`*?[](){}<>|&;#~!") {
		return strconv.Quote(value)
	}
	return value
}

// Redact hides the password of a URL. Other texts stay as they are.
func Redact(value string) string {
	scheme, rest, isURL := strings.Cut(value, "://")
	at := strings.LastIndex(rest, "@")
	if !isURL || at < 0 {
		return value
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return scheme + "://xxxxx" + rest[at:]
}

// Pin holds a resumed run to what it was started with. It writes the settings, a
// JSON object, to a new file; where the file exists, other settings are an error
// that names the first difference.
func Pin(path string, settings any) error {
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return atomicfile.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return err
	}
	if err := sameObject(have, text); err != nil {
		return fmt.Errorf("%s: the run was started otherwise: %w; take another directory", path, err)
	}
	return nil
}

// sameObject compares two JSON objects of numbers, texts and lists of these.
func sameObject(have, want []byte) error {
	var h, w map[string]any
	if err := json.Unmarshal(have, &h); err != nil {
		return err
	}
	if err := json.Unmarshal(want, &w); err != nil {
		return err
	}
	both := maps.Clone(h)
	maps.Copy(both, w)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if was, now := fmt.Sprint(h[name]), fmt.Sprint(w[name]); was != now {
			return fmt.Errorf("%s was %s, now %s", name, was, now)
		}
	}
	return nil
}
