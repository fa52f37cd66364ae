package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// stringMethods are Python's methods of str that templates use.
var stringMethods = map[string]method{
	"strip":  strip(true, true),
	"lstrip": strip(true, false),
	"rstrip": strip(false, true),
	"split":  split(false),
	"rsplit": split(true),
	"splitlines": func(s *exec.Value, a *exec.VarArgs) (any, error) {
		return splitLines(s.String(), flagArgument(a, 0, "keepends", false))
	},
	"partition":    partition(strings.Index),
	"rpartition":   partition(strings.LastIndex),
	"startswith":   affix(strings.HasPrefix),
	"endswith":     affix(strings.HasSuffix),
	"removeprefix": remove(strings.TrimPrefix),
	"removesuffix": remove(strings.TrimSuffix),
	"upper":        plain(strings.ToUpper),
	"lower":        plain(strings.ToLower),
	"casefold":     plain(strings.ToLower),
	"title":        plain(title),
	"capitalize":   plain(capitalize),
	"find":         find(strings.Index),
	"rfind":        find(strings.LastIndex),
	"count":        func(s *exec.Value, a *exec.VarArgs) (any, error) { return count(s.String(), a) },
	"replace":      func(s *exec.Value, a *exec.VarArgs) (any, error) { return replace(s.String(), a) },
	"join":         func(s *exec.Value, a *exec.VarArgs) (any, error) { return join(s.String(), a.First()) },
	"format":       func(s *exec.Value, a *exec.VarArgs) (any, error) { return braces(s.String(), a) },
	"isdigit":      all(unicode.IsDigit),
	"isnumeric":    all(unicode.IsNumber),
	"isalpha":      all(unicode.IsLetter),
	"isalnum":      all(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
	"isspace":      all(unicode.IsSpace),
	"isupper":      func(s *exec.Value, _ *exec.VarArgs) (any, error) { return cased(s.String(), strings.ToUpper), nil },
	"islower":      func(s *exec.Value, _ *exec.VarArgs) (any, error) { return cased(s.String(), strings.ToLower), nil },
}

func plain(f func(string) string) method {
	return func(s *exec.Value, _ *exec.VarArgs) (any, error) { return f(s.String()), nil }
}

func all(f func(rune) bool) method {
	return func(s *exec.Value, _ *exec.VarArgs) (any, error) {
		text := s.String()
		return text != "" && strings.IndexFunc(text, func(c rune) bool { return !f(c) }) < 0, nil
	}
}

func cased(s string, f func(string) string) bool {
	return f(s) == s && strings.ToUpper(s) != strings.ToLower(s)
}

func strip(left, right bool) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		chars, given, err := textArgument(args, 0, "chars")
		if err != nil {
			return nil, err
		}
		cut := unicode.IsSpace
		if given {
			cut = func(c rune) bool { return strings.ContainsRune(chars, c) }
		}
		text := s.String()
		if left {
			text = strings.TrimLeftFunc(text, cut)
		}
		if right {
			text = strings.TrimRightFunc(text, cut)
		}
		return text, nil
	}
}

func split(fromRight bool) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		sep, given, err := textArgument(args, 0, "sep")
		if err != nil {
			return nil, err
		}
		most, err := intArgument(args, 1, "maxsplit", -1)
		if err != nil {
			return nil, err
		}
		switch {
		case given && sep == "":
			return nil, errors.New("empty separator")
		case given && strings.Count(s.String(), sep) > maxItems || len(strings.Fields(s.String())) > maxItems:
			return nil, fmt.Errorf("more than %d parts", maxItems)
		case given && fromRight && most >= 0:
			return splitRight(s.String(), sep, most), nil
		case given:
			return texts(strings.SplitN(s.String(), sep, atMost(most))), nil
		}
		return splitBlank(s.String(), most, fromRight), nil
	}
}

// atMost turns Python's number of splits into Go's number of parts.
func atMost(splits int) int {
	if splits < 0 || splits > maxItems {
		return -1
	}
	return splits + 1
}

func splitRight(s, sep string, most int) List {
	parts := strings.Split(s, sep)
	if first := len(parts) - 1 - most; first > 0 {
		parts = append([]string{strings.Join(parts[:first+1], sep)}, parts[first+1:]...)
	}
	return texts(parts)
}

// splitBlank splits at runs of white space.
func splitBlank(s string, most int, fromRight bool) List {
	words := strings.Fields(s)
	if most < 0 || len(words) <= most+1 {
		return texts(words)
	}
	if fromRight {
		rest := strings.TrimRightFunc(s, unicode.IsSpace)
		for range most {
			rest = strings.TrimRightFunc(rest[:strings.LastIndexFunc(rest, unicode.IsSpace)], unicode.IsSpace)
		}
		return texts(append([]string{rest}, words[len(words)-most:]...))
	}
	rest := strings.TrimLeftFunc(s, unicode.IsSpace)
	for range most {
		rest = strings.TrimLeftFunc(rest[strings.IndexFunc(rest, unicode.IsSpace):], unicode.IsSpace)
	}
	return texts(append(words[:most:most], rest))
}

