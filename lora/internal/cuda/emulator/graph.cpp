// Building, instantiating and launching graphs.

#include "graph.h"

#include <set>

namespace emulator {

namespace {

std::set<CUgraph> graphs;
std::set<CUgraphExec> executables;

// add appends a node that depends on nodes of the same graph.
CUresult add(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, Work work) {
	if (!graphs.count(graph)) return complain(CUDA_ERROR_INVALID_HANDLE, "not a graph");
	for (size_t i = 0; i < count; i++) {
		bool found = false;
		for (auto &n : graph->nodes) found |= n.get() == dependencies[i];
		if (!found) return complain(CUDA_ERROR_INVALID_VALUE, "a node depends on one that is not in its graph");
	}
	graph->nodes.push_back(std::make_shared<CUgraphNode_st>(CUgraphNode_st{std::move(work)}));
	if (node) *node = graph->nodes.back().get();
	return CUDA_SUCCESS;
}

// kernel_work makes the work of a kernel node; both versions of the structure begin alike.
template <class Params> CUresult kernel_work(const Params *p, Work *work) {
	if (!p->kernelParams && p->extra) return CUDA_ERROR_NOT_SUPPORTED;
	return launch(p->func, {p->gridDimX, p->gridDimY, p->gridDimZ}, {p->blockDimX, p->blockDimY, p->blockDimZ}, p->sharedMemBytes, p->kernelParams, work);
}

template <class Params> CUresult add_kernel(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, const Params *p) {
	Work work;
	if (CUresult r = kernel_work(p, &work)) return r;
	return add(node, graph, dependencies, count, std::move(work));
}

template <class Params> CUresult set_kernel(CUgraphExec exec, CUgraphNode node, const Params *p) {
	Work work;
	if (!executables.count(exec)) return CUDA_ERROR_INVALID_HANDLE;
	if (CUresult r = kernel_work(p, &work)) return r;
	for (auto &[of, now] : exec->nodes) {
		if (of == node) return now = std::move(work), CUDA_SUCCESS;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

// plain_copy is the work of a one-dimensional copy, which is all that nodes are used for.
CUresult plain_copy(const CUDA_MEMCPY3D *c, Work *work) {
	if (c->Height > 1 || c->Depth > 1) return CUDA_ERROR_NOT_SUPPORTED;
	char *from = c->srcMemoryType == CU_MEMORYTYPE_HOST ? static_cast<char *>(const_cast<void *>(c->srcHost)) : reinterpret_cast<char *>(c->srcDevice);
	char *to = c->dstMemoryType == CU_MEMORYTYPE_HOST ? static_cast<char *>(c->dstHost) : reinterpret_cast<char *>(c->dstDevice);
	from += c->srcXInBytes, to += c->dstXInBytes;
	size_t bytes = c->WidthInBytes;
	if (c->srcMemoryType != CU_MEMORYTYPE_HOST && !on_device(CUdeviceptr(from), bytes)) return complain(CUDA_ERROR_INVALID_VALUE, "copy node: source is not device memory");
	if (c->dstMemoryType != CU_MEMORYTYPE_HOST && !on_device(CUdeviceptr(to), bytes)) return complain(CUDA_ERROR_INVALID_VALUE, "copy node: target is not device memory");
	*work = [=] { memcpy(to, from, bytes); };
	return CUDA_SUCCESS;
}

CUresult instantiate(CUgraphExec *exec, CUgraph graph) {
	if (!graphs.count(graph)) return CUDA_ERROR_INVALID_HANDLE;
	*exec = new CUgraphExec_st;
	for (auto &n : graph->nodes) (*exec)->nodes.push_back({n.get(), n->work});
	executables.insert(*exec);
	return CUDA_SUCCESS;
}

} // namespace

CUresult add_to_graph(CUgraph graph, Work work) { return add(nullptr, graph, nullptr, 0, std::move(work)); }

} // namespace emulator

using namespace emulator;

CUresult cuGraphCreate(CUgraph *graph, unsigned) {
	ENTRY(cuGraphCreate);
	*graph = new CUgraph_st;
	graphs.insert(*graph);
	return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) {
	ENTRY(cuGraphDestroy);
	if (!graphs.erase(graph)) return CUDA_ERROR_INVALID_HANDLE;
	delete graph;
	return CUDA_SUCCESS;
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count) {
	ENTRY(cuGraphAddEmptyNode);
	return add(node, graph, dependencies, count, [] {});
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS *p) {
	ENTRY_NEEDING(cuGraphAddKernelNode, context);
	return add_kernel(node, graph, dependencies, count, p);
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
	ENTRY_NEEDING(cuGraphExecKernelNodeSetParams, context);
	return set_kernel(exec, node, p);
}

// The functions of the same names before CUDA 12.
#undef cuGraphAddKernelNode
#undef cuGraphExecKernelNodeSetParams

extern "C" CUresult cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, const CUDA_KERNEL_NODE_PARAMS_v1 *p) {
	ENTRY(cuGraphAddKernelNode);
	return add_kernel(node, graph, dependencies, count, p);
}

extern "C" CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *p) {
	ENTRY(cuGraphExecKernelNodeSetParams);
	return set_kernel(exec, node, p);
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, const CUDA_MEMCPY3D *c, CUcontext) {
	ENTRY(cuGraphAddMemcpyNode);
	Work work;
	if (CUresult r = plain_copy(c, &work)) return r;
	return add(node, graph, dependencies, count, std::move(work));
}

CUresult cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, const CUDA_MEMSET_NODE_PARAMS *m, CUcontext) {
	ENTRY(cuGraphAddMemsetNode);
	CUdeviceptr p = m->dst;
	size_t n = m->width, size = m->elementSize;
	unsigned value = m->value;
	if (m->height > 1 || (size != 1 && size != 2 && size != 4)) return CUDA_ERROR_NOT_SUPPORTED;
	if (!on_device(p, n * size)) return complain(CUDA_ERROR_INVALID_VALUE, "fill node: not device memory");
	return add(node, graph, dependencies, count, [=] {
		for (size_t i = 0; i < n; i++) memcpy(reinterpret_cast<char *>(p) + i * size, &value, size);
	});
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
	ENTRY(cuGraphGetNodes);
	if (!graphs.count(graph)) return CUDA_ERROR_INVALID_HANDLE;
	for (size_t i = 0; nodes && i < *count && i < graph->nodes.size(); i++) nodes[i] = graph->nodes[i].get();
	*count = graph->nodes.size();
	return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long) {
	ENTRY_NEEDING(cuGraphInstantiate, context);
	return instantiate(exec, graph);
}

extern "C" CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *, char *, size_t) {
	ENTRY_NEEDING(cuGraphInstantiate, context);
	return instantiate(exec, graph);
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream) {
	ENTRY(cuGraphUpload);
	return executables.count(exec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
	ENTRY(cuGraphLaunch);
	if (!executables.count(exec)) return CUDA_ERROR_INVALID_HANDLE;
	for (auto &[node, work] : exec->nodes) {
		if (CUresult r = submit(stream, work)) return r;
	}
	return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
	ENTRY(cuGraphExecDestroy);
	drain();
	if (!executables.erase(exec)) return CUDA_ERROR_INVALID_HANDLE;
	delete exec;
	return CUDA_SUCCESS;
}
