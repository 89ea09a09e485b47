#pragma once
#include <gradus/autograd/core/apply.h>

#include <functional>
#include <unordered_map>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// What the rule of a node gives for each input (undefined: nothing), from the gradients of its results.
Tensors run_rule(const Node& node, std::span<const Tensor> g);

/// A backward pass from y on the side: it changes nobody's grad(), frees nothing, and remembers every
/// gradient on its way. It runs hooks, as backward() does. Then it can be run again with other rules, to see
/// what would come out.
class Trace {
 public:
  struct Arrival {
    size_t step;     // where the gradient came from,
    uint32_t input;  // as the gradient of this input
  };
  struct Step {
    const Node* node;
    Tensors g;       // of the results, complete; undefined where none arrived
    Tensors given;   // by the rule, for each input
    Tensors passed;  // the same in the shape and dtype of the input: what is added there
    std::vector<std::vector<Arrival>> arrivals;  // for each result
    bool hooked = false;                         // a hook replaced a gradient
  };

  /// The pass that starts with dL/dy = seed, or 1 where that is undefined.
  explicit Trace(const Tensor& y, const Tensor& seed = {});

  /// In the order in which they run, y's own first; the leaves are among them.
  const std::vector<Step>& steps() const { return steps_; }
  /// The step of a node; steps().size() where the pass did not meet it.
  size_t step_of(const Node* node) const;

  /// The value of a result as it was saved, by its own node or by one that reads it, or as a leaf holds it;
  /// undefined where nobody kept it (see KeepValues).
  Tensor value(size_t step, uint32_t slot = 0) const;
  /// The value of an input.
  Tensor input_value(size_t step, uint32_t input) const;

  /// How far rounding may move y, to first order: the sum of |g v| u over the values v of all results that
  /// are not the same in `elsewhere` (the same graph at other points), u being half a unit in the last place
  /// of 1 in v's dtype. Values that nobody kept are left out.
  double rounding(std::span<const Trace> elsewhere) const;

  using Rule = std::function<Tensors(size_t step, std::span<const Tensor> g)>;
  /// The gradient that arrives at each of `leaves` (steps) when `rule` stands in for the rules of the steps
  /// in `replaced`. What that does not touch is not computed again.
  Tensors rerun(std::span<const size_t> replaced, const Rule& rule, std::span<const size_t> leaves) const;

 private:
  Tensor root_;  // keeps the nodes alive
  std::vector<Step> steps_;
  std::unordered_map<const Node*, size_t> index_;
  Tensor seed_;
};

}  // namespace gradus::detail

#pragma GCC visibility pop
