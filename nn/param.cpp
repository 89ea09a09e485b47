#include <gradus/autograd/core/convert.h>
#include <gradus/nn/param.h>

namespace gradus::nn {

bool detail::overwrite(Tensor& x, const Tensor& value) {
  if (!x.defined() || !value.defined()) return false;
  if (!(x.shape() == value.shape()) || x.dtype() != value.dtype()) return false;
  const NoGrad no_grad;
  x.copy_(value);
  return true;
}

Param::Param(const Tensor& x) {
  gradus::detail::check_defined("Param", x);
  become(gradus::detail::clone_apart(x), true);
}

Param::Param(const Param& p) : Param() {
  if (!p.defined()) return;
  become(gradus::detail::clone_apart(p), p.requires_grad());
  if (requires_grad()) static_cast<Leaf&>(*edge().node).is_copy = true;
}

Param& Param::operator=(const Param& p) & {
  if (this == &p) return *this;
  if (!detail::overwrite(*this, p)) return *this = Param(p);
  requires_grad_(p.requires_grad());
  return *this;
}

// NOLINTNEXTLINE(performance-noexcept-move-constructor): elements are copied, which may throw
Param& Param::operator=(Param&& p) & {
  if (this == &p) return *this;
  if (detail::overwrite(*this, p)) {
    requires_grad_(p.requires_grad());
  } else {
    leave();
    Tensor::operator=(std::move(p));
  }
  return *this;
}

void Param::become(Tensor x, bool requires_grad) {
  x.requires_grad_(requires_grad);
  x.impl()->in_model = true;
  Tensor::operator=(std::move(x));
}

void Param::leave() noexcept {
  if (defined()) impl()->in_model = false;
}

Buffer::Buffer(const Tensor& x) : Tensor(x.defined() ? gradus::detail::clone_apart(x) : Tensor()) {}
Buffer::Buffer(const Buffer& b) : Buffer(static_cast<const Tensor&>(b)) {}

Buffer& Buffer::operator=(const Tensor& x) & {
  if (!detail::overwrite(*this, x)) Tensor::operator=(Buffer(x));
  return *this;
}

// NOLINTNEXTLINE(performance-noexcept-move-constructor): elements are copied, which may throw
Buffer& Buffer::operator=(Buffer&& b) & {
  if (this != &b && !detail::overwrite(*this, b)) Tensor::operator=(std::move(b));
  return *this;
}

}  // namespace gradus::nn
