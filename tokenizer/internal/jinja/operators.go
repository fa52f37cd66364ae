package jinja

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// operate carries out an operator as Python does.
func operate(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	op, a, b := args.Args[0].String(), args.Args[1], args.Args[2]
	v, err := operation(op, a, b)
	if err == nil {
		err = s.weigh(v)
	}
	if err != nil {
		return exec.AsValue(s.fail(err))
	}
	return v
}

func operation(op string, a, b *exec.Value) (*exec.Value, error) {
	switch {
	case op == "==":
		return exec.AsValue(equal(a, b)), nil
	case op == "!=":
		return exec.AsValue(!equal(a, b)), nil
	case op == "~":
		return exec.AsValue(str(a) + str(b)), nil
	case isNumber(a) && isNumber(b):
		return numerical(op, a, b)
	case op == "+" && a.IsString() && b.IsString():
		return exec.AsValue(a.String() + b.String()), nil
	case op == "+" && plainList(a) && plainList(b):
		return concat(a, b)
	case op == "*" && a.IsString() && isInteger(b):
		return repeat(a.String(), integer(b))
	case op == "*" && isInteger(a) && b.IsString():
		return repeat(b.String(), integer(a))
	case op == "%" && a.IsString():
		return format(a.String(), b)
	}
	return nil, fmt.Errorf("operator %s does not go with %s and %s", op, kind(a), kind(b))
}

// Booleans count as numbers, as in Python.
func isNumber(v *exec.Value) bool  { return v.IsNumber() || v.IsBool() }
func isInteger(v *exec.Value) bool { return v.IsInteger() || v.IsBool() }

func plainList(v *exec.Value) bool { return v.IsList() && !isNull(v) }

func integer(v *exec.Value) int {
	if v.IsBool() {
		if v.Bool() {
			return 1
		}
		return 0
	}
	return v.Integer()
}

func float(v *exec.Value) float64 {
	if v.IsFloat() {
		return v.Float()
	}
	return float64(integer(v))
}

// kind names a value's type in errors.
func kind(v *exec.Value) string {
	switch {
	case v.IsNil():
		return "an undefined value"
	case isNull(v):
		return "None"
	case v.IsString():
		return "a text"
	case isNumber(v):
		return "a number"
	case v.IsList():
		return "a list"
	case v.IsDict():
		return "a mapping"
	}
	return "an object"
}

func concat(a, b *exec.Value) (*exec.Value, error) {
	left, err := toList(a)
	if err != nil {
		return nil, err
	}
	right, err := toList(b)
	return exec.AsValue(append(left, right...)), err
}

func repeat(s string, n int) (*exec.Value, error) {
	n = max(n, 0)
	if len(s) > 0 && n > maxText/len(s) {
		return nil, fmt.Errorf("template makes a text of more than %d bytes", maxText)
	}
	return exec.AsValue(strings.Repeat(s, n)), nil
}

func numerical(op string, a, b *exec.Value) (*exec.Value, error) {
	if float(b) == 0 && (op == "/" || op == "//" || op == "%") {
		return nil, fmt.Errorf("division by zero")
	}
	if isInteger(a) && isInteger(b) && op != "/" {
		return integers(op, integer(a), integer(b))
	}
	x, y := float(a), float(b)
	switch op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "/":
		x /= y
	case "//":
		x = math.Floor(x / y)
	case "%":
		x -= y * math.Floor(x/y)
	case "**":
		x = math.Pow(x, y)
	}
	return exec.AsValue(x), nil
}

func integers(op string, x, y int) (*exec.Value, error) {
	switch op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "//":
		x = floorDivide(x, y)
	case "%":
		x -= y * floorDivide(x, y)
	case "**":
		p := math.Pow(float64(x), float64(y))
		if y < 0 {
			return exec.AsValue(p), nil
		} else if math.Abs(p) >= 1<<53 {
			return nil, fmt.Errorf("%d**%d is too large", x, y)
		}
		x = int(p)
	}
	return exec.AsValue(x), nil
}

func floorDivide(x, y int) int {
	q := x / y
	if x%y != 0 && (x < 0) != (y < 0) {
		q--
	}
	return q
}

// conversion is one field of a format: %s, %5d, %.2f.
var conversion = regexp.MustCompile(`%([-+0 ]?[0-9]{0,3}(?:\.[0-9]{1,2})?)([sdifxXeEgGr%])`)

// format is the % operator of a text.
func format(s string, arg *exec.Value) (*exec.Value, error) {
	args := List{arg.Interface()}
	if plainList(arg) {
		args, _ = toList(arg)
	}
	enough := true
	text := conversion.ReplaceAllStringFunc(s, func(field string) string {
		verb := field[len(field)-1]
		if verb == '%' {
			return "%"
		}
		if len(args) == 0 {
			enough = false
			return ""
		}
		v := exec.ToValue(args[0])
		args = args[1:]
		return convert(field[:len(field)-1], verb, v)
	})
	if !enough || len(args) > 0 {
		return nil, fmt.Errorf("format %.40q does not go with its arguments", s)
	}
	return exec.AsValue(text), nil
}

// convert writes one value; flags begin with the per cent sign.
func convert(flags string, verb byte, v *exec.Value) string {
	switch verb {
	case 's':
		return fmt.Sprintf(flags+"s", str(v))
	case 'r':
		return fmt.Sprintf(flags+"s", repr(v))
	case 'd', 'i':
		return fmt.Sprintf(flags+"d", int(float(v)))
	case 'x', 'X':
		return fmt.Sprintf(flags+string(verb), integer(v))
	}
	return fmt.Sprintf(flags+string(verb), float(v))
}

// getItem is x[key] and x.key: an entry, an attribute of a loop or a namespace, or
// nothing.
func getItem(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	if err := s.spend(1); err != nil {
		return exec.AsValue(err)
	}
	object, key := args.Args[0], args.Args[1]
	switch {
	case object.IsNil():
		return exec.AsValue(s.fail(fmt.Errorf("undefined value has no %s", repr(key))))
	case key.IsInteger() && object.IsString():
		v, _ := characters(object.String()).GetItem(key.Integer())
		return v
	case key.IsInteger() && plainList(object):
		list, _ := toList(object)
		v, _ := list.GetItem(key.Integer())
		return v
	case !key.IsString():
		return exec.AsValue(nil)
	}
	if getter, ok := object.Interface().(exec.AttributeGetter); ok {
		v, _ := getter.GetAttribute(key.String())
		return v
	}
	for _, p := range pairs(object) {
		if p.Key.IsString() && p.Key.String() == key.String() {
			return p.Value
		}
	}
	return exec.AsValue(nil)
}

func characters(s string) List {
	list := make(List, 0, len(s))
	for _, c := range s {
		list = append(list, string(c))
	}
	return list
}

// printed is what {{ value }} writes.
func printed(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	text := str(args.Args[0])
	if err := s.text(len(text)); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(text)
}

// iterated is the list that a loop goes over.
func iterated(e *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	s := stateOf(e.Environment.Context)
	v := args.Args[0]
	if v.IsString() && len(v.String()) > maxItems {
		return exec.AsValue(s.items(len(v.String())))
	}
	list, err := toList(v)
	if err == nil {
		err = s.items(len(list))
	}
	if err == nil { // the plain text of the body, once for each entry
		err = s.spend(len(list) * args.Args[1].Integer())
	}
	if err != nil {
		return exec.AsValue(s.fail(err))
	}
	return exec.AsValue(list)
}
