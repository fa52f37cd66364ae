// Modules, their functions and launches. The text of a module says which kernels it
// holds; what runs is the host's code of the same name.

#include "driver.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <vector>

struct CUmod_st {
	std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

extern const Kernel *const emulator_tables[]; // of each .cu file, ended by null
extern const int emulator_table_sizes[];

namespace emulator {

namespace {

constexpr int static_limit = 48 << 10, dynamic_limit = 99 << 10;
std::set<CUmodule> modules;
std::set<CUfunction> functions;

int version_of(const std::string &ptx) {
	size_t at = ptx.find(".version ");
	int major = 0, minor = 0;
	if (at == std::string::npos || sscanf(ptx.c_str() + at, ".version %d.%d", &major, &minor) != 2) return 0;
	return 10 * major + minor;
}

// newest_version returns the version of PTX that the driver knows: 7.7 of CUDA 11.7, 8.4
// of 12.4.
int newest_version() {
	int driver = 0;
	cuDriverGetVersion(&driver);
	return (driver / 1000 - 4) * 10 + driver % 1000 / 10;
}

// parameters_of counts the parameters of the entry whose name ends at a place.
int parameters_of(const std::string &ptx, size_t at) {
	size_t end = ptx.find(')', at);
	int n = 0;
	for (size_t p = ptx.find(".param", at); p < end; p = ptx.find(".param", p + 1)) n++;
	return n;
}

// find_entries makes a function of each entry of a module's text.
CUresult find_entries(CUmodule module, const std::string &ptx) {
	const std::string word = ".entry ";
	for (size_t at = ptx.find(word); at != std::string::npos; at = ptx.find(word, at + 1)) {
		size_t start = at + word.size(), end = ptx.find_first_of("( \t\r\n", start);
		std::string name = ptx.substr(start, end - start);
		const Kernel *k = table(name);
		if (!k) return complain(CUDA_ERROR_INVALID_IMAGE, "kernel %s of the module is not among the sources that the emulator was built of", name.c_str());
		int parameters = parameters_of(ptx, end);
		if (parameters != k->arguments) return complain(CUDA_ERROR_INVALID_IMAGE, "kernel %s takes %d arguments in the module and %d in its source", name.c_str(), parameters, k->arguments);
		auto f = std::make_unique<CUfunc_st>(CUfunc_st{k, static_limit});
		functions.insert(f.get());
		module->functions[name] = std::move(f);
	}
	return module->functions.empty() ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}

CUresult load(CUmodule *module, const void *image) {
	std::string ptx = static_cast<const char *>(image);
	int version = version_of(ptx);
	if (version == 0) return complain(CUDA_ERROR_INVALID_IMAGE, "the module is not PTX");
	int newest = newest_version();
	if (version > newest) return complain(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "PTX %d.%d is newer than %d.%d", version / 10, version % 10, newest / 10, newest % 10);
	*module = new CUmod_st;
	modules.insert(*module);
	CUresult r = find_entries(*module, ptx);
	if (r) cuModuleUnload(*module);
	return r;
}

bool fits(uint3 size, uint3 limit) {
	return size.x && size.y && size.z && size.x <= limit.x && size.y <= limit.y && size.z <= limit.z;
}

} // namespace

const Kernel *table(const std::string &name) {
	for (int i = 0; emulator_tables[i]; i++) {
		for (int j = 0; j < emulator_table_sizes[i]; j++) {
			if (name == emulator_tables[i][j].name) return &emulator_tables[i][j];
		}
	}
	return nullptr;
}

void forget_context() {
	drain();
	for (CUmodule m : modules) delete m;
	modules.clear();
	functions.clear();
}

CUresult launch(CUfunction f, uint3 grid, uint3 block, unsigned dynamic_bytes, void **arguments, Work *work) {
	if (!functions.count(f)) return complain(CUDA_ERROR_INVALID_HANDLE, "launch of what is not a function");
	const Kernel *k = f->kernel;
	unsigned threads = block.x * block.y * block.z;
	if (!fits(grid, {2147483647, 65535, 65535})) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: grid of %u, %u, %u blocks", k->name, grid.x, grid.y, grid.z);
	if (!fits(block, {1024, 1024, 64}) || threads > 1024) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: block of %u, %u, %u threads", k->name, block.x, block.y, block.z);
	if (threads % 32) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: %u threads are not whole warps, which these kernels count on", k->name, threads);
	if (threads > k->bound) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: %u threads, but it is bounded to %u", k->name, threads, k->bound);
	if (int(dynamic_bytes) > f->dynamic_limit) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: %u bytes of shared memory, its limit is set to %d", k->name, dynamic_bytes, f->dynamic_limit);
	auto bytes = std::make_shared<std::vector<unsigned long long>>();
	std::vector<size_t> starts;
	for (int i = 0; i < k->arguments; i++) {
		starts.push_back(bytes->size());
		bytes->resize(bytes->size() + (k->sizes[i] + 7) / 8);
		memcpy(&(*bytes)[starts.back()], arguments[i], k->sizes[i]);
	}
	*work = [=] {
		std::vector<void *> pointers;
		for (size_t at : starts) pointers.push_back(&(*bytes)[at]);
		run({k->name, k->invoke, pointers.data(), grid, block, dynamic_bytes, k->shared, k->shared_end});
	};
	return CUDA_SUCCESS;
}

} // namespace emulator

using namespace emulator;

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
	ENTRY(cuModuleLoadData);
	return load(module, image);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
	ENTRY(cuModuleLoadDataEx);
	return load(module, image);
}

CUresult cuModuleUnload(CUmodule module) {
	ENTRY(cuModuleUnload);
	drain();
	if (!modules.erase(module)) return CUDA_ERROR_INVALID_HANDLE;
	for (auto &[name, f] : module->functions) functions.erase(f.get());
	delete module;
	return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *f, CUmodule module, const char *name) {
	ENTRY(cuModuleGetFunction);
	if (!modules.count(module)) return CUDA_ERROR_INVALID_HANDLE;
	auto at = module->functions.find(name);
	if (at == module->functions.end()) return complain(CUDA_ERROR_NOT_FOUND, "the module has no kernel %s", name);
	*f = at->second.get();
	return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute which, int value) {
	ENTRY(cuFuncSetAttribute);
	if (!functions.count(f)) return CUDA_ERROR_INVALID_HANDLE;
	if (which == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) return CUDA_SUCCESS;
	if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0) return CUDA_ERROR_INVALID_VALUE;
	if (value > dynamic_limit) return complain(CUDA_ERROR_INVALID_VALUE, "kernel %s: %d bytes of shared memory, a device has %d", f->kernel->name, value, dynamic_limit);
	f->dynamic_limit = value;
	return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction f) {
	ENTRY(cuFuncGetAttribute);
	if (!functions.count(f)) return CUDA_ERROR_INVALID_HANDLE;
	*value = which == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK         ? int(f->kernel->bound)
	         : which == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? f->dynamic_limit
	                                                                    : 0;
	return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned dynamic_bytes, CUstream stream, void **arguments, void **extra) {
	ENTRY(cuLaunchKernel);
	if (extra) return CUDA_ERROR_NOT_SUPPORTED;
	Work work;
	if (CUresult r = launch(f, {gx, gy, gz}, {bx, by, bz}, dynamic_bytes, arguments, &work)) return r;
	return submit(stream, std::move(work));
}
