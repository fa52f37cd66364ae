// The scheduler of a block's fibers. Within a warp the next lane runs when one waits at a
// collective; the next warp when all lanes wait; and when all warps wait at the block's
// barrier, or at none, the block goes on or has failed.

#include "fibers.h"
#include "switch.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace emulator {

uint3 block_index, block_size, grid_size;
Place *place;

namespace {

// Stacks lie side by side in huge pages, since switching between them goes over all.
constexpr size_t stack_bytes = 64 << 10;
constexpr unsigned long long canary = 0x5ca1ab1e0ddba11;
constexpr unsigned most_threads = 1024, most_warps = most_threads / 32;
constexpr size_t most_dynamic = 256 << 10, forbidden = 1 << 20;

enum State : unsigned char { runnable, in_collective, in_barrier, finished };

struct Copy {
	void *shared;
	const void *global;
	unsigned bytes;
	bool valid;
};

// Fiber is a thread. What every switch needs comes first, in one line of the cache.
struct alignas(64) Fiber {
	Place place; // place points here
	void *mine;
	Finish *finish;
	const char *what;
	unsigned mask; // of the collective that it waits in
	unsigned short linear;
	State state;
	Context context;
	std::vector<Copy> copies;     // asynchronous ones on their way
	std::vector<size_t> committed; // number of copies at the end of each group
};

struct Warp {
	unsigned ready;   // lanes that can run
	unsigned waiting; // lanes in a collective
};

enum Order { forward, reverse, shuffled };

Fiber *fibers;
Warp warps[most_warps];
Context scheduler;
const Launch *current;
const char *last = "none";
char *stacks, *dynamic_start, *dynamic_end;
unsigned threads, arrived, ended;
int votes, voted;
bool released;
Order order;
unsigned random_state;

unsigned next_random() {
	random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
	return random_state;
}

Fiber &self() { return *reinterpret_cast<Fiber *>(place); }

// pick returns a ready lane of the warp after the one that ran, in the order asked for.
unsigned pick(unsigned ready, unsigned lane) {
	if (order == forward) {
		unsigned later = ready & ~((2u << lane) - 1);
		return std::countr_zero(later ? later : ready);
	}
	if (order == reverse) {
		unsigned earlier = ready & ((1u << lane) - 1);
		return 31 - std::countl_zero(earlier ? earlier : ready);
	}
	for (unsigned skip = next_random() % std::popcount(ready); skip; skip--) ready &= ready - 1;
	return std::countr_zero(ready);
}

// leave runs another lane of the warp, or the scheduler where none is ready.
void leave(Fiber &f) {
	unsigned w = f.linear / 32;
	if (!warps[w].ready || released) {
		switch_context(f.context, scheduler);
	} else {
		Fiber &next = fibers[32 * w + pick(warps[w].ready, f.place.lane)];
		if (&next == &f) return;
		place = &next.place;
		switch_context(f.context, next.context);
	}
	place = &f.place;
}

void fiber_main() {
	for (;;) {
		current->invoke(current->arguments);
		Fiber &f = self();
		f.state = finished;
		warps[f.linear / 32].ready &= ~(1u << f.place.lane);
		ended++;
		leave(f);
	}
}

void make_fibers() {
	fibers = new Fiber[most_threads];
	constexpr size_t huge = 2 << 20;
	stacks = static_cast<char *>(mmap(nullptr, most_threads * stack_bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	char *dynamic_memory = static_cast<char *>(mmap(nullptr, most_dynamic + 2 * forbidden, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	if (stacks == MAP_FAILED || dynamic_memory == MAP_FAILED) fail("no memory for stacks");
	stacks += huge - reinterpret_cast<size_t>(stacks) % huge;
	madvise(stacks, most_threads * stack_bytes, MADV_HUGEPAGE);
	mprotect(dynamic_memory, forbidden, PROT_NONE);
	dynamic_end = dynamic_memory + forbidden + most_dynamic;
	mprotect(dynamic_end, forbidden, PROT_NONE);
	for (unsigned i = 0; i < most_threads; i++) {
		char *low = stacks + i * stack_bytes;
		memcpy(low, &canary, sizeof canary);
		fibers[i].place.lane = i % 32;
		fibers[i].linear = i;
		// Tops differ in their place within a page, so that they do not share sets of the cache.
		make_context(fibers[i].context, low, stack_bytes - i % 8 * 512 - i / 8 % 8 * 64, fiber_main);
	}
}

void place_threads(uint3 size) {
	for (unsigned i = 0; i < threads; i++) {
		fibers[i].place.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
	}
}

const char *state_name(State s) {
	const char *names[] = {"could run", "waits in", "waits in __syncthreads", "has ended"};
	return names[s];
}

// diverged says who waits where.
[[noreturn]] void diverged() {
	char text[600];
	int n = 0;
	for (unsigned i = 0, shown = 0; i < threads && shown < 6; i++) {
		Fiber &f = fibers[i];
		bool same = i && f.state == fibers[i - 1].state && (f.state != in_collective || (f.what == fibers[i - 1].what && f.mask == fibers[i - 1].mask));
		if (same) continue;
		n += snprintf(text + n, sizeof text - n, "; from thread %u on: %s", i, state_name(f.state));
		if (f.state == in_collective) n += snprintf(text + n, sizeof text - n, " %s of lanes %08x", f.what, f.mask);
		shown++;
	}
	place = &fibers[0].place;
	fail("threads of one block diverged at a barrier or collective%s", text);
}

void poison_shared() {
	memset(current->shared, 0xff, current->shared_end - current->shared);
	memset(dynamic_start, 0xff, dynamic_end - dynamic_start);
}

// run_block runs the fibers of one block until all have ended.
void run_block() {
	poison_shared();
	arrived = ended = 0;
	votes = 0;
	unsigned count = threads / 32;
	for (unsigned w = 0; w < count; w++) warps[w] = {~0u, 0};
	for (unsigned i = 0; i < threads; i++) fibers[i].state = runnable;
	while (ended < threads) {
		bool progress = released = false;
		unsigned first = order == shuffled ? next_random() % count : 0;
		for (unsigned i = 0; i < count && !released; i++) {
			unsigned w = order == reverse ? count - 1 - i : (first + i) % count;
			if (!warps[w].ready) continue;
			progress = true;
			unsigned lane = order == reverse ? 31 - std::countl_zero(warps[w].ready) : pick(warps[w].ready, 31);
			place = &fibers[32 * w + lane].place;
			switch_context(scheduler, fibers[32 * w + lane].context);
		}
		if (!progress) diverged();
	}
	for (unsigned i = 0; i < threads; i++) {
		if (!fibers[i].copies.empty()) fibers[i].copies.clear();
		if (!fibers[i].committed.empty()) fibers[i].committed.clear();
	}
}

// check_stacks ends the program where a thread's variables needed more than its stack.
void check_stacks() {
	for (unsigned i = 0; i < threads; i++) {
		if (memcmp(stacks + i * stack_bytes, &canary, sizeof canary)) fail("thread %u overran its stack of %zu bytes", i, stack_bytes);
	}
}

Order order_asked() {
	const char *name = getenv("SOCIALRL_EMULATOR_ORDER");
	if (!name || !*name || !strcmp(name, "forward")) return forward;
	if (!strcmp(name, "reverse")) return reverse;
	if (!strcmp(name, "shuffled")) return shuffled;
	fail("SOCIALRL_EMULATOR_ORDER is %s, not forward, reverse or shuffled", name);
}

} // namespace

void run(const Launch &launch) {
	if (!fibers) make_fibers(), watch_faults();
	current = &launch;
	last = launch.name;
	order = order_asked();
	random_state = 2463534242u;
	block_size = launch.block, grid_size = launch.grid;
	threads = launch.block.x * launch.block.y * launch.block.z;
	dynamic_start = dynamic_end - (launch.dynamic_bytes + 15) / 16 * 16;
	place_threads(launch.block);
	unsigned long long blocks = 1ull * launch.grid.x * launch.grid.y * launch.grid.z;
	for (unsigned long long i = 0; i < blocks; i++) {
		unsigned long long b = order == reverse ? blocks - 1 - i : i;
		block_index = {unsigned(b % launch.grid.x), unsigned(b / launch.grid.x % launch.grid.y), unsigned(b / launch.grid.x / launch.grid.y)};
		run_block();
	}
	check_stacks();
	current = nullptr;
	place = nullptr;
}

void *dynamic_shared() { return dynamic_start; }

int block_count(int vote) {
	Fiber &f = self();
	votes += vote;
	arrived++;
	warps[f.linear / 32].ready &= ~(1u << f.place.lane);
	f.state = in_barrier;
	if (arrived == threads) {
		voted = votes;
		arrived = votes = 0;
		for (unsigned i = 0; i < threads; i++) fibers[i].state = runnable;
		for (unsigned w = 0; w < threads / 32; w++) warps[w].ready = ~0u;
		released = true;
	}
	leave(f);
	return voted;
}

void block_barrier() { block_count(0); }

void collective(unsigned mask, void *mine, Finish *finish, const char *what) {
	Fiber &f = self();
	unsigned bit = 1u << f.place.lane, base = f.linear & ~31u;
	Warp &w = warps[f.linear / 32];
	if (!(mask & bit)) fail("%s by a lane that its mask %08x leaves out", what, mask);
	f.mine = mine, f.mask = mask, f.finish = finish, f.what = what;
	f.state = in_collective;
	w.waiting |= bit;
	if ((w.waiting & mask) != mask) {
		w.ready &= ~bit;
		leave(f);
		return;
	}
	void *lanes[32];
	for (unsigned lane = 0; lane < 32; lane++) {
		Fiber &other = fibers[base + lane];
		if (!(mask >> lane & 1)) continue;
		if (other.mask != mask || other.finish != finish || (other.what != what && strcmp(other.what, what))) {
			fail("%s of lanes %08x meets %s of lanes %08x in lane %u", what, mask, other.what, other.mask, lane);
		}
		lanes[lane] = other.mine;
		other.state = runnable;
	}
	finish(lanes, mask);
	w.waiting &= ~mask;
	w.ready |= mask;
}

void copy_async(void *shared, const void *global, unsigned bytes, bool valid) {
	if (size_t(shared) % bytes || (valid && size_t(global) % bytes)) fail("an asynchronous copy of %u bytes is not aligned", bytes);
	self().copies.push_back({shared, global, bytes, valid});
}

void copy_async_commit() { self().committed.push_back(self().copies.size()); }

void copy_async_wait(int groups) {
	Fiber &f = self();
	if (f.committed.size() <= size_t(groups)) return;
	size_t done = f.committed.size() - groups, end = f.committed[done - 1];
	for (size_t i = 0; i < end; i++) {
		Copy &c = f.copies[i];
		c.valid ? memcpy(c.shared, c.global, c.bytes) : memset(c.shared, 0, c.bytes);
	}
	f.copies.erase(f.copies.begin(), f.copies.begin() + end);
	f.committed.erase(f.committed.begin(), f.committed.begin() + done);
	for (size_t &n : f.committed) n -= end;
}

const char *last_kernel() { return last; }

const char *where() {
	static char text[200];
	if (!current) return "";
	uint3 t = place ? place->thread : uint3{0, 0, 0};
	snprintf(text, sizeof text, "kernel %s, block (%u, %u, %u) of (%u, %u, %u), thread (%u, %u, %u) of (%u, %u, %u)",
	         current->name, block_index.x, block_index.y, block_index.z, grid_size.x, grid_size.y, grid_size.z,
	         t.x, t.y, t.z, block_size.x, block_size.y, block_size.z);
	return text;
}

void fail(const char *format, ...) {
	char text[800];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	fprintf(stderr, "emulator: %s: %s\n", where(), text);
	abort();
}

} // namespace emulator
