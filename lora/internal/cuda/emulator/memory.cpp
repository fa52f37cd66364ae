// Device memory between stretches that cannot be touched, fresh memory full of NaN, and an
// account of what is free.

#include "driver.h"

#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace emulator {

namespace {

constexpr size_t page = 4096, forbidden = 1 << 20, poison_bytes = 16 << 20, alignment = 256;
constexpr unsigned char slack = 0xa5; // between an allocation's end and the forbidden memory behind it

struct Allocation {
	size_t bytes; // asked for
	char *low;    // of the mapping, which begins with forbidden memory
	size_t mapped;
};

std::map<CUdeviceptr, Allocation> allocations;
std::map<char *, size_t> host_allocations;
size_t used;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }
size_t total() { return bytes_asked("SOCIALRL_EMULATOR_MEMORY", size_t(4) << 30); }

// poison returns a file of nothing but ones, of which mappings are private copies: memory
// that nobody writes costs nothing.
int poison() {
	static int file = -1;
	if (file >= 0) return file;
	file = memfd_create("poison", MFD_CLOEXEC);
	std::string ones(1 << 20, '\xff');
	for (size_t at = 0; at < poison_bytes; at += ones.size()) {
		if (write(file, ones.data(), ones.size()) != ssize_t(ones.size())) abort();
	}
	return file;
}

bool map_poison(char *at, size_t bytes) {
	for (size_t done = 0; done < bytes; done += poison_bytes) {
		size_t n = std::min(poison_bytes, bytes - done);
		if (mmap(at + done, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, poison(), 0) == MAP_FAILED) return false;
	}
	return true;
}

// allocate places the bytes so that they end where forbidden memory begins, but for what
// alignment takes.
CUresult allocate(CUdeviceptr *p, size_t bytes) {
	size_t room = round_up(bytes, alignment), inner = round_up(room, page), mapped = inner + 2 * forbidden;
	if (round_up(room, 512) > total() - std::min(used, total())) return CUDA_ERROR_OUT_OF_MEMORY;
	char *low = static_cast<char *>(mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	if (low == MAP_FAILED || !map_poison(low + forbidden, inner)) return CUDA_ERROR_OUT_OF_MEMORY;
	char *start = low + forbidden + inner - room;
	memset(start + bytes, slack, room - bytes);
	*p = CUdeviceptr(start);
	allocations[*p] = {bytes, low, mapped};
	used += round_up(room, 512);
	return CUDA_SUCCESS;
}

// check_slack ends the program where something was written behind an allocation.
void check_slack(CUdeviceptr p, const Allocation &a) {
	const unsigned char *start = reinterpret_cast<unsigned char *>(p);
	for (size_t i = a.bytes; i < round_up(a.bytes, alignment); i++) {
		if (start[i] != slack) {
			fprintf(stderr, "emulator: something wrote byte %zu of an allocation of %zu bytes\n", i, a.bytes);
			abort();
		}
	}
}

void release(std::map<CUdeviceptr, Allocation>::iterator at) {
	check_slack(at->first, at->second);
	munmap(at->second.low, at->second.mapped);
	used -= round_up(round_up(at->second.bytes, alignment), 512);
	allocations.erase(at);
}

std::map<CUdeviceptr, Allocation>::iterator containing(CUdeviceptr p) {
	auto after = allocations.upper_bound(p);
	if (after == allocations.begin()) return allocations.end();
	auto at = std::prev(after);
	return p - at->first <= at->second.bytes ? at : allocations.end();
}

} // namespace

bool on_device(CUdeviceptr p, size_t bytes) {
	auto at = containing(p);
	return at != allocations.end() && p - at->first + bytes <= at->second.bytes;
}

bool pinned(const void *p, size_t bytes) {
	char *start = static_cast<char *>(const_cast<void *>(p));
	auto after = host_allocations.upper_bound(start);
	if (after == host_allocations.begin()) return false;
	auto at = std::prev(after);
	return start + bytes <= at->first + at->second;
}

void release_memory() {
	while (!allocations.empty()) release(allocations.begin());
}

void nearest_allocation(const void *address, char *text, size_t size) {
	CUdeviceptr p = CUdeviceptr(address);
	int n = snprintf(text, size, ": address %p", address);
	for (auto &[start, a] : allocations) {
		if (p + forbidden >= start && p < start) n += snprintf(text + n, size - n, ", %llu bytes before an allocation of %zu bytes", start - p, a.bytes);
		if (p >= start + a.bytes && p < start + a.bytes + forbidden + alignment) n += snprintf(text + n, size - n, ", %llu bytes behind the end of an allocation of %zu bytes", p - start - a.bytes, a.bytes);
		if (n >= int(size) - 1) return;
	}
}

} // namespace emulator

using namespace emulator;

CUresult cuMemAlloc(CUdeviceptr *p, size_t bytes) {
	ENTRY(cuMemAlloc);
	if (!p || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
	return allocate(p, bytes);
}

// cuMemFree waits for the device, as the real one does.
CUresult cuMemFree(CUdeviceptr p) {
	ENTRY(cuMemFree);
	if (!p) return CUDA_SUCCESS;
	drain();
	auto at = allocations.find(p);
	if (at == allocations.end()) return complain(CUDA_ERROR_INVALID_VALUE, "cuMemFree: %llx is not an allocation", p);
	release(at);
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free, size_t *all) {
	ENTRY(cuMemGetInfo);
	*all = total();
	*free = total() - std::min(used, total());
	return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
	ENTRY_NEEDING(cuDeviceTotalMem, initialised);
	*bytes = total();
	return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange(CUdeviceptr *start, size_t *bytes, CUdeviceptr p) {
	ENTRY(cuMemGetAddressRange);
	auto at = containing(p);
	if (at == allocations.end()) return CUDA_ERROR_NOT_FOUND;
	if (start) *start = at->first;
	if (bytes) *bytes = at->second.bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **p, size_t bytes, unsigned) {
	ENTRY(cuMemHostAlloc);
	if (!p || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
	*p = aligned_alloc(page, round_up(bytes, page));
	if (!*p) return CUDA_ERROR_OUT_OF_MEMORY;
	memset(*p, 0xff, bytes);
	host_allocations[static_cast<char *>(*p)] = bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemAllocHost(void **p, size_t bytes) { return cuMemHostAlloc(p, bytes, 0); }

CUresult cuMemHostGetDevicePointer(CUdeviceptr *device, void *p, unsigned) {
	ENTRY(cuMemHostGetDevicePointer);
	if (!pinned(p, 1)) return CUDA_ERROR_INVALID_VALUE;
	*device = CUdeviceptr(p);
	return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *p) {
	ENTRY(cuMemFreeHost);
	drain();
	if (!host_allocations.erase(static_cast<char *>(p))) return CUDA_ERROR_INVALID_VALUE;
	free(p);
	return CUDA_SUCCESS;
}
