package jinja

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// filter is a filter that may fail.
type filter func(v *exec.Value, args *exec.VarArgs) (any, error)

// filters are Jinja's: those of gonja that are safe, and others where gonja's order
// of keys, idea of undefined values or use of memory differ.
var filters = exec.NewFilterSet(chosenFilters())

func chosenFilters() map[string]exec.FilterFunction {
	set := map[string]exec.FilterFunction{}
	for name, f := range ownFilters {
		set[name] = counted(f)
	}
	for _, name := range []string{"abs", "batch", "escape", "e", "float", "int", "map", "max", "min", "reject", "rejectattr", "round",
		"select", "selectattr", "sort", "sum", "unique", "urlencode", "wordcount"} {
		f, ok := builtins.Filters.Get(name)
		if !ok {
			panic("jinja: gonja has no filter " + name)
		}
		set[name] = bounded(f)
	}
	return set
}

// counted makes a filter of gonja from one of this package.
func counted(f filter) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
		s := stateOf(e.Environment.Context)
		out, err := f(in, args)
		v := exec.ToValue(out)
		if err == nil {
			err = s.weigh(v)
		}
		if err != nil {
			return exec.AsValue(s.fail(err))
		}
		return v
	}
}

// bounded passes a filter of gonja values of a bounded size only.
func bounded(f exec.FilterFunction) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
		s := stateOf(e.Environment.Context)
		if isNull(in) {
			in = exec.AsValue(nil)
		}
		if err := s.weigh(in); err != nil {
			return exec.AsValue(err)
		}
		for _, a := range args.Args {
			if a.IsInteger() && (a.Integer() > maxItems || a.Integer() < -maxItems) {
				return exec.AsValue(s.fail(fmt.Errorf("argument %d of a filter is out of range", a.Integer())))
			}
		}
		return f(e, in, args)
	}
}

var ownFilters = map[string]filter{
	"tojson":     tojson,
	"default":    otherwise,
	"d":          otherwise,
	"trim":       asMethod("strip"),
	"upper":      asMethod("upper"),
	"lower":      asMethod("lower"),
	"title":      asMethod("title"),
	"capitalize": asMethod("capitalize"),
	"replace":    asMethod("replace"),
	"string":     func(v *exec.Value, _ *exec.VarArgs) (any, error) { return str(v), nil },
	"safe":       func(v *exec.Value, _ *exec.VarArgs) (any, error) { return v, nil },
	"join":       joined,
	"indent":     indented,
	"length":     length,
	"count":      length,
	"list":       func(v *exec.Value, _ *exec.VarArgs) (any, error) { return boundedList(v) },
	"first":      func(v *exec.Value, _ *exec.VarArgs) (any, error) { return entry(v, 0) },
	"last":       func(v *exec.Value, _ *exec.VarArgs) (any, error) { return entry(v, -1) },
	"reverse":    reversed,
	"items":      func(v *exec.Value, _ *exec.VarArgs) (any, error) { return items(v), nil },
	"dictsort":   dictsort,
	"format":     formatted,
}

// asMethod makes a filter of a method of texts; other values are written as texts
// first, as Jinja does.
func asMethod(name string) filter {
	return func(v *exec.Value, args *exec.VarArgs) (any, error) {
		return stringMethods[name](exec.AsValue(str(v)), args)
	}
}

// tojson is the filter of transformers: json.dumps without escapes for HTML or
// characters beyond ASCII.
func tojson(v *exec.Value, args *exec.VarArgs) (any, error) {
	w := &jsonWriter{item: ", ", key: ": ", ascii: flagArgument(args, 0, "ensure_ascii", false), sorted: flagArgument(args, 3, "sort_keys", false)}
	indent := argument(args, 1, "indent")
	switch {
	case indent == nil || isNull(indent):
	case indent.IsString():
		w.pretty, w.indent, w.item = true, indent.String(), ","
	default:
		n, err := intArgument(args, 1, "indent", 0)
		if err != nil || n > maxDepth {
			return nil, fmt.Errorf("tojson: indent is not a number of at most %d spaces", maxDepth)
		}
		w.pretty, w.indent, w.item = true, strings.Repeat(" ", max(n, 0)), ","
	}
	if separators := argument(args, 2, "separators"); separators != nil && separators.IsList() {
		list, _ := toList(separators)
		if len(list) == 2 {
			w.item, w.key = str(exec.ToValue(list[0])), str(exec.ToValue(list[1]))
		}
	}
	if err := w.write(v, 0); err != nil {
		return nil, fmt.Errorf("tojson: %w", err)
	}
	return w.String(), nil
}

