//go:build cuda && cgo

#include "driver.h"

#include <string.h>

enum { MAX_WORDS = 64 };

// TRY returns the result of a call that fails.
#define TRY(call)                                 \
	do {                                          \
		CUresult result_ = (call);                \
		if (result_ != CUDA_SUCCESS) return result_; \
	} while (0)

// parameters fills in where each argument lies.
static void parameters(void **where, const driver_call *call, const uint64_t *words) {
	for (uint32_t i = 0; i < call->words; i++) where[i] = (void *)(words + i);
}

CUresult driver_launch(CUcontext context, CUstream stream, const driver_call *call, const uint64_t *words) {
	void *where[MAX_WORDS];
	if (call->words > MAX_WORDS) return CUDA_ERROR_INVALID_VALUE;
	parameters(where, call, words);
	TRY(cuCtxSetCurrent(context));
	return cuLaunchKernel((CUfunction)call->function, call->grid[0], call->grid[1], call->grid[2], call->block, 1, 1, call->shared, stream, where, NULL);
}

CUresult driver_upload(CUcontext context, CUstream stream, CUdeviceptr dst, const void *pinned, size_t bytes) {
	TRY(cuCtxSetCurrent(context));
	return cuMemcpyHtoDAsync(dst, pinned, bytes, stream);
}

CUresult driver_download(CUcontext context, CUstream stream, void *pinned, CUdeviceptr src, size_t bytes) {
	TRY(cuCtxSetCurrent(context));
	TRY(cuMemcpyDtoHAsync(pinned, src, bytes, stream));
	return cuStreamSynchronize(stream);
}

CUresult driver_clear(CUcontext context, CUstream stream, CUdeviceptr dst, size_t bytes) {
	TRY(cuCtxSetCurrent(context));
	return cuMemsetD8Async(dst, 0, bytes, stream);
}

CUresult driver_wait(CUcontext context, CUstream stream) {
	TRY(cuCtxSetCurrent(context));
	return cuStreamSynchronize(stream);
}

CUresult driver_share(CUcontext context, CUfunction function, int bytes) {
	TRY(cuCtxSetCurrent(context));
	return cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
}

CUresult driver_context(CUcontext *context) { return cuCtxGetCurrent(context); }

CUresult driver_pinned(CUcontext context, void **memory, size_t bytes) {
	TRY(cuCtxSetCurrent(context));
	return cuMemHostAlloc(memory, bytes, 0);
}

CUresult driver_unpin(CUcontext context, void *memory) {
	TRY(cuCtxSetCurrent(context));
	return cuMemFreeHost(memory);
}

CUresult driver_module(CUcontext context, CUmodule *module, const char *ptx, char *log, size_t log_bytes) {
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)log_bytes};
	log[0] = 0;
	TRY(cuCtxSetCurrent(context));
	return cuModuleLoadDataEx(module, ptx, 2, options, values);
}

CUresult driver_function(CUcontext context, CUfunction *function, CUmodule module, const char *name) {
	TRY(cuCtxSetCurrent(context));
	return cuModuleGetFunction(function, module, name);
}

CUresult driver_unload(CUcontext context, CUmodule module) {
	TRY(cuCtxSetCurrent(context));
	return cuModuleUnload(module);
}

const char *driver_error_name(CUresult result) {
	const char *text = NULL;
	return cuGetErrorName(result, &text) == CUDA_SUCCESS ? text : NULL;
}

const char *driver_error_text(CUresult result) {
	const char *text = NULL;
	return cuGetErrorString(result, &text) == CUDA_SUCCESS ? text : NULL;
}

CUresult driver_graph_create(CUcontext context, CUgraph *graph) {
	TRY(cuCtxSetCurrent(context));
	return cuGraphCreate(graph, 0);
}

CUresult driver_graph_copy(CUcontext context, CUgraph graph, CUgraphNode *last, CUdeviceptr dst, const void *pinned, size_t bytes) {
	CUDA_MEMCPY3D copy;
	memset(&copy, 0, sizeof copy);
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = pinned;
	copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
	copy.dstDevice = dst;
	copy.WidthInBytes = bytes;
	copy.Height = copy.Depth = 1;
	CUgraphNode before = *last;
	return cuGraphAddMemcpyNode(last, graph, &before, before != NULL, &copy, context);
}

// The headers of CUDA 12 rename this function to one that older drivers lack.
#undef cuGraphAddKernelNode
CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *before, size_t count, const CUDA_KERNEL_NODE_PARAMS_v1 *kernel);

CUresult driver_graph_kernel(CUcontext context, CUgraph graph, CUgraphNode *last, const driver_call *call, const uint64_t *words) {
	void *where[MAX_WORDS];
	if (call->words > MAX_WORDS) return CUDA_ERROR_INVALID_VALUE;
	parameters(where, call, words);
	CUDA_KERNEL_NODE_PARAMS_v1 node = {(CUfunction)call->function, call->grid[0], call->grid[1], call->grid[2], call->block, 1, 1, call->shared, where, NULL};
	CUgraphNode before = *last;
	TRY(cuCtxSetCurrent(context));
	return cuGraphAddKernelNode(last, graph, &before, before != NULL, &node);
}

CUresult driver_graph_instantiate(CUcontext context, CUgraphExec *exec, CUgraph graph) {
	TRY(cuCtxSetCurrent(context));
	return cuGraphInstantiateWithFlags(exec, graph, 0);
}

CUresult driver_graph_launch(CUcontext context, CUgraphExec exec, CUstream stream) {
	TRY(cuCtxSetCurrent(context));
	return cuGraphLaunch(exec, stream);
}

CUresult driver_graph_destroy(CUcontext context, CUgraph graph) {
	TRY(cuCtxSetCurrent(context));
	return cuGraphDestroy(graph);
}

CUresult driver_graph_exec_destroy(CUcontext context, CUgraphExec exec) {
	TRY(cuCtxSetCurrent(context));
	return cuGraphExecDestroy(exec);
}
