// Package jinja renders chat templates: Jinja templates as the Python
// transformers library sets them up (trimmed blocks, raise_exception, tojson,
// strftime_now, loop controls, an immutable sandbox), on top of gonja.
//
// Templates come with downloaded models, so they are not trusted: they reach no
// files and no Go methods, and one that would run forever, recurse or fill the
// memory ends in an error. gonja is extended through its environment (control
// structures, filters, tests, globals) and through its syntax tree, whose
// method calls, items and products are redirected to functions of this package.
//
// A [Template] may be rendered by several goroutines at once.
package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// Template is a compiled chat template.
type Template struct{ template *exec.Template }

// Raised is the error of a template that calls raise_exception.
type Raised struct{ Message string }

func (r *Raised) Error() string { return r.Message }

const templateName = "/template"

// Compile parses a template.
func Compile(source string) (t *Template, err error) {
	defer recovered(&err)
	text, err := rewrite(source)
	if err != nil {
		return nil, err
	}
	c := config.New()
	c.KeepTrailingNewline = true // the rewriter has trimmed the source
	loader, err := loaders.NewMemoryLoader(map[string]string{templateName: text})
	if err != nil {
		return nil, err
	}
	compiled, err := exec.NewTemplate(templateName, c, loader, &exec.Environment{
		Context:           globals,
		Filters:           filters,
		Tests:             tests,
		ControlStructures: structures,
		Methods:           exec.Methods{},
	})
	if err != nil {
		return nil, errors.New(shorten(strings.ReplaceAll(err.Error(), "'"+text+"'", "source")))
	}
	if err := guardNodes(compiled.Root().Nodes); err != nil {
		return nil, err
	}
	return &Template{compiled}, nil
}

// Render renders the template with variables, which are what [FromJSON] returns.
// now is the time that strftime_now tells.
func (t *Template) Render(vars map[string]any, now time.Time) (text string, err error) {
	defer recovered(&err)
	s := newState(vars, now)
	data := map[string]any{stateName: s, "raise_exception": s.raise, "strftime_now": s.strftime}
	for name, value := range vars {
		data[name] = value
	}
	err = t.template.Execute(s, exec.NewContext(data))
	switch {
	case s.failed != nil:
		return "", s.failed
	case err != nil:
		return "", errors.New(shorten(err.Error()))
	}
	return s.out.String(), nil
}

// recovered turns a panic of gonja, which it has for some wrong templates, into an
// error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("template is malformed: %v", p)
	}
}

// shorten keeps an error message readable: gonja quotes the whole source and every
// level of nesting.
func shorten(s string) string {
	const most = 600
	if len(s) <= most {
		return s
	}
	return s[:most/2] + " ... " + s[len(s)-most/2:]
}
