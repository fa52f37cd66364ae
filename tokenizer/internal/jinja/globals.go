package jinja

import (
	"errors"
	"fmt"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// globals are the functions that every template has, and those that the guard
// redirects to.
var globals = exec.NewContext(map[string]any{
	"range":     rangeOf,
	"dict":      dictOf,
	"namespace": namespaceOf,
	callName:    call,
	itemName:    getItem,
	operateName: operate,
	printName:   printed,
	iterateName: iterated,
	nullName:    Null{},
})

func rangeOf(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	list, err := numbers(args.Args)
	if err == nil {
		err = s.items(len(list))
	}
	if err != nil {
		return exec.AsValue(s.fail(err))
	}
	return exec.AsValue(list)
}

// numbers is range.
func numbers(args []*exec.Value) (List, error) {
	bounds := []int{0, 0, 1}
	for i, v := range args {
		if !isInteger(v) || i > 2 {
			return nil, errors.New("range needs one to three whole numbers")
		}
		bounds[i] = integer(v)
	}
	if len(args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 || len(args) == 0 {
		return nil, errors.New("range needs a stop, and a step other than 0")
	}
	list := List{}
	for i := start; (step > 0 && i < stop) || (step < 0 && i > stop); i += step {
		if list = append(list, i); len(list) > maxItems {
			return nil, fmt.Errorf("range has more than %d numbers", maxItems)
		}
	}
	return list, nil
}

func dictOf(_ *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	dict := exec.NewDict()
	for _, p := range pairs(args.First()) {
		put(dict, p.Key.String(), p.Value.Interface())
	}
	for _, p := range sorted(args.KwArgs) {
		put(dict, p.Key.String(), p.Value.Interface())
	}
	return exec.AsValue(dict)
}

// sorted returns keyword arguments by name; gonja does not keep their order.
func sorted(kwargs map[string]*exec.Value) []exec.Pair {
	var all []exec.Pair
	for k, v := range kwargs {
		all = append(all, exec.Pair{Key: exec.AsValue(k), Value: v})
	}
	sortPairs(all)
	return all
}

func namespaceOf(_ *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	n := &namespace{vars: map[string]any{}}
	for _, p := range pairs(args.First()) {
		n.vars[p.Key.String()] = p.Value.Interface()
	}
	for k, v := range args.KwArgs {
		n.vars[k] = v.Interface()
	}
	return exec.AsValue(n)
}

// tests are gonja's, apart from those where its answer is not Jinja's.
var tests = exec.NewTestSet(chosenTests())

func chosenTests() map[string]exec.TestFunction {
	set := map[string]exec.TestFunction{
		"none":      is(isNull),
		"defined":   is(func(v *exec.Value) bool { return !v.IsNil() }),
		"undefined": is(func(v *exec.Value) bool { return v.IsNil() }),
		"true":      is(func(v *exec.Value) bool { return v.IsBool() && v.Bool() }),
		"false":     is(func(v *exec.Value) bool { return v.IsBool() && !v.Bool() }),
		"number":    is(isNumber),
		"sequence":  is(func(v *exec.Value) bool { return plainList(v) || v.IsString() || v.IsDict() }),
		"iterable":  is(func(v *exec.Value) bool { return plainList(v) || v.IsString() || v.IsDict() }),
		"in":        is2(contains),
		"eq":        is2(equal), "equalto": is2(equal), "==": is2(equal), "sameas": is2(equal),
		"ne": is2(func(a, b *exec.Value) bool { return !equal(a, b) }), "!=": is2(func(a, b *exec.Value) bool { return !equal(a, b) }),
	}
	for _, name := range []string{"boolean", "callable", "divisibleby", "even", "odd", "float", "integer", "lower", "upper", "mapping", "string",
		"ge", ">=", "gt", "greaterthan", ">", "le", "<=", "lt", "lessthan", "<"} {
		test, ok := builtins.Tests.Get(name)
		if !ok {
			panic("jinja: gonja has no test " + name)
		}
		set[name] = test
	}
	return set
}

func is(f func(*exec.Value) bool) exec.TestFunction {
	return func(_ *exec.Evaluator, v *exec.Value, _ *exec.VarArgs) (bool, error) { return f(v), nil }
}

func is2(f func(a, b *exec.Value) bool) exec.TestFunction {
	return func(_ *exec.Evaluator, v *exec.Value, args *exec.VarArgs) (bool, error) {
		return f(v, args.First()), nil
	}
}

// equal is Python's ==; None equals None only.
func equal(a, b *exec.Value) bool {
	if isNull(a) || isNull(b) {
		return isNull(a) && isNull(b)
	}
	return a.EqualValueTo(b)
}

func contains(v, in *exec.Value) bool {
	switch {
	case in.IsString():
		return v.IsString() && in.Contains(v)
	case plainList(in) || in.IsDict():
		list, _ := toList(in)
		for _, entry := range list {
			if equal(exec.ToValue(entry), v) {
				return true
			}
		}
	}
	return false
}