func texts(parts []string) List {
	list := make(List, len(parts))
	for i, p := range parts {
		list[i] = p
	}
	return list
}

func splitLines(s string, keep bool) (any, error) {
	list := List{}
	for line := range strings.Lines(strings.ReplaceAll(s, "\r\n", "\n")) {
		if !keep {
			line = strings.TrimSuffix(line, "\n")
		}
		if list = append(list, line); len(list) > maxItems {
			return nil, fmt.Errorf("more than %d lines", maxItems)
		}
	}
	return list, nil
}

func partition(where func(s, sep string) int) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		sep, given, err := textArgument(args, 0, "sep")
		if err != nil || !given || sep == "" {
			return nil, errors.Join(err, errors.New("needs a separator"))
		}
		text := s.String()
		if i := where(text, sep); i >= 0 {
			return List{text[:i], sep, text[i+len(sep):]}, nil
		}
		if where("xx", "x") == 1 {
			return List{"", "", text}, nil
		}
		return List{text, "", ""}, nil
	}
}

func affix(has func(s, part string) bool) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		v := args.First()
		if v.IsString() {
			return has(s.String(), v.String()), nil
		}
		if !plainList(v) {
			return nil, errors.New("needs a text or a tuple of texts")
		}
		list, err := toList(v)
		for _, part := range list {
			if has(s.String(), exec.ToValue(part).String()) {
				return true, nil
			}
		}
		return false, err
	}
}

func remove(f func(s, part string) string) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		part, _, err := textArgument(args, 0, "affix")
		return f(s.String(), part), err
	}
}

func find(where func(s, part string) int) method {
	return func(s *exec.Value, args *exec.VarArgs) (any, error) {
		part, _, err := textArgument(args, 0, "sub")
		i := where(s.String(), part)
		if i > 0 {
			i = utf8.RuneCountInString(s.String()[:i])
		}
		return i, err
	}
}

func count(s string, args *exec.VarArgs) (any, error) {
	part, _, err := textArgument(args, 0, "sub")
	return strings.Count(s, part), err
}

func replace(s string, args *exec.VarArgs) (any, error) {
	old, _, err := textArgument(args, 0, "old")
	if err != nil {
		return nil, err
	}
	with, _, err := textArgument(args, 1, "new")
	if err != nil {
		return nil, err
	}
	most, err := intArgument(args, 2, "count", -1)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(s, old); len(with) > 0 && n > (maxText-len(s))/len(with) {
		return nil, fmt.Errorf("makes a text of more than %d bytes", maxText)
	}
	return strings.Replace(s, old, with, most), nil
}

func join(sep string, list *exec.Value) (any, error) {
	entries, err := toList(list)
	if err != nil {
		return nil, err
	}
	parts, size := make([]string, len(entries)), 0
	for i, entry := range entries {
		parts[i] = str(exec.ToValue(entry))
		if size += len(parts[i]) + len(sep); size > maxText {
			return nil, fmt.Errorf("makes a text of more than %d bytes", maxText)
		}
	}
	return strings.Join(parts, sep), nil
}

// braces is str.format with the fields {}, {0} and {name}.
func braces(s string, args *exec.VarArgs) (any, error) {
	var b strings.Builder
	next := 0
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}") {
			b.WriteByte(s[i])
			i++
			continue
		} else if s[i] != '{' {
			b.WriteByte(s[i])
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return nil, errors.New("single '{'")
		}
		v, err := field(s[i+1:i+end], &next, args)
		if err != nil {
			return nil, err
		}
		if b.WriteString(str(v)); b.Len() > maxText {
			return nil, fmt.Errorf("makes a text of more than %d bytes", maxText)
		}
		i += end
	}
	return b.String(), nil
}

func field(name string, next *int, args *exec.VarArgs) (*exec.Value, error) {
	i := *next
	if name == "" {
		*next++
	} else if _, err := fmt.Sscanf(name, "%d", &i); err != nil {
		i = len(args.Args)
	}
	if v := argument(args, max(i, 0), name); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("there is no argument for the field {%s}", name)
}

func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + strings.ToLower(s[n:])
}

// title writes a capital at the start of each run of letters.
func title(s string) string {
	inside := false
	return strings.Map(func(c rune) rune {
		was := inside
		inside = unicode.IsLetter(c)
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	}, s)
}
