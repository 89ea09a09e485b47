#pragma once
#include <gradus/autograd/core/apply.h>

#include <span>

#pragma GCC visibility push(default)

namespace gradus {

/// Adds dL/d(leaf) to the grad() of every leaf that `outputs` were computed from, L = Σ sum(gradients[i] ·
/// outputs[i]). A gradient may be left out (undefined) for an output of one element; it is 1 then.
///
/// What the ops saved is freed on the way unless retain_graph; create_graph records the pass itself, so that
/// the gradients can be differentiated again (and implies retain_graph). Leaves are changed when the pass has
/// succeeded: a refused or failed one leaves every gradient as it was.
void backward(const Tensors& outputs, const Tensors& gradients = {}, bool retain_graph = false,
              bool create_graph = false);

/// How grad() runs.
struct GradOptions {
  bool retain_graph = false;  // keep what the ops saved, for another pass
  bool create_graph = false;  // record the pass itself: the gradients can be differentiated
  bool allow_unused =
      false;  // an input that no output depends on gets an undefined tensor instead of an error
};

/// The gradients of Σ sum(grad_outputs[i] · outputs[i]) with respect to `inputs` (leaves or results),
/// returned instead of added to any leaf. Only what leads to the inputs is run.
Tensors grad(const Tensors& outputs, const Tensors& inputs, const Tensors& grad_outputs = {},
             GradOptions options = {});

namespace detail {
/// A pass on this thread. Hooks and rules may run passes, in which hooks and rules run, and so on: GradError
/// where little of the stack is left.
class Running {
 public:
  Running();
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};
/// Runs n's hooks on the gradients of its results; true where one was replaced. GradError where a hook writes
/// into a gradient or gives one that does not fit.
bool run_hooks(const Node& n, std::span<Tensor> g);
/// Makes g, a gradient of results of `to`, one of this shape and dtype: undoes a broadcast and a promotion of
/// the forward pass. GradError where no broadcast leads from `shape` to g's.
void fit(Tensor& g, const Shape& shape, Dtype dtype, const Node& to);
/// Makes p.g one of the dtype, and of the shape of its part of a tensor of this shape.
void fit(Part& p, const Shape& shape, Dtype dtype, const Node& to);
/// The gradient of shape `shape` that p says.
Tensor whole(const Part& p, const Shape& shape);
/// Raised by every write into one of g.
inline uint64_t versions(std::span<const Tensor> g) noexcept {
  uint64_t sum = 0;
  for (const Tensor& t : g)
    if (t.defined()) sum += t.ref()->storage->version();
  return sum;
}
[[noreturn]] void fail_wrote(const Node& n);
/// Runs n's rule, which reads the gradients g; GradError where it writes into one.
inline void run_rule(const Node& n, Back& b, std::span<const Tensor> g) {
  const uint64_t before = versions(g);
  n.run(b);
  if (versions(g) != before) [[unlikely]]
    fail_wrote(n);
}
}  // namespace detail

}  // namespace gradus

#pragma GCC visibility pop
