#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>
#include <optional>

#pragma GCC visibility push(default)

namespace gradus {

/// A tensor as an explanation shows it: all numbers of a small one, a summary of a large one. It is a copy:
/// what happens to the tensor later does not change it.
struct Numbers {
  /// Up to this many elements are kept.
  static constexpr int64_t kSmall = 16;

  Shape shape;             // of the tensor
  Dtype dtype = kFloat32;  // of the tensor
  /// The elements where there are at most kSmall and they are known, else undefined.
  Tensor elements = {};
  /// False where nobody kept the values: see explain().
  bool known = false;
  // Of all elements; NaN where there are none.
  double min = 0;   // the smallest
  double mean = 0;  // their mean
  double max = 0;   // the largest
  double norm = 0;  // the square root of the sum of squares

  /// "[[0.5, -1], [2, 0]]", or "min -0.93  mean 0.012  max 0.88  norm 9.4".
  std::string str() const;
};

/// One step of a backward pass: a node takes the gradient of its result and gives its inputs theirs.
struct BackwardStep {
  /// A result of the node.
  struct Result {
    Numbers value;  // as the forward pass computed it
    /// The incoming gradient; not known where none arrived.
    Numbers gradient;
    /// The steps that it came from. Several: they were added.
    std::vector<size_t> from;
  };
  /// An input of the node.
  struct Input {
    /// Where the gradient goes; nothing for an input that wants none, such as data.
    std::optional<size_t> step;
    /// Which result of that step the input is.
    uint32_t result = 0;
    Numbers value;  // as the rule read it
    /// The outgoing gradient, as it is added there.
    Numbers gradient;
    /// "summed from [4, 5] to [4, 1]: the input was broadcast", "converted from float64 to float32"; or
    /// empty.
    std::string note;
  };

  std::string op;          // "tanh"; "leaf" where a gradient ends
  std::string attributes;  // "dim=[1], keepdim=true", as the op tells them; empty where it has none
  std::string name;        // of the result, where one was given
  std::string formula;     // "y = tanh(x)", from the op's own definition; empty where it has none
  std::vector<std::string> derivatives;  // "dx = g (1 - y) (1 + y)" for each input that has one
  std::vector<Result> results;           // in order
  std::vector<Input> inputs;             // in order
  /// "the gradients of steps 1 and 3 met here and were added", "a hook replaced the gradient"; or empty.
  std::string note;
};

/// What backward() does, step by step, and why each gradient is what it is: the result's step first, each
/// step after those that its gradient comes from.
struct Explanation {
  std::vector<BackwardStep> steps;  // in the order in which they run
  /// A few lines for each step.
  std::string str() const;
};

/// Explains y.backward(). The gradients are computed on the side: nobody's grad() is changed, nothing is
/// freed, hooks run as in backward(). `names` names leaves and results; `gradient` is dL/dy, and may be left
/// out where y has one element.
///
/// A value is shown where it is known: of leaves, of results with a name, and of what some rule reads and
/// therefore keeps. All are where the forward pass ran while a KeepValues lived.
///
/// Throws GradError where backward() would: y does not require grad, the graph was freed, a value was changed
/// in place.
Explanation explain(const Tensor& y, const NamedTensors& names = {}, const Tensor& gradient = {});

/// e.str()
std::string str(const Explanation& e);
/// Writes e.str().
std::ostream& operator<<(std::ostream& os, const Explanation& e);

}  // namespace gradus

template <>
struct fmt::formatter<gradus::Explanation> : gradus::detail::TextFormatter {
  template <class C>
  auto format(const gradus::Explanation& e, C& c) const {
    return fmt::format_to(c.out(), "{}", e.str());
  }
};

#pragma GCC visibility pop
