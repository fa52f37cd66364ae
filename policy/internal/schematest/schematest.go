// Package schematest makes JSON schemas for tests.
package schematest

import (
	"fmt"
	"math/rand/v2"
)

// Random returns a schema of a bounded depth with all that is supported.
func Random(rnd *rand.Rand, depth int) string {
	kinds := 8
	if depth > 0 {
		kinds = 12
	}
	lo := rnd.IntN(5)
	switch rnd.IntN(kinds) {
	case 0:
		return `{"type": "boolean"}`
	case 1:
		return `{"enum": ["x", "xy", 3, null, "é\n"]}`
	case 2:
		return fmt.Sprintf(`{"type": "string", "minLength": %d, "maxLength": %d}`, lo, lo+rnd.IntN(9))
	case 3:
		return fmt.Sprintf(`{"type": "integer", "minimum": %d, "exclusiveMaximum": %d}`, -7*lo, 1+rnd.IntN(2000))
	case 4:
		return fmt.Sprintf(`{"type": "number", "exclusiveMinimum": %v, "maximum": %d}`, float64(lo)-2.75, 3+rnd.IntN(30))
	case 5:
		return `{"type": ["number", "null"]}`
	case 6:
		return `{"type": "string", "pattern": "^\\S"}`
	case 7:
		return `{"type": "integer", "maximum": -` + fmt.Sprint(lo) + `}`
	case 8:
		return fmt.Sprintf(`{"type": "array", "items": %s, "minItems": %d, "maxItems": %d}`, Random(rnd, depth-1), lo%3, lo%3+rnd.IntN(4))
	case 9:
		return fmt.Sprintf(`{"anyOf": [%s, %s]}`, Random(rnd, depth-1), Random(rnd, depth-1))
	case 10:
		return fmt.Sprintf(`{"type": "object", "additionalProperties": %s}`, Random(rnd, depth-1))
	}
	return fmt.Sprintf(`{"type": "object", "properties": {"a": %s, "b\"": %s, "c": %s}, "required": ["c", "a"]}`,
		Random(rnd, depth-1), Random(rnd, depth-1), Random(rnd, depth-1))
}