// otherwise is default: for undefined values, and with boolean for all that are
// false.
func otherwise(v *exec.Value, args *exec.VarArgs) (any, error) {
	if v.IsNil() || flagArgument(args, 1, "boolean", false) && !v.IsTrue() {
		if d := argument(args, 0, "default_value"); d != nil {
			return d, nil
		}
		return "", nil
	}
	return v, nil
}

func length(v *exec.Value, _ *exec.VarArgs) (any, error) {
	switch {
	case v.IsNil():
		return 0, nil
	case plainList(v) || v.IsString() || v.IsDict():
		return v.Len(), nil
	}
	return nil, fmt.Errorf("%s has no length", kind(v))
}

// boundedList is toList with a limit.
func boundedList(v *exec.Value) (List, error) {
	if v.IsString() && len(v.String()) > 4*maxItems {
		return nil, fmt.Errorf("template makes a list of more than %d entries", maxItems)
	}
	return toList(v)
}

func entry(v *exec.Value, i int) (any, error) {
	list, err := boundedList(v)
	if err != nil {
		return nil, err
	}
	e, _ := list.GetItem(i)
	return e, nil
}

func reversed(v *exec.Value, _ *exec.VarArgs) (any, error) {
	if v.IsString() {
		runes := []rune(v.String())
		slices.Reverse(runes)
		return string(runes), nil
	}
	list, err := toList(v)
	slices.Reverse(list)
	return list, err
}

func joined(v *exec.Value, args *exec.VarArgs) (any, error) {
	sep, _, err := textArgument(args, 0, "d")
	if err != nil {
		return nil, err
	}
	attribute, given, err := textArgument(args, 1, "attribute")
	if err != nil || !given {
		return errorOr(err, func() (any, error) { return join(sep, v) })
	}
	list, err := toList(v)
	if err != nil {
		return nil, err
	}
	for i, object := range list {
		list[i] = nil
		for _, p := range pairs(exec.ToValue(object)) {
			if p.Key.String() == attribute {
				list[i] = p.Value.Interface()
			}
		}
	}
	return join(sep, exec.AsValue(list))
}

func errorOr(err error, f func() (any, error)) (any, error) {
	if err != nil {
		return nil, err
	}
	return f()
}

func indented(v *exec.Value, args *exec.VarArgs) (any, error) {
	width := argument(args, 0, "width")
	space := "    "
	switch {
	case width == nil:
	case width.IsString():
		space = width.String()
	case width.IsInteger():
		space = strings.Repeat(" ", min(max(width.Integer(), 0), 1000))
	}
	first, blank := flagArgument(args, 1, "first", false), flagArgument(args, 2, "blank", false)
	text := str(v)
	if strings.Count(text, "\n") > (maxText-len(text))/max(len(space), 1) {
		return nil, fmt.Errorf("template makes a text of more than %d bytes", maxText)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if i > 0 && (line != "" || blank) || i == 0 && first {
			lines[i] = space + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

// formatted is the filter of the % operator, with its arguments one by one.
func formatted(v *exec.Value, args *exec.VarArgs) (any, error) {
	list := List{}
	for _, a := range args.Args {
		list = append(list, a.Interface())
	}
	return format(str(v), exec.AsValue(list))
}

func dictsort(v *exec.Value, _ *exec.VarArgs) (any, error) {
	all := pairs(v)
	slices.SortStableFunc(all, func(a, b exec.Pair) int {
		return strings.Compare(strings.ToLower(a.Key.String()), strings.ToLower(b.Key.String()))
	})
	list := List{}
	for _, p := range all {
		list = append(list, List{p.Key.Interface(), p.Value.Interface()})
	}
	return list, nil
}

// sortPairs sorts by key, as sort_keys does.
func sortPairs(all []exec.Pair) {
	slices.SortStableFunc(all, func(a, b exec.Pair) int { return strings.Compare(a.Key.String(), b.Key.String()) })
}
