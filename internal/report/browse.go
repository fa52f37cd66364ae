package report

import (
	"html/template"
	"strings"

	_ "embed"
)

// Browse is a list of entries that are opened one by one, with a field to search in
// them, menus to choose by, and an order. Without scripts it is the list.
type Browse struct {
	Facets  []string // names of the menus
	Order   string   // what the Keys of the entries are; "" for no menu of orders
	Entries []Entry
}

// Entry is one entry of [Browse].
type Entry struct {
	Title  string
	Notes  []string   // stand beside the title
	Facets [][]string // for each menu, the choices that the entry belongs to
	Key    float64    // by which entries are ordered; NaN comes last
	Body   []Block
}

//go:embed browse.js
var browseJS string

var browseTemplate = template.Must(template.New("browse").Funcs(template.FuncMap{
	"join":  func(s []string) string { return strings.Join(s, "\n") },
	"body":  joined,
	"key":   func(v float64) string { return map[bool]string{true: label(v)}[finite(v)] },
	"menus": Browse.menus,
}).Parse(`<div class="browse"><p class="bar"><input type="search" placeholder="Search in names and words" aria-label="Search"/>` +
	`{{range $i, $m := menus .}}{{if gt (len .Choices) 1}}<label>{{.Name}} <select data-of="f{{$i}}"><option value="">all</option>{{range .Choices}}<option>{{.}}</option>{{end}}</select></label>{{end}}{{end}}` +
	`{{with .Order}}<label>order <select class="order"><option value="">as listed</option><option value="1">{{.}}, lowest first</option>` +
	`<option value="-1">{{.}}, highest first</option></select></label>{{end}}<output>{{len .Entries}} of {{len .Entries}}</output></p>` +
	`<div class="entries">{{range .Entries}}<details data-key="{{key .Key}}"{{range $i, $f := .Facets}} data-f{{$i}}="{{join $f}}"{{end}}>` +
	`<summary><b>{{.Title}}</b>{{range .Notes}} <span>{{.}}</span>{{end}}</summary>{{body .Body}}</details>
{{end}}</div></div>`))

func (l Browse) html() template.HTML {
	var b strings.Builder
	if err := browseTemplate.Execute(&b, l); err != nil {
		panic("report: " + err.Error())
	}
	return template.HTML(b.String())
}

// menu is one menu with its choices.
type menu struct {
	Name    string
	Choices []string
}

// menus returns the menus and what their entries offer, in the order in which it comes
// up. The page leaves out a menu without a choice between two.
func (l Browse) menus() []menu {
	var all []menu
	for i, name := range l.Facets {
		m := menu{Name: name}
		seen := map[string]bool{}
		for _, e := range l.Entries {
			for _, c := range e.Facets[i] {
				if !seen[c] {
					seen[c] = true
					m.Choices = append(m.Choices, c)
				}
			}
		}
		all = append(all, m)
	}
	return all
}

// Marks is what was given to somebody: scores with their reasons.
type Marks struct {
	Name, Note string
	Lines      []Mark
}

// Mark is one line of [Marks].
type Mark struct{ Name, Score, Reason string }

// Sided shows marks side by side where there is room.
type Sided []Marks

func (s Sided) html() template.HTML {
	return render(`<div class="sided">{{range .}}<div><h4>{{.Name}}</h4>{{with .Note}}<p>{{.}}</p>{{end}}<dl>`+
		`{{range .Lines}}<dt>{{.Name}} <b>{{.Score}}</b></dt><dd>{{.Reason}}</dd>{{end}}</dl></div>{{end}}</div>`, s)
}
