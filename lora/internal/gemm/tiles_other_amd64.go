//go:build !linux && !purego

package gemm

// hasTiles reports whether tiles can be used: nobody has asked this system for them.
func hasTiles() bool { return false }
