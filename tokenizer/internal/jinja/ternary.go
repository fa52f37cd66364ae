package jinja

import "strings"

// write writes the tokens of a tag out, with every conditional expression
// replaced; outside brackets only where the tag holds an expression, as an "if"
// there belongs to the tag itself otherwise.
func write(tokens []string, expression bool) string {
	if n := len(tokens); n > 0 && tokens[0] == "-" {
		return "-" + write(tokens[1:], expression)
	} else if n > 0 && tokens[n-1] == "-" {
		return write(tokens[:n-1], expression) + " -"
	}
	var b strings.Builder
	var segment []string // tokens since the last separator, brackets as one
	flush := func() {
		b.WriteString(ternary(segment, expression))
		segment = segment[:0]
	}
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t == "(" || t == "[" || t == "{":
			end := matching(tokens, i)
			segment = append(segment, t+write(tokens[i+1:end], true)+tokens[end])
			i = end
		case t == "," || t == ":" || assigns(tokens, i):
			flush()
			b.WriteString(t)
		case keywords[t]:
			segment = append(segment, t, " ")
		default:
			segment = append(segment, t)
		}
	}
	flush()
	return b.String()
}

// keywords are words that gonja knows by the space after them.
var keywords = map[string]bool{"in": true, "is": true, "and": true, "or": true, "not": true}

// assigns reports whether the token at i is the sign between a keyword and its
// value.
func assigns(tokens []string, i int) bool {
	if tokens[i] != "=" || i == 0 || i+1 == len(tokens) || tokens[i+1] == "=" {
		return false
	}
	return !strings.Contains("=<>!", tokens[i-1])
}

// matching returns the index of the bracket that closes the one at i.
func matching(tokens []string, i int) int {
	depth := 0
	for ; i < len(tokens); i++ {
		switch tokens[i] {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(tokens) - 1
}

// ternary writes one expression.
func ternary(tokens []string, expression bool) string {
	at := index(tokens, "if")
	if !expression || at <= 0 {
		return strings.Join(tokens, "")
	}
	value := strings.Join(tokens[:at], "")
	condition, other := tokens[at+1:], undefined
	if i := index(condition, "else"); i >= 0 {
		condition, other = condition[:i], ternary(condition[i+1:], true)
	}
	return "((" + strings.Join(condition, "") + ") and [(" + value + ")] or [(" + other + ")])[0]"
}

// undefined is a name that no variable has.
const undefined = "undefined_value"

func index(tokens []string, name string) int {
	for i, t := range tokens {
		if t == name {
			return i
		}
	}
	return -1
}
