// Graphs as lists of work in the order in which it was added, which is one that every
// dependency allows: a node can only depend on those before it.
#pragma once

#include "driver.h"

#include <memory>
#include <vector>

struct CUgraphNode_st {
	emulator::Work work;
};

struct CUgraph_st {
	std::vector<std::shared_ptr<CUgraphNode_st>> nodes;
};

struct CUgraphExec_st {
	std::vector<std::pair<CUgraphNode, emulator::Work>> nodes; // with the work at instantiation
};

namespace emulator {

CUresult add_to_graph(CUgraph graph, Work work);

} // namespace emulator
