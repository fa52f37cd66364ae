//go:build cuda && cgo

// The driver's functions, as jumps to libcuda.so.1, which is opened when the program
// starts. A function that is missing answers CUDA_ERROR_STUB_LIBRARY. So a program that
// was built with the tag cuda links and starts on a machine without a driver.

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

#include "forward.h"

#define HIDDEN __attribute__((used, visibility("hidden")))

static int absent(void) { return FORWARD_ABSENT; }

#if defined(__x86_64__)
#define JUMP(name) "jmp *forward_to_" #name "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name)                           \
	"adrp x16, forward_to_" #name "\n"       \
	"ldr x16, [x16, :lo12:forward_to_" #name "]\n" \
	"br x16\n"
#else
#error "the CUDA engine is for x86-64 and arm64"
#endif

#define FORWARD(name)                                                        \
	HIDDEN void *forward_to_##name = (void *)absent;                         \
	__asm__(".text\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n" JUMP(name));
#include "forward.inc"
#undef FORWARD

static const struct {
	const char *name;
	void **target;
} table[] = {
#define FORWARD(name) {#name, &forward_to_##name},
#include "forward.inc"
#undef FORWARD
};

static int (*init)(unsigned);
static char open_error[256] = "";

// gorgonia.org/cu calls cuInit when the program starts, and ends the program where that
// fails. So it always succeeds; forward_init asks the driver.
HIDDEN int cuInit(unsigned flags) {
	(void)flags;
	return 0;
}

int forward_init(void) { return init ? init(0) : FORWARD_ABSENT; }

const char *forward_error(void) { return open_error; }

__attribute__((constructor)) static void forward_open(void) {
	void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(open_error, sizeof open_error, "%s", dlerror());
		return;
	}
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		void *function = dlsym(library, table[i].name);
		if (function) *table[i].target = function;
	}
	init = (int (*)(unsigned))dlsym(library, "cuInit");
}
