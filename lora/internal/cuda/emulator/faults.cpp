// What the processor refuses while a kernel runs, said in a kernel's terms.

#include "fibers.h"

#include <csignal>
#include <cstdio>

namespace emulator {

namespace {

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
struct sigaction before[65];

const char *meaning(int number) {
	switch (number) {
	case SIGILL: return "an access that is not aligned to its type, or an index beyond its array";
	case SIGFPE: return "a whole number divided by zero";
	default: return "an access to memory that is not there";
	}
}

void handle(int number, siginfo_t *info, void *context) {
	if (*where()) {
		char text[256] = "";
		if (number == SIGSEGV || number == SIGBUS) nearest_allocation(info->si_addr, text, sizeof text);
		sigaction(SIGABRT, &before[SIGABRT], nullptr);
		fail("%s%s", meaning(number), text);
	}
	struct sigaction &old = before[number];
	if (old.sa_flags & SA_SIGINFO) {
		old.sa_sigaction(number, info, context);
	} else if (old.sa_handler != SIG_IGN && old.sa_handler != SIG_DFL) {
		old.sa_handler(number);
	} else {
		sigaction(number, &old, nullptr); // and the instruction fails again
	}
}

} // namespace

void watch_faults() {
	sigaction(SIGABRT, nullptr, &before[SIGABRT]);
	struct sigaction ours = {};
	ours.sa_sigaction = handle;
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	sigemptyset(&ours.sa_mask);
	for (int number : signals) sigaction(number, &ours, &before[number]);
}

} // namespace emulator
