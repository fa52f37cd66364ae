package jinja

import (
	"fmt"
	"strings"
	"time"
)

// directives are those of C's strftime in the C locale, as Python has them.
var directives = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'm': "01", 'y': "06", 'Y': "2006",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700", 'D': "01/02/06", 'F': "2006-01-02",
	'T': "15:04:05", 'R': "15:04", 'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
	'e': "_2", 'f': "000000", 'j': "002",
}

// unpadded are the directives with a minus sign, which drop the leading zero.
var unpadded = map[byte]string{'d': "2", 'e': "2", 'm': "1", 'I': "3", 'M': "4", 'S': "5"}

// strftime formats t as Python's strftime does.
func strftime(format string, t time.Time) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		layouts := directives
		if i++; i < len(format) && format[i] == '-' {
			layouts = unpadded
			i++
		}
		if i >= len(format) {
			return "", fmt.Errorf("strftime_now: format %q ends in an open directive", format)
		}
		text, err := directive(format[i], layouts, t)
		if err != nil {
			return "", fmt.Errorf("strftime_now: format %q: %w", format, err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func directive(c byte, layouts map[byte]string, t time.Time) (string, error) {
	switch {
	case c == '%':
		return "%", nil
	case c == 'n':
		return "\n", nil
	case c == 't':
		return "\t", nil
	case c == 'w':
		return fmt.Sprint(int(t.Weekday())), nil
	case c == 'u':
		return fmt.Sprint((int(t.Weekday())+6)%7 + 1), nil
	case c == 's':
		return fmt.Sprint(t.Unix()), nil
	case c == 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), nil
	case layouts['H'] == "" && c == 'H':
		return fmt.Sprint(t.Hour()), nil
	case layouts['j'] == "" && c == 'j':
		return fmt.Sprint(t.YearDay()), nil
	}
	layout, ok := layouts[c]
	if !ok {
		return "", fmt.Errorf("unknown directive %%%c", c)
	}
	return t.Format(layout), nil
}
