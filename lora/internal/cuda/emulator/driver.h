// What the parts of the emulated driver share.
#pragma once

#include "fibers.h"

#include <cuda.h>
#include <functional>
#include <string>

// Kernel is a row of the table that the build makes of the .cu files.
struct Kernel {
	const char *name;
	void (*invoke)(void **arguments);
	int arguments;
	const size_t *sizes; // of the arguments in bytes
	unsigned bound;      // threads a block at most
	char *shared, *shared_end;
};

struct CUfunc_st {
	const Kernel *kernel;
	int dynamic_limit;
};

namespace emulator {

// Entry is a call of a driver function: it holds the driver's lock and decides whether
// the call fails, because SOCIALRL_EMULATOR_FAIL says so, because the driver was not
// initialised, or because the thread has no context.
class Entry {
public:
	enum Needs { nothing, initialised, context };
	Entry(const char *name, Needs needs);
	~Entry();
	CUresult refused;
};

#define ENTRY_NEEDING(name, needs)                     \
	emulator::Entry entry(#name, emulator::Entry::needs); \
	if (entry.refused) return entry.refused
#define ENTRY(name) ENTRY_NEEDING(name, context)

// complain says on standard error why a call is refused, and returns the code.
CUresult complain(CUresult code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// bytes_asked returns a number of bytes (4096, 512M, 2G) from the environment.
size_t bytes_asked(const char *name, size_t otherwise);

// Work is an operation on a stream, run when its turn comes.
typedef std::function<void()> Work;

// submit puts work on a stream: it is run when something waits for it, or at once where
// SOCIALRL_EMULATOR_STREAMS is eager; a capturing stream adds it to its graph.
CUresult submit(CUstream stream, Work work);
// drain runs the work of all streams; of those only that the default stream waits for,
// where it is told.
void drain(bool default_stream_only = false);
bool capturing();
void forget_context();

// launch checks a kernel launch as a device does and returns the work it stands for,
// with the arguments copied.
CUresult launch(CUfunction f, uint3 grid, uint3 block, unsigned dynamic_bytes, void **arguments, Work *work);

// on_device reports whether the bytes lie in one device allocation; pinned whether they
// lie in pinned host memory.
bool on_device(CUdeviceptr p, size_t bytes);
bool pinned(const void *p, size_t bytes);
void release_memory();
bool valid_stream(CUstream stream);

// table finds a kernel by name, or null.
const Kernel *table(const std::string &name);

} // namespace emulator
