#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// What a picture of a graph shows.
struct DotOptions {
  /// The gradients: of each result where the graph can still run backward from a y of one element, else of
  /// the leaves that have one.
  bool gradients = true;
  /// A graph of more nodes is folded: what lies between the first use of a module's parameters and that of
  /// the next module's becomes one node. Modules are told by the names of their parameters, "blocks.0.up" of
  /// "blocks.0.up.weight"; it takes the deepest level that makes the graph small enough.
  int64_t most_nodes = 60;
};

/// The graph of y in Graphviz' DOT language. Each node has the op, its shape, its value where one was kept
/// (all are under KeepValues), and its gradient. A parameter (a leaf that wants a gradient) is a filled box
/// with a heavy border, an input (which wants none) a dashed box, an op a rounded one, a folded module a box
/// with depth; y has a double border. `names` say what leaves, inputs and results are called. Edges point the
/// way the values went. The gradients come from a pass on the side: it changes nobody's grad() and frees
/// nothing, but runs the hooks. GradError where y has no history.
std::string to_dot(const Tensor& y, const NamedTensors& names = {}, const DotOptions& options = {});

/// A moment of a backward pass.
struct BackwardFrame {
  std::string caption;  // "Step 2 of 5: tanh passes its gradient on"
  std::string dot;      // the picture, in the DOT language
};
/// The backward pass from y, of one element, as pictures that Graphviz lays out alike: the first shows dL/dy
/// = 1, and each one more the gradients that the next op has passed on. GradError where it can't run.
std::vector<BackwardFrame> backward_frames(const Tensor& y, const NamedTensors& names = {},
                                           const DotOptions& options = {});

}  // namespace gradus

#pragma GCC visibility pop
