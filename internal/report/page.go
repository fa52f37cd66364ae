package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"slices"
	"strings"
)

// Block is a part of a section.
type Block interface{ html() template.HTML }

// Page is a document under construction.
type Page struct {
	Title    string
	Lead     string // the paragraph below the title
	sections []section
}

type section struct {
	Title  string
	Blocks []Block
}

// Add adds a section. Neighbouring charts stand side by side where there is room.
func (p *Page) Add(title string, blocks ...Block) {
	p.sections = append(p.sections, section{title, blocks})
}

// policy forbids the page to fetch anything or to run any script but its own.
var policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + digest(browseJS) + "'"

// digest names a script in a policy.
func digest(script string) string {
	sum := sha256.Sum256([]byte(script))
	return base64.StdEncoding.EncodeToString(sum[:])
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// Write writes the page as HTML.
func (p *Page) Write(w io.Writer) error {
	type rendered struct {
		Title string
		Body  template.HTML
	}
	var sections []rendered
	script := template.JS("")
	for _, s := range p.sections {
		if slices.ContainsFunc(s.Blocks, func(b Block) bool { _, ok := b.(Browse); return ok }) {
			script = template.JS(browseJS)
		}
		sections = append(sections, rendered{s.Title, s.body()})
	}
	return pageTemplate.Execute(w, map[string]any{
		"Title": p.Title, "Lead": p.Lead, "Sections": sections, "Script": script, "Policy": policy,
	})
}

// body joins the blocks of the section.
func (s section) body() template.HTML { return joined(s.Blocks) }

// gridded is a block that stands in a grid with its neighbours of the kind.
type gridded interface{ inGrid() bool }

// joined joins blocks, runs of charts in a grid.
func joined(blocks []Block) template.HTML {
	var b strings.Builder
	inGrid := false
	for _, block := range blocks {
		_, chart := block.(gridded)
		if chart != inGrid {
			b.WriteString(map[bool]string{true: `<div class="grid">`, false: `</div>`}[chart])
			inGrid = chart
		}
		b.WriteString(string(block.html()))
	}
	if inGrid {
		b.WriteString(`</div>`)
	}
	return template.HTML(b.String())
}

// Text is a paragraph.
type Text string

func (t Text) html() template.HTML { return render(`<p>{{.}}</p>`, string(t)) }

// Table is a table whose first column holds names. What follows a line break in a cell
// stands below, smaller.
type Table struct {
	Head []string
	Rows [][]string
}

func (t Table) html() template.HTML {
	return render(`<div class="wide"><table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>`+
		`{{range .Rows}}<tr>{{range $i, $c := .}}{{if $i}}<td>{{template "cell" $c}}</td>{{else}}<th>{{template "cell" $c}}</th>{{end}}{{end}}</tr>{{end}}`+
		`</tbody></table></div>`+
		`{{define "cell"}}{{range $i, $l := lines .}}{{if $i}}<small>{{$l}}</small>{{else}}{{$l}}{{end}}{{end}}{{end}}`, t)
}

// Claims lists sentences with their figures and whether they hold.
type Claims []Claim

// Claim is one of [Claims].
type Claim struct {
	Text, Figure string
	Holds        bool
}

func (c Claims) html() template.HTML {
	return render(`<ul class="claims">{{range .}}<li class="{{if .Holds}}pass{{else}}fail{{end}}">`+
		`<b>{{if .Holds}}holds{{else}}fails{{end}}</b> {{.Text}} <span>{{.Figure}}</span></li>{{end}}</ul>`, c)
}

// Line is one utterance of a [Dialogue].
type Line struct {
	Speaker, Text string
	Credit        float64 // 0..1 shades the line
	Note          string  // what the credit consists of; "" for a line that has none
	Second        bool    // the other speaker's: moved in
}

// Dialogue is a conversation whose lines are shaded by their credit.
type Dialogue []Line

func (d Dialogue) html() template.HTML {
	return render(`<ol class="dialogue">{{range .}}<li style="--credit:{{printf "%.3f" .Credit}}"{{if .Second}} class="other"{{end}}>`+
		`<b>{{.Speaker}}</b> {{.Text}}{{if .Note}} <span>{{.Note}}</span>{{end}}</li>{{end}}</ol>`, d)
}

var funcs = template.FuncMap{"lines": func(s string) []string { return strings.Split(s, "\n") }}

// render executes a template that cannot fail on its data.
func render(text string, data any) template.HTML {
	var b strings.Builder
	if err := template.Must(template.New("").Funcs(funcs).Parse(text)).Execute(&b, data); err != nil {
		panic("report: " + err.Error())
	}
	return template.HTML(b.String())
}
