package jinja

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// structures are the blocks that templates may use. Those that load files
// (extends, include, import) or call back into the template's text (block, call,
// recursive loops) are not among them.
var structures = exec.NewControlStructureSet(map[string]parser.ControlStructureParser{
	"if":         builtin("if"),
	"raw":        builtin("raw"),
	"break":      builtin("break"),
	"continue":   builtin("continue"),
	"for":        parseLoop,
	"macro":      parseMacro,
	"set":        parseSet,
	"generation": parseGeneration,
})

func builtin(name string) parser.ControlStructureParser {
	p, ok := builtins.ControlStructures.Get(name)
	if !ok {
		panic("jinja: gonja has no control structure " + name)
	}
	return p
}

// container is a control structure that is made here and holds others.
type container interface{ bodies() []*nodes.Wrapper }

// loop is a for block that counts what it iterates over.
type loop struct {
	*controls.ForControlStructure
}

func parseLoop(p, args *parser.Parser) (nodes.ControlStructure, error) {
	c, err := builtin("for")(p, args)
	if err != nil {
		return nil, err
	}
	f := c.(*controls.ForControlStructure)
	if f.Recursive {
		return nil, errors.New("recursive loops are not supported")
	}
	weight := &nodes.Integer{Location: f.Position(), Val: 1 + dataSize(f.BodyWrapper.Nodes)/textStep}
	f.ObjectEvaluator = internal(f.ObjectEvaluator.Position(), iterateName, guard(f.ObjectEvaluator), weight)
	f.IfCondition = guard(f.IfCondition)
	return &loop{f}, nil
}

func (l *loop) bodies() []*nodes.Wrapper {
	if l.EmptyWrapper == nil {
		return []*nodes.Wrapper{l.BodyWrapper}
	}
	return []*nodes.Wrapper{l.BodyWrapper, l.EmptyWrapper}
}

// dataSize returns the bytes of plain text among nodes, blocks included.
func dataSize(list []nodes.Node) int {
	n := 0
	for _, node := range list {
		switch node := node.(type) {
		case *nodes.Data:
			n += len(node.Data.Val)
		case *nodes.ControlStructureBlock:
			n += blockSize(node.ControlStructure)
		}
	}
	return n
}

func blockSize(c nodes.ControlStructure) int {
	var bodies []*nodes.Wrapper
	switch c := c.(type) {
	case *controls.IfControlStructure:
		bodies = c.Wrappers
	case container:
		bodies = c.bodies()
	}
	n := 0
	for _, w := range bodies {
		n += dataSize(w.Nodes)
	}
	return n
}

// macro is a macro whose calls are counted and may nest to a limit only.
type macro struct {
	*controls.MacroControlStructure
	weight int
}

func parseMacro(p, args *parser.Parser) (nodes.ControlStructure, error) {
	c, err := builtin("macro")(p, args)
	if err != nil {
		return nil, err
	}
	m := c.(*controls.MacroControlStructure)
	for _, pair := range m.Kwargs {
		pair.Value = guard(pair.Value)
	}
	return &macro{m, dataSize(m.Wrapper.Nodes)}, nil
}

func (m *macro) bodies() []*nodes.Wrapper { return []*nodes.Wrapper{m.Wrapper} }

// Execute defines the macro.
func (m *macro) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	run, err := exec.MacroNodeToFunc(m.Macro, r)
	if err != nil {
		return err
	}
	s := stateOf(r.Environment.Context)
	r.Environment.Context.Set(m.Name, exec.Macro(func(args *exec.VarArgs) *exec.Value {
		defer s.leave()
		if err := errors.Join(s.enter(), s.text(m.weight)); err != nil {
			return exec.AsValue(err)
		}
		v := run(args)
		if err := s.weigh(v); err != nil {
			return exec.AsValue(err)
		}
		return v
	}))
	return nil
}

// assignment is a set block: to a variable, or to an attribute of a namespace; of
// an expression, or of the text of its body.
type assignment struct {
	at              *tokens.Token
	name, attribute string
	value           nodes.Expression
	body            *nodes.Wrapper
}

func parseSet(p, args *parser.Parser) (nodes.ControlStructure, error) {
	a := &assignment{at: p.Current()}
	name := args.Match(tokens.Name)
	if name == nil {
		return nil, args.Error("set needs the name of a variable", args.Current())
	}
	a.name = name.Val
	if args.Match(tokens.Dot) != nil {
		attribute := args.Match(tokens.Name)
		if attribute == nil {
			return nil, args.Error("set needs the name of an attribute after the dot", args.Current())
		}
		a.attribute = attribute.Val
	}
	if err := a.parseValue(p, args); err != nil {
		return nil, err
	}
	if !args.End() {
		return nil, args.Error("set has something after its value", args.Current())
	}
	return a, nil
}

func (a *assignment) parseValue(p, args *parser.Parser) (err error) {
	if args.Match(tokens.Assign) == nil {
		a.body, _, err = p.WrapUntil("endset")
		return err
	}
	value, err := args.ParseExpression()
	a.value = guard(value)
	return err
}

func (a *assignment) bodies() []*nodes.Wrapper {
	if a.body == nil {
		return nil
	}
	return []*nodes.Wrapper{a.body}
}

// Position returns where the block stands.
func (a *assignment) Position() *tokens.Token { return a.at }

// String names the block in errors.
func (a *assignment) String() string { return "set " + a.name }

// Execute assigns.
func (a *assignment) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	s := stateOf(r.Environment.Context)
	v, err := a.evaluate(r)
	if err != nil {
		return err
	}
	if err := s.weigh(v); err != nil {
		return err
	}
	if nesting(v, 0) > maxDepth {
		return s.fail(fmt.Errorf("value of %s is nested more than %d deep", a.name, maxDepth))
	}
	if a.attribute == "" {
		r.Environment.Context.Set(a.name, v.Interface())
		return nil
	}
	object, _ := r.Environment.Context.Get(a.name)
	space, ok := exec.ToValue(object).Interface().(*namespace)
	if !ok {
		return s.fail(fmt.Errorf("cannot set %s.%s: only attributes of a namespace can be set", a.name, a.attribute))
	}
	space.vars[a.attribute] = v.Interface()
	return nil
}

func (a *assignment) evaluate(r *exec.Renderer) (*exec.Value, error) {
	if a.body == nil {
		v := r.Eval(a.value)
		if v.IsError() {
			return nil, v
		}
		return v, nil
	}
	var text strings.Builder
	sub := r.Inherit()
	sub.Output = &text
	if err := sub.ExecuteWrapper(a.body); err != nil {
		return nil, err
	}
	return exec.AsValue(text.String()), nil
}

// generation is the block in which transformers' templates mark the assistant's
// text; it renders its body.
type generation struct {
	at   *tokens.Token
	body *nodes.Wrapper
}

func parseGeneration(p, _ *parser.Parser) (nodes.ControlStructure, error) {
	at := p.Current()
	body, _, err := p.WrapUntil("endgeneration")
	return &generation{at, body}, err
}

func (g *generation) bodies() []*nodes.Wrapper { return []*nodes.Wrapper{g.body} }

// Position returns where the block stands.
func (g *generation) Position() *tokens.Token { return g.at }

// String names the block in errors.
func (g *generation) String() string { return "generation" }

// Execute renders the body.
func (g *generation) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.body)
}
