#pragma once
#include <gradus/autograd/core/tensor.h>

namespace gradus {

/// The nodes that y was computed from, in the order in which a backward pass runs them, y's own first. They
/// live as long as y.
std::vector<const Node*> graph_nodes(const Tensor& y);

/// The graph of y in Graphviz' DOT language: an ellipse for each op with its shape, a box for each leaf, by
/// its name where one is given, a double line around y. Edges point the way the values went.
std::string to_dot(const Tensor& y, const NamedTensors& names = {});

}  // namespace gradus
