// Streams, events, copies and fills. Work waits in one queue, in the order in which it
// was given, until something waits for it: so a program that reads too early, or changes
// a buffer whose copy is under way, gets what it could get on a GPU.

#include "driver.h"
#include "graph.h"

#include <chrono>
#include <cstdio>
#include <deque>
#include <set>
#include <vector>

struct CUstream_st {
	bool nonblocking;
	CUgraph capture; // what it records, or null
};

struct CUevent_st {
	bool recorded, timed;
	std::chrono::steady_clock::time_point at;
	int pending; // records in the queue
};

namespace emulator {

namespace {

struct Item {
	CUstream stream;
	Work work;
};

std::deque<Item> queue;
std::set<CUstream> streams;
int captures;

bool legacy(CUstream s) { return s == nullptr || s == CU_STREAM_LEGACY || s == CU_STREAM_PER_THREAD; }
bool blocking(CUstream s) { return legacy(s) || !s->nonblocking; }

bool eager() {
	const char *mode = getenv("SOCIALRL_EMULATOR_STREAMS");
	return mode && !strcmp(mode, "eager");
}

} // namespace

bool valid_stream(CUstream s) { return legacy(s) || streams.count(s); }

CUresult submit(CUstream stream, Work work) {
	if (!valid_stream(stream)) return complain(CUDA_ERROR_INVALID_HANDLE, "%p is not a stream", static_cast<void *>(stream));
	if (!legacy(stream) && stream->capture) return add_to_graph(stream->capture, work);
	queue.push_back({stream, std::move(work)});
	if (eager()) drain();
	return CUDA_SUCCESS;
}

void drain(bool default_stream_only) {
	std::deque<Item> kept;
	while (!queue.empty()) {
		Item item = std::move(queue.front());
		queue.pop_front();
		if (default_stream_only && !blocking(item.stream)) kept.push_back(std::move(item));
		else item.work();
	}
	queue = std::move(kept);
}

bool capturing() { return captures > 0; }

} // namespace emulator

using namespace emulator;

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
	ENTRY(cuStreamCreate);
	*stream = new CUstream_st{(flags & CU_STREAM_NON_BLOCKING) != 0, nullptr};
	streams.insert(*stream);
	return CUDA_SUCCESS;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

