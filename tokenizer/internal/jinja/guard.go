package jinja

import (
	"fmt"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The syntax tree is changed before it is run: method calls, items, arithmetic,
// printed values and the lists that loops go over are passed to functions of this
// package, under names that no template can write. gonja evaluates the object of
// a method call twice, so that a chain of n calls takes 2^n steps, and some of its
// operators panic, fill the memory or differ from Python's.
const (
	callName    = "call method"
	itemName    = "get item"
	operateName = "operate"
	printName   = "print"
	iterateName = "iterate"
	nullName    = "null"
)

// guardNodes changes the expressions of a list of nodes in place.
func guardNodes(list []nodes.Node) error {
	for _, n := range list {
		switch n := n.(type) {
		case *nodes.Output:
			n.Expression = internal(n.Position(), printName, guard(n.Expression))
			if n.Alternative != nil {
				n.Alternative = internal(n.Position(), printName, guard(n.Alternative))
			}
			n.Condition = guard(n.Condition)
		case *nodes.ControlStructureBlock:
			if err := guardBlock(n.ControlStructure); err != nil {
				return err
			}
		case *nodes.Data, *nodes.Comment, nil:
		default:
			return fmt.Errorf("template has an unknown part %T", n)
		}
	}
	return nil
}

// guardBlock changes a control structure. Those that are made here guard their own
// expressions when they are parsed.
func guardBlock(c nodes.ControlStructure) error {
	switch c := c.(type) {
	case *controls.IfControlStructure:
		for i := range c.Conditions {
			c.Conditions[i] = guard(c.Conditions[i])
		}
		for _, w := range c.Wrappers {
			if err := guardNodes(w.Nodes); err != nil {
				return err
			}
		}
	case container:
		for _, w := range c.bodies() {
			if err := guardNodes(w.Nodes); err != nil {
				return err
			}
		}
	}
	return nil
}

// internal makes a call of one of the functions above.
func internal(at *tokens.Token, name string, args ...nodes.Expression) nodes.Expression {
	token := &tokens.Token{Type: tokens.Name, Val: name}
	if at != nil {
		token.Line, token.Col, token.Pos = at.Line, at.Col, at.Pos
	}
	return &nodes.Call{Location: token, Func: &nodes.Name{Name: token}, Args: args, Kwargs: map[string]nodes.Expression{}}
}

func text(at *tokens.Token, s string) nodes.Expression { return &nodes.String{Location: at, Val: s} }

// guard returns an expression with its parts redirected.
func guard(e nodes.Expression) nodes.Expression {
	switch n := e.(type) {
	case *nodes.Name:
		if n.Name.Val == "none" {
			return &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: nullName}}
		}
	case *nodes.None:
		return &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: nullName}}
	case *nodes.List:
		guardAll(n.Val)
	case *nodes.Tuple:
		guardAll(n.Val)
	case *nodes.Dict:
		for _, p := range n.Pairs {
			p.Key, p.Value = guard(p.Key), guard(p.Value)
		}
	case *nodes.Call:
		return guardCall(n)
	case *nodes.GetItem:
		return internal(n.Location, itemName, guard(n.Node), guard(n.Arg))
	case *nodes.GetAttribute:
		return guardAttribute(n)
	case *nodes.GetSlice:
		n.Node, n.Start, n.End, n.Step = guard(n.Node), guard(n.Start), guard(n.End), guard(n.Step)
	case *nodes.Negation:
		n.Term = guard(n.Term)
	case *nodes.UnaryExpression:
		n.Term = guard(n.Term)
	case *nodes.BinaryExpression:
		return guardBinary(n)
	case *nodes.FilteredExpression:
		n.Expression = guard(n.Expression)
		for _, f := range n.Filters {
			guardArgs(f.Args, f.Kwargs)
		}
	case *nodes.TestExpression:
		n.Expression = guard(n.Expression)
		guardArgs(n.Test.Args, n.Test.Kwargs)
	}
	return e
}

func guardAll(list []nodes.Expression) {
	for i := range list {
		list[i] = guard(list[i])
	}
}

func guardArgs(args []nodes.Expression, kwargs map[string]nodes.Expression) {
	guardAll(args)
	for k := range kwargs {
		kwargs[k] = guard(kwargs[k])
	}
}

// guardCall turns object.method(args) into a call with object and "method" as the
// first arguments.
func guardCall(n *nodes.Call) nodes.Expression {
	guardArgs(n.Args, n.Kwargs)
	attribute, ok := n.Func.(*nodes.GetAttribute)
	if !ok || attribute.Attribute == "" {
		n.Func = guard(n.Func)
		return n
	}
	call := internal(n.Location, callName, guard(attribute.Node), text(n.Location, attribute.Attribute)).(*nodes.Call)
	call.Args = append(call.Args, n.Args...)
	call.Kwargs = n.Kwargs
	return call
}

func guardAttribute(n *nodes.GetAttribute) nodes.Expression {
	if n.Attribute == "" {
		return internal(n.Location, itemName, guard(n.Node), &nodes.Integer{Location: n.Location, Val: n.Index})
	}
	return internal(n.Location, itemName, guard(n.Node), text(n.Location, n.Attribute))
}

// operators are those that operate carries out.
var operators = map[tokens.Type]bool{
	tokens.Equals: true, tokens.Ne: true,
	tokens.Addition: true, tokens.Subtraction: true, tokens.Multiply: true, tokens.Division: true,
	tokens.FloorDivision: true, tokens.Modulo: true, tokens.Power: true, tokens.Tilde: true,
}

func guardBinary(n *nodes.BinaryExpression) nodes.Expression {
	n.Left, n.Right = guard(n.Left), guard(n.Right)
	if !operators[n.Operator.Token.Type] {
		return n
	}
	return internal(n.Operator.Token, operateName, text(n.Operator.Token, n.Operator.Token.Val), n.Left, n.Right)
}
