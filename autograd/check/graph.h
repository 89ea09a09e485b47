#pragma once
#include <gradus/autograd/core/tensor.h>

namespace gradus {

/// The nodes that y was computed from, in the order in which a backward pass runs them, y's own first. They
/// live as long as y.
std::vector<const Node*> graph_nodes(const Tensor& y);

/// The graph of y in Graphviz' DOT language: an ellipse for each op with its shape, a box for each leaf, by
/// its name where one is given, a double line around y. Edges point the way the values went.
std::string to_dot(const Tensor& y, const NamedTensors& names = {});

/// One step of a backward pass.
struct BackwardStep {
  std::string op;              // "tanh"; "leaf" where a gradient ends
  std::string formula;         // of a structured op, with its gradients
  std::string name;            // of a leaf, where one was given
  std::vector<Shape> outputs;  // the shapes of the results, and of their gradients
  std::vector<size_t> inputs;  // the steps that the gradients go on to
};
/// What a backward pass from y does, step by step.
std::vector<BackwardStep> explain(const Tensor& y, const NamedTensors& names = {});
/// One line for each step.
std::string str(const std::vector<BackwardStep>& steps);

}  // namespace gradus
