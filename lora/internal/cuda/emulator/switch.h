// Switching between stacks: a few instructions on x86-64, ucontext elsewhere.
#pragma once

#include <cstddef>

namespace emulator {

#ifdef __x86_64__

// Context is a stopped flow of control: its stack pointer, with the registers that a call
// preserves on top of the stack.
struct Context {
	void *stack;
};

extern "C" void emulator_switch(void **from, void *to);
asm(R"(
.text
.type emulator_switch, @function
emulator_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
)");

inline void switch_context(Context &from, Context &to) { emulator_switch(&from.stack, to.stack); }

// make_context prepares a flow of control that starts with entry, which never returns.
inline void make_context(Context &c, char *low, size_t size, void (*entry)()) {
	void **top = reinterpret_cast<void **>((reinterpret_cast<size_t>(low) + size) & ~size_t(63));
	*--top = nullptr; // entry's own return address, and the alignment that it expects
	*--top = reinterpret_cast<void *>(entry);
	for (int i = 0; i < 6; i++) *--top = nullptr;
	c.stack = top;
}

#else

#include <ucontext.h>

struct Context {
	ucontext_t state;
};

inline void switch_context(Context &from, Context &to) { swapcontext(&from.state, &to.state); }

inline void make_context(Context &c, char *low, size_t size, void (*entry)()) {
	getcontext(&c.state);
	c.state.uc_stack.ss_sp = low;
	c.state.uc_stack.ss_size = size;
	c.state.uc_link = nullptr;
	makecontext(&c.state, entry, 0);
}

#endif

} // namespace emulator
