package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a flag whose value is an amount of memory, such as 800MB or 1.5GB; 0 is
// none. The units are powers of 1000.
type Bytes int64

var units = []struct {
	name string
	size float64
}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// Set parses the value.
func (b *Bytes) Set(text string) error {
	number, size := text, 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, size = n, u.size
			break
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v*size < 1<<62) {
		return fmt.Errorf("%q is no amount of memory, such as 800MB or 1.5GB", text)
	}
	*b = Bytes(v * size)
	return nil
}

// String returns the value as Set takes it; "" for none.
func (b *Bytes) String() string {
	if b == nil || *b == 0 {
		return ""
	}
	for _, u := range units {
		if v := float64(*b) / u.size; v == float64(int64(v)) {
			return strconv.FormatInt(int64(v), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10) + "B"
}

// Size writes a number of bytes for reading.
func Size(bytes int64) string {
	v := float64(bytes)
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.2f GB", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f MB", v/1e6)
	}
	return fmt.Sprintf("%.1f kB", v/1e3)
}
