package jinja

import (
	"fmt"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// method is a method of a text, a list or a mapping.
type method func(self *exec.Value, args *exec.VarArgs) (any, error)

// call is object.name(args): a function that the object holds, or a method of its
// type.
func call(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	object, name := args.Args[0], args.Args[1].String()
	rest := &exec.VarArgs{Args: args.Args[2:], KwArgs: args.KwArgs}
	v, err := invoke(object, name, rest)
	if err == nil && !v.IsError() {
		err = s.weigh(v)
	}
	if err != nil {
		return exec.AsValue(s.fail(err))
	}
	return v
}

func invoke(object *exec.Value, name string, args *exec.VarArgs) (*exec.Value, error) {
	if getter, ok := object.Interface().(exec.AttributeGetter); ok {
		v, _ := getter.GetAttribute(name)
		switch f := v.Interface().(type) {
		case func(*exec.VarArgs) *exec.Value:
			return f(args), nil
		case exec.Macro:
			return f(args), nil
		}
	}
	if m, ok := methodsOf(object)[name]; ok {
		v, err := m(object, args)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", name, kind(object), err)
		}
		return exec.ToValue(v), nil
	}
	return nil, fmt.Errorf("%s has no method %q", kind(object), name)
}

func methodsOf(v *exec.Value) map[string]method {
	switch {
	case v.IsString():
		return stringMethods
	case plainList(v):
		return listMethods
	case v.IsDict():
		return dictMethods
	}
	return nil
}

// argument returns the i-th argument, or the one with a name, or nil.
func argument(args *exec.VarArgs, i int, name string) *exec.Value {
	if i < len(args.Args) {
		return args.Args[i]
	}
	return args.KwArgs[name]
}

// textArgument returns an argument that must be a text; one that is absent or None
// gives ok false.
func textArgument(args *exec.VarArgs, i int, name string) (s string, ok bool, err error) {
	v := argument(args, i, name)
	switch {
	case v == nil || isNull(v):
		return "", false, nil
	case !v.IsString():
		return "", false, fmt.Errorf("argument %s is not a text", name)
	}
	return v.String(), true, nil
}

// intArgument returns an argument that must be a whole number, or its default.
func intArgument(args *exec.VarArgs, i int, name string, otherwise int) (int, error) {
	v := argument(args, i, name)
	switch {
	case v == nil || isNull(v):
		return otherwise, nil
	case !isInteger(v):
		return 0, fmt.Errorf("argument %s is not a whole number", name)
	}
	return integer(v), nil
}

// flagArgument returns an argument that is true or false, or its default.
func flagArgument(args *exec.VarArgs, i int, name string, otherwise bool) bool {
	if v := argument(args, i, name); v != nil {
		return v.IsTrue()
	}
	return otherwise
}

var listMethods = map[string]method{
	"index": func(self *exec.Value, args *exec.VarArgs) (any, error) {
		list, err := toList(self)
		for i, v := range list {
			if exec.ToValue(v).EqualValueTo(args.First()) {
				return i, nil
			}
		}
		if err == nil {
			err = fmt.Errorf("%s is not in the list", repr(args.First()))
		}
		return nil, err
	},
	"count": func(self *exec.Value, args *exec.VarArgs) (any, error) {
		n := 0
		list, err := toList(self)
		for _, v := range list {
			if exec.ToValue(v).EqualValueTo(args.First()) {
				n++
			}
		}
		return n, err
	},
}

var dictMethods = map[string]method{
	"items":  func(self *exec.Value, _ *exec.VarArgs) (any, error) { return items(self), nil },
	"keys":   func(self *exec.Value, _ *exec.VarArgs) (any, error) { return toList(self) },
	"values": func(self *exec.Value, _ *exec.VarArgs) (any, error) { return values(self), nil },
	"copy":   func(self *exec.Value, _ *exec.VarArgs) (any, error) { return self, nil },
	"get": func(self *exec.Value, args *exec.VarArgs) (any, error) {
		for _, p := range pairs(self) {
			if p.Key.EqualValueTo(args.First()) {
				return p.Value, nil
			}
		}
		if otherwise := argument(args, 1, "default"); otherwise != nil {
			return otherwise, nil
		}
		return Null{}, nil
	},
}

func items(v *exec.Value) List {
	list := List{}
	for _, p := range pairs(v) {
		list = append(list, List{p.Key.Interface(), p.Value.Interface()})
	}
	return list
}

func values(v *exec.Value) List {
	list := List{}
	for _, p := range pairs(v) {
		list = append(list, p.Value.Interface())
	}
	return list
}
