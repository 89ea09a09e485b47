#pragma once
#include <gradus/autograd/core/tensor.h>

#include <concepts>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus::nn {

namespace detail {
/// Overwrites x with the elements of `value` where shape and dtype are equal; else returns false.
bool overwrite(Tensor& x, const Tensor& value);
}  // namespace detail

/// A parameter: a leaf that requires grad, and a value. Copying a Param copies its elements, so that copying
/// a model copies it; moving moves. As a `const Tensor&` it is the parameter itself: `Tensor w =
/// layer.weight` shares its elements and gradient.
///
/// Assigning to a Param overwrites its elements where shape and dtype are equal: it stays the same leaf, so
/// that optimizers and recorded steps go on with it. Otherwise it becomes another leaf.
class Param : public Tensor {
 public:
  /// Undefined: a parameter that the module does without, such as the bias of Linear(2, 3, false).
  Param() noexcept = default;
  /// A leaf of its own with x's elements; x must be floating.
  explicit Param(const Tensor& x);
  Param(const Param& p);
  /// `auto w = layer.weight;`, of a layer that is not const: a copy, hardly ever meant, of which the compiler
  /// warns. To copy a single parameter, write Param(layer.weight.detach()).
  template <std::same_as<Param> P>
  [[deprecated(
      "nn::Param: this copies the parameter, and what happens to the copy does not reach the model; "
      "`Tensor w = layer.weight` shares it")]] Param(P& p)
      : Param(std::as_const(p)) {}
  Param(Param&& p) noexcept = default;
  Param& operator=(const Param& p) &;
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): elements are copied, which may throw
  Param& operator=(Param&& p) &;
  ~Param() { leave(); }

 private:
  void become(Tensor x, bool requires_grad);
  void leave() noexcept;
};

/// What a module saves but does not train, such as a running mean: a value, as a Param is, that never
/// requires grad. A copy of the module has buffers of its own.
///
///   mean = 0.9 * mean + 0.1 * m;
///
/// overwrites the elements where shape and dtype are equal, without history: a recorded step can be run
/// again. Otherwise the buffer gets the shape, the dtype and a copy of the elements of what is assigned.
class Buffer : public Tensor {
 public:
  /// Undefined: a buffer that the module does without.
  Buffer() noexcept = default;
  /// A copy of x's elements.
  Buffer(const Tensor& x);
  Buffer(const Buffer& b);
  /// As for a Param: a copy of which the compiler warns.
  template <std::same_as<Buffer> B>
  [[deprecated(
      "nn::Buffer: this copies the buffer, and what happens to the copy does not reach the model; "
      "`Tensor mean = layer.mean` shares it")]] Buffer(B& b)
      : Buffer(std::as_const(b)) {}
  Buffer(Buffer&& b) noexcept = default;
  Buffer& operator=(const Tensor& x) &;
  Buffer& operator=(const Buffer& b) & { return *this = static_cast<const Tensor&>(b); }
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): elements are copied, which may throw
  Buffer& operator=(Buffer&& b) &;
};

}  // namespace gradus::nn

#pragma GCC visibility pop
