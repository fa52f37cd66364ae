//go:build !linux

package lora

// forget does nothing: other systems take pages back when they need them.
func forget([]byte) {}
