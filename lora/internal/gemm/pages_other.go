//go:build !linux

package gemm

// inHugePages does nothing: other systems choose the size of pages themselves.
func inHugePages([]float32) {}
