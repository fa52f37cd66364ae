// Package ptx holds what the kernels of package grpo are compiled to for NVIDIA GPUs;
// their source is in ../kernels.
package ptx

import _ "embed"

// Module is the module's name.
const Module = "grpo"

// Names of the kernels.
const (
	Advantages = "group_advantages"
	Losses     = "completion_losses"
)

// Threads is the number of threads of a block of either kernel.
const Threads = 128

// Source is the module, for compute capability 8.0.
//
//go:embed grpo.ptx
var Source string
