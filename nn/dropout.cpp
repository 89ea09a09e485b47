#include <gradus/autograd/kernels/create.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/pointwise.h>
#include <gradus/nn/dropout.h>

namespace gradus::nn {
namespace {

/// y = x m, 0 where m is 0, of infinite x, too        dx = g m likewise
struct Dropped {
  static constexpr auto name = "dropout";
  template <class T>
  constexpr T value(T x, T m) const {
    return where(m == 0, 0, x * m);
  }
  template <class T>
  constexpr T vjp(In<0>, T, T m, T, T g) const {
    return where(m == 0, 0, g * m);
  }
  template <class T>
  constexpr T vjp(In<1>, T x, T m, T, T g) const {
    return where(m == 0, 0, g * x);
  }
};

}  // namespace

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout: p must lie in [0, 1]: {}", p);
}

Tensor Dropout::operator()(const Tensor& x) const {
  gradus::detail::check_defined("Dropout", x);
  if (!training || p_ == 0) return x;
  if (!is_floating(x.dtype())) fail<DtypeError>("Dropout: the input must be floating, not {}", x.dtype());
  const Tensor mask = empty(x.shape(), x.dtype());
  launch(kernels::DropoutMask{writes(mask), p_});
  return pointwise(Dropped{}, x, mask);
}

}  // namespace gradus::nn
