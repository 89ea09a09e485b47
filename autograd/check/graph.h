#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// The nodes that y was computed from, in the order in which a backward pass runs them, y's own first. They
/// live as long as y.
std::vector<const Node*> graph_nodes(const Tensor& y);

}  // namespace gradus

#pragma GCC visibility pop