CUresult cuStreamDestroy(CUstream stream) {
	ENTRY(cuStreamDestroy);
	drain();
	if (!streams.erase(stream)) return CUDA_ERROR_INVALID_HANDLE;
	delete stream;
	return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
	ENTRY(cuStreamSynchronize);
	if (!valid_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
	if (!legacy(stream) && stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	drain();
	return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream) {
	ENTRY(cuStreamQuery);
	if (!valid_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
	for (const Item &item : queue) {
		if (item.stream == stream) return drain(), CUDA_ERROR_NOT_READY;
	}
	return CUDA_SUCCESS;
}

// All work is done in the order in which it was given, so that waiting holds already.
CUresult cuStreamWaitEvent(CUstream stream, CUevent, unsigned) {
	ENTRY(cuStreamWaitEvent);
	return submit(stream, [] {});
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
	ENTRY(cuStreamBeginCapture);
	if (legacy(stream) || !valid_stream(stream) || stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	captures++;
	return cuGraphCreate(&stream->capture, 0);
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
	ENTRY(cuStreamEndCapture);
	if (legacy(stream) || !valid_stream(stream) || !stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
	*graph = stream->capture;
	stream->capture = nullptr;
	captures--;
	return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
	ENTRY(cuStreamIsCapturing);
	*status = !legacy(stream) && stream->capture ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
	return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
	ENTRY(cuEventCreate);
	*event = new CUevent_st{false, !(flags & CU_EVENT_DISABLE_TIMING), {}, 0};
	return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
	ENTRY(cuEventRecord);
	event->recorded = true;
	event->pending++;
	return submit(stream, [event] {
		event->at = std::chrono::steady_clock::now();
		event->pending--;
	});
}

CUresult cuEventSynchronize(CUevent event) {
	ENTRY(cuEventSynchronize);
	if (event->pending) drain();
	return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
	ENTRY(cuEventQuery);
	if (!event->pending) return CUDA_SUCCESS;
	drain();
	return CUDA_ERROR_NOT_READY;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
	ENTRY(cuEventElapsedTime);
	if (!from->timed || !to->timed || !from->recorded || !to->recorded) return CUDA_ERROR_INVALID_HANDLE;
	if (from->pending || to->pending) return CUDA_ERROR_NOT_READY;
	*milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
	ENTRY(cuEventDestroy);
	if (event->pending) drain();
	delete event;
	return CUDA_SUCCESS;
}

namespace {

void *host(CUdeviceptr p) { return reinterpret_cast<void *>(p); }

// device_range says whether an operation may touch the bytes.
CUresult device_range(const char *name, CUdeviceptr p, size_t bytes) {
	if (bytes == 0 || on_device(p, bytes)) return CUDA_SUCCESS;
	return complain(CUDA_ERROR_INVALID_VALUE, "%s: %zu bytes at %llx are not device memory", name, bytes, p);
}

// trace appends a line on what a program reads to the file that SOCIALRL_EMULATOR_TRACE
// names, so that runs can be compared: the count of bytes, a hash of them (FNV-1a), and
// the kernel that ran last.
void trace(const void *data, size_t bytes) {
	static FILE *file;
	const char *name = getenv("SOCIALRL_EMULATOR_TRACE");
	if (!name || !*name) return;
	if (!file && !(file = fopen(name, "w"))) return;
	unsigned long long hash = 14695981039346656037ull;
	for (size_t i = 0; i < bytes; i++) hash = (hash ^ static_cast<const unsigned char *>(data)[i]) * 1099511628211ull;
	fprintf(file, "%zu bytes %016llx after %s\n", bytes, hash, last_kernel());
	fflush(file);
}

// now does a copy that the caller waits for: after the work of the default stream and of
// those that wait for it, but not of those that do not.
CUresult now(void *to, const void *from, size_t bytes) {
	if (capturing()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	drain(true);
	memcpy(to, from, bytes);
	return CUDA_SUCCESS;
}

} // namespace

CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
	ENTRY(cuMemcpyHtoD);
	if (CUresult r = device_range("cuMemcpyHtoD", to, bytes)) return r;
	return now(host(to), from, bytes);
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
	ENTRY(cuMemcpyDtoH);
	CUresult r = device_range("cuMemcpyDtoH", from, bytes);
	if (r) return r;
	r = now(to, host(from), bytes);
	trace(to, bytes);
	return r;
}

// A copy from memory that is not pinned reads it before the call returns.
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
	ENTRY(cuMemcpyHtoDAsync);
	if (CUresult r = device_range("cuMemcpyHtoDAsync", to, bytes)) return r;
	if (pinned(from, bytes)) return submit(stream, [=] { memcpy(host(to), from, bytes); });
	std::vector<char> copy(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
	return submit(stream, [to, copy = std::move(copy)] { memcpy(host(to), copy.data(), copy.size()); });
}

// A copy to memory that is not pinned is done when the call returns.
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
	ENTRY(cuMemcpyDtoHAsync);
	if (CUresult r = device_range("cuMemcpyDtoHAsync", from, bytes)) return r;
	bool wait = !pinned(to, bytes);
	CUresult r = submit(stream, [=] {
		memcpy(to, host(from), bytes);
		trace(to, bytes);
	});
	if (!r && wait && !capturing()) drain();
	return r;
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
	ENTRY(cuMemcpyDtoDAsync);
	if (CUresult r = device_range("cuMemcpyDtoDAsync", to, bytes)) return r;
	if (CUresult r = device_range("cuMemcpyDtoDAsync", from, bytes)) return r;
	return submit(stream, [=] { memmove(host(to), host(from), bytes); });
}

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) { return cuMemcpyDtoDAsync(to, from, bytes, nullptr); }

namespace {

struct End { // of a copy of a rectangle
	char *start;
	size_t pitch;
};

End end_of(CUmemorytype type, const void *h, CUdeviceptr d, size_t x, size_t y, size_t pitch) {
	char *p = type == CU_MEMORYTYPE_HOST ? static_cast<char *>(const_cast<void *>(h)) : static_cast<char *>(host(d));
	return {p + y * pitch + x, pitch};
}

CUresult rectangle(const char *name, const CUDA_MEMCPY2D &c, End *to, End *from) {
	*from = end_of(c.srcMemoryType, c.srcHost, c.srcDevice, c.srcXInBytes, c.srcY, c.srcPitch);
	*to = end_of(c.dstMemoryType, c.dstHost, c.dstDevice, c.dstXInBytes, c.dstY, c.dstPitch);
	if (c.Height == 0 || c.WidthInBytes == 0) return CUDA_SUCCESS;
	if (c.srcPitch < c.WidthInBytes || c.dstPitch < c.WidthInBytes) return complain(CUDA_ERROR_INVALID_VALUE, "%s: rows overlap", name);
	if (c.srcMemoryType != CU_MEMORYTYPE_HOST) {
		if (CUresult r = device_range(name, CUdeviceptr(from->start), (c.Height - 1) * c.srcPitch + c.WidthInBytes)) return r;
	}
	if (c.dstMemoryType == CU_MEMORYTYPE_HOST) return CUDA_SUCCESS;
	return device_range(name, CUdeviceptr(to->start), (c.Height - 1) * c.dstPitch + c.WidthInBytes);
}

void copy_rectangle(End to, End from, size_t width, size_t height) {
	for (size_t i = 0; i < height; i++) memcpy(to.start + i * to.pitch, from.start + i * from.pitch, width);
}

} // namespace

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D *c, CUstream stream) {
	ENTRY(cuMemcpy2DAsync);
	End to, from;
	if (CUresult r = rectangle("cuMemcpy2DAsync", *c, &to, &from)) return r;
	size_t width = c->WidthInBytes, height = c->Height;
	if (c->srcMemoryType == CU_MEMORYTYPE_HOST && height && !pinned(from.start, (height - 1) * from.pitch + width)) {
		std::vector<char> copy(width * height);
		copy_rectangle({copy.data(), width}, from, width, height);
		return submit(stream, [=, copy = std::move(copy)] { copy_rectangle(to, {const_cast<char *>(copy.data()), width}, width, height); });
	}
	CUresult r = submit(stream, [=] { copy_rectangle(to, from, width, height); });
	bool wait = c->dstMemoryType == CU_MEMORYTYPE_HOST && height && !pinned(to.start, (height - 1) * to.pitch + width);
	if (!r && wait && !capturing()) drain();
	return r;
}

CUresult cuMemcpy2D(const CUDA_MEMCPY2D *c) {
	ENTRY(cuMemcpy2D);
	End to, from;
	if (CUresult r = rectangle("cuMemcpy2D", *c, &to, &from)) return r;
	if (capturing()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	drain(true);
	copy_rectangle(to, from, c->WidthInBytes, c->Height);
	return CUDA_SUCCESS;
}

CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D *c) { return cuMemcpy2D(c); }

namespace {

template <class T> CUresult fill(const char *name, CUdeviceptr p, T value, size_t n, CUstream stream) {
	if (p % sizeof(T)) return complain(CUDA_ERROR_INVALID_VALUE, "%s: address is not aligned", name);
	if (CUresult r = device_range(name, p, n * sizeof(T))) return r;
	return submit(stream, [=] { std::fill_n(static_cast<T *>(host(p)), n, value); });
}

} // namespace

CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char value, size_t n, CUstream stream) {
	ENTRY(cuMemsetD8Async);
	return fill("cuMemsetD8Async", p, value, n, stream);
}

CUresult cuMemsetD16Async(CUdeviceptr p, unsigned short value, size_t n, CUstream stream) {
	ENTRY(cuMemsetD16Async);
	return fill("cuMemsetD16Async", p, value, n, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr p, unsigned value, size_t n, CUstream stream) {
	ENTRY(cuMemsetD32Async);
	return fill("cuMemsetD32Async", p, value, n, stream);
}

CUresult cuMemsetD8(CUdeviceptr p, unsigned char value, size_t n) { return cuMemsetD8Async(p, value, n, nullptr); }
CUresult cuMemsetD16(CUdeviceptr p, unsigned short value, size_t n) { return cuMemsetD16Async(p, value, n, nullptr); }
CUresult cuMemsetD32(CUdeviceptr p, unsigned value, size_t n) { return cuMemsetD32Async(p, value, n, nullptr); }
