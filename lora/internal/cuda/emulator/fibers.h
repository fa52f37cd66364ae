// Threads of a block as fibers: switched by hand, one at a time, so that a kernel runs on
// a CPU thread and what it would do wrong on a GPU can be seen.
#pragma once

#include "device.h"

namespace emulator {

// Launch is one kernel to be run over a grid.
struct Launch {
	const char *name;
	void (*invoke)(void **arguments); // one thread of the kernel
	void **arguments;
	uint3 grid, block;
	unsigned dynamic_bytes;
	char *shared, *shared_end; // the module's static shared memory
};

// run runs all blocks of a launch, one after another, in the order that
// SOCIALRL_EMULATOR_ORDER names: forward, reverse or shuffled.
void run(const Launch &launch);

// where describes the kernel, block and thread that run, in a buffer of its own; it is
// empty outside of launches.
const char *where();

// last_kernel names the kernel that ran last.
const char *last_kernel();

// watch_faults installs the handler that names the kernel when memory is misused.
void watch_faults();

// nearest_allocation describes device memory around an address (memory.cpp).
void nearest_allocation(const void *address, char *text, size_t size);

} // namespace emulator
