#pragma once
#include <gradus/autograd/core/tensor.h>

namespace gradus::nn {

/// A parameter: a leaf that requires grad, and a value. Copying a Param copies its elements, so that copying
/// a model copies it; moving moves. As a `const Tensor&` it is the parameter itself: `Tensor w =
/// layer.weight` shares its elements and gradient (`auto w` would copy).
class Param : public Tensor {
 public:
  /// Undefined: a parameter that the module does without, such as the bias of Linear(2, 3, false).
  Param() noexcept = default;
  /// A leaf of its own with x's elements; x must be floating.
  explicit Param(const Tensor& x) : Tensor(x.detach().clone()) { requires_grad_(); }
  Param(const Param& p) : Tensor(p.defined() ? p.detach().clone() : Tensor()) {
    if (p.defined() && p.requires_grad()) requires_grad_();
  }
  Param(Param&&) noexcept = default;
  /// Overwrites the elements where shape and dtype are equal, so that optimizers go on with this parameter.
  Param& operator=(const Param& p) {
    if (this == &p) return *this;
    if (!defined() || !p.defined() || !(shape() == p.shape()) || dtype() != p.dtype())
      return *this = Param(p);
    NoGrad no_grad;
    copy_(p);
    requires_grad_(p.requires_grad());
    return *this;
  }
  Param& operator=(Param&&) noexcept = default;
};

}  // namespace gradus::nn
