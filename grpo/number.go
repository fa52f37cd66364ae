package grpo

import (
	"encoding/json"
	"math"
)

// number is a float64 that is null in JSON where it is NaN.
type number float64

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

func toNumbers(x [][]float64) [][]number {
	out := make([][]number, len(x))
	for i, row := range x {
		out[i] = make([]number, len(row))
		for j, v := range row {
			out[i][j] = number(v)
		}
	}
	return out
}

func toFloats(x [][]number) [][]float64 {
	out := make([][]float64, len(x))
	for i, row := range x {
		out[i] = make([]float64, len(row))
		for j, v := range row {
			out[i][j] = float64(v)
		}
	}
	return out
}
