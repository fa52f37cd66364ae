package pyjson

import (
	"encoding/json"
	"math"
	"testing"
)

// What json.dumps of Python 3.11 prints for the same values.
func TestMarshal(t *testing.T) {
	for _, c := range []struct {
		why  string
		v    any
		want string
	}{
		{"spaces after comma and colon", map[string]any{"a": 1, "b": []int{1, 2}}, `{"a": 1, "b": [1, 2]}`},
		{"no spaces added inside texts", "a,b:c", `"a,b:c"`},
		{"no HTML escapes", "<a> & b", `"<a> & b"`},
		{"quotation marks and backslashes", `"\`, `"\"\\"`},
		{"control characters", "\b\f\n\r\t\x01\x7f", `"\b\f\n\r\t\u0001\u007f"`},
		{"accents", "é", `"\u00e9"`},
		{"surrogate pair", "😀", `"\ud83d\ude00"`},
		{"separators of lines", "\u2028", `"\u2028"`},
		{"empty containers", []any{[]int{}, map[string]int{}}, `[[], {}]`},
		{"null and booleans", []any{nil, true, false}, `[null, true, false]`},
	} {
		got, err := Marshal(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.why, got, err, c.want)
		}
	}
}

func TestFloat(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {10, "10.0"}, {-5, "-5.0"}, {0.1, "0.1"}, {4.428571428571429, "4.428571428571429"},
		{1e-4, "0.0001"}, {1e-5, "1e-05"}, {1.5e-7, "1.5e-07"}, {1e15, "1000000000000000.0"}, {1e16, "1e+16"}, {1e300, "1e+300"},
	} {
		if got, err := Marshal(Float(c.v)); err != nil || string(got) != c.want {
			t.Errorf("%v is %s, %v, want %s", c.v, got, err, c.want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := Marshal(Float(v)); err == nil {
			t.Errorf("%v is %s, want an error", v, got)
		}
	}
}

// Respelling keeps values, order, number literals and escapes.
func TestAppendKeepsLiterals(t *testing.T) {
	got := string(Append([]byte("x"), []byte("{ \"b\" :1e2,\n\"a\":[1.50, \"\\/\\ud800 é\"]}")))
	if want := `x{"b": 1e2, "a": [1.50, "\/\ud800 \u00e9"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(`{"a": [1, "é\u2028\"", null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var v, again any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		got := Append(nil, []byte(text))
		if err := json.Unmarshal(got, &again); err != nil {
			t.Fatalf("%q becomes %q: %v", text, got, err)
		}
		a, _ := json.Marshal(v)
		b, _ := json.Marshal(again)
		if string(a) != string(b) {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
