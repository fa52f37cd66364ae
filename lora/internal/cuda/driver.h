#pragma once

#include <cuda.h>
#include <stddef.h>
#include <stdint.h>

// What is called in every operation, each with the context made current in one call from
// Go, and what gorgonia.org/cu lacks. Results are the driver's.

// A launch of a kernel: words holds an argument in each 8 bytes, its lowest bytes first.
typedef struct {
	uintptr_t function; // a CUfunction
	uint32_t grid[3], block, shared, words;
} driver_call;

CUresult driver_launch(CUcontext context, CUstream stream, const driver_call *call, const uint64_t *words);
CUresult driver_upload(CUcontext context, CUstream stream, CUdeviceptr dst, const void *pinned, size_t bytes);
CUresult driver_download(CUcontext context, CUstream stream, void *pinned, CUdeviceptr src, size_t bytes);
CUresult driver_clear(CUcontext context, CUstream stream, CUdeviceptr dst, size_t bytes);
CUresult driver_wait(CUcontext context, CUstream stream);

// driver_share lets a kernel use more than 48 KB of dynamic shared memory.
CUresult driver_share(CUcontext context, CUfunction function, int bytes);

CUresult driver_context(CUcontext *context);
CUresult driver_pinned(CUcontext context, void **memory, size_t bytes);
CUresult driver_unpin(CUcontext context, void *memory);
CUresult driver_module(CUcontext context, CUmodule *module, const char *ptx, char *log, size_t log_bytes);
CUresult driver_function(CUcontext context, CUfunction *function, CUmodule module, const char *name);
CUresult driver_unload(CUcontext context, CUmodule module);
const char *driver_error_name(CUresult result);
const char *driver_error_text(CUresult result);

// A graph is a chain: each node waits for the one before. driver_graph_copy and
// driver_graph_launch append to it; last is the node before, NULL at the beginning.
CUresult driver_graph_copy(CUcontext context, CUgraph graph, CUgraphNode *last, CUdeviceptr dst, const void *pinned, size_t bytes);
CUresult driver_graph_kernel(CUcontext context, CUgraph graph, CUgraphNode *last, const driver_call *call, const uint64_t *words);
CUresult driver_graph_create(CUcontext context, CUgraph *graph);
CUresult driver_graph_instantiate(CUcontext context, CUgraphExec *exec, CUgraph graph);
CUresult driver_graph_launch(CUcontext context, CUgraphExec exec, CUstream stream);
CUresult driver_graph_destroy(CUcontext context, CUgraph graph);
CUresult driver_graph_exec_destroy(CUcontext context, CUgraphExec exec);
