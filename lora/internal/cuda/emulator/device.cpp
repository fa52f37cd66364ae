// The one device, its attributes and its primary context.

#include "driver.h"

struct CUctx_st {};

namespace emulator {

bool is_initialised;

namespace {

CUctx_st primary;
int retained;
thread_local std::basic_string<CUcontext> stack; // of contexts; the last is current

struct Attribute {
	CUdevice_attribute which;
	int value;
};

// The limits are the smallest of the devices of compute capability 8.0 to 9.0.
constexpr Attribute attributes[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 << 10},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 99 << 10},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 100 << 10},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1 << 10},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 1536},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 4},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 64},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4 << 20},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
};

int number_asked(const char *name, int otherwise) {
	const char *text = getenv(name);
	return text && *text ? atoi(text) : otherwise;
}

int devices() { return number_asked("SOCIALRL_EMULATOR_DEVICES", 1); }

} // namespace

bool has_context() { return !stack.empty() && stack.back() && retained > 0; }

} // namespace emulator

using namespace emulator;

CUresult cuInit(unsigned flags) {
	ENTRY_NEEDING(cuInit, nothing);
	if (flags) return CUDA_ERROR_INVALID_VALUE;
	if (devices() == 0) return CUDA_ERROR_NO_DEVICE;
	is_initialised = true;
	return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
	ENTRY_NEEDING(cuDriverGetVersion, nothing);
	*version = number_asked("SOCIALRL_EMULATOR_DRIVER", 12040);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
	ENTRY_NEEDING(cuDeviceGetCount, initialised);
	*count = devices();
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
	ENTRY_NEEDING(cuDeviceGet, initialised);
	if (ordinal < 0 || ordinal >= devices()) return CUDA_ERROR_INVALID_DEVICE;
	*device = ordinal;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int size, CUdevice) {
	ENTRY_NEEDING(cuDeviceGetName, initialised);
	if (size < 1) return CUDA_ERROR_INVALID_VALUE;
	strncpy(name, "Emulated GPU", size);
	name[size - 1] = 0;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice) {
	ENTRY_NEEDING(cuDeviceGetAttribute, initialised);
	*value = 0;
	for (const Attribute &a : attributes) {
		if (a.which == which) *value = a.value;
	}
	if (which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) *value = number_asked("SOCIALRL_EMULATOR_CAPABILITY", 80) / 10;
	if (which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) *value = number_asked("SOCIALRL_EMULATOR_CAPABILITY", 80) % 10;
	return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
	CUresult r = cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
	return r ? r : cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
	ENTRY_NEEDING(cuDevicePrimaryCtxRetain, initialised);
	retained++;
	*context = &primary;
	return CUDA_SUCCESS;
}

// Giving the primary context back ends all that lived in it.
CUresult cuDevicePrimaryCtxRelease(CUdevice) {
	ENTRY_NEEDING(cuDevicePrimaryCtxRelease, initialised);
	if (retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
	if (--retained == 0) forget_context(), release_memory();
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned *flags, int *active) {
	ENTRY_NEEDING(cuDevicePrimaryCtxGetState, initialised);
	*flags = 0;
	*active = retained > 0;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice, unsigned) {
	ENTRY_NEEDING(cuDevicePrimaryCtxSetFlags, initialised);
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
	ENTRY_NEEDING(cuCtxSetCurrent, initialised);
	if (context && context != &primary) return CUDA_ERROR_INVALID_CONTEXT;
	if (!stack.empty()) stack.pop_back();
	if (context) stack.push_back(context);
	return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
	ENTRY_NEEDING(cuCtxGetCurrent, initialised);
	*context = stack.empty() ? nullptr : stack.back();
	return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
	ENTRY_NEEDING(cuCtxPushCurrent, initialised);
	if (context != &primary) return CUDA_ERROR_INVALID_CONTEXT;
	stack.push_back(context);
	return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *context) {
	ENTRY_NEEDING(cuCtxPopCurrent, initialised);
	if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
	if (context) *context = stack.back();
	stack.pop_back();
	return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
	ENTRY(cuCtxGetDevice);
	*device = 0;
	return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() {
	ENTRY(cuCtxSynchronize);
	drain();
	return CUDA_SUCCESS;
}

namespace {

struct ErrorText {
	int code;
	const char *name, *text;
};

constexpr ErrorText texts[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {35, "CUDA_ERROR_INSUFFICIENT_DRIVER", "CUDA driver version is insufficient for CUDA runtime version"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const ErrorText *text_of(CUresult code) {
	for (const ErrorText &t : texts) {
		if (t.code == code) return &t;
	}
	return nullptr;
}

} // namespace

CUresult cuGetErrorName(CUresult code, const char **name) {
	const ErrorText *t = text_of(code);
	*name = t ? t->name : nullptr;
	return t ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text) {
	const ErrorText *t = text_of(code);
	*text = t ? t->text : nullptr;
	return t ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
