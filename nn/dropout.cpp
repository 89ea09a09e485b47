#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/pointwise.h>
#include <gradus/nn/dropout.h>

#include <algorithm>

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

/// 0 with probability p, else 1 / (1 - p). Element i depends on the generator's state and i alone.
Tensor dropout_mask(const Shape& shape, Dtype dtype, double p) {
  Tensor mask = empty(shape, dtype);
  const int64_t n = mask.numel();
  launch({&mask.storage()}, [dtype, n, p, first = mask.raw()] {
    const Draws draws = default_generator().draws(n);
    dispatch_floating(dtype, [&](auto zero) {
      using T = decltype(zero);
      const T scale = static_cast<T>(1 / (1 - p));
      T* const y = reinterpret_cast<T*>(first);
      parallel_for(n, 1 << 11, [&](int64_t begin, int64_t end) {
        double u[256];
        for (int64_t i = begin; i < end; i += 256) {
          const int64_t stop = std::min(end, i + 256);
          draws.uniform(i, stop, u);
          for (int64_t k = i; k < stop; k++) y[k] = u[k - i] < p ? 0 : scale;
        }
      });
    });
  });
  return mask;
}

}  // namespace

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout: p must lie in [0, 1]: {}", p);
}

Tensor Dropout::operator()(const Tensor& x) const {
  gradus::detail::check_defined("Dropout", x);
  if (!training || p_ == 0) return x;
  if (!is_floating(x.dtype())) fail<DtypeError>("Dropout: the input must be floating, not {}", x.dtype());
  return pointwise(Dropped{}, x, dropout_mask(x.shape(), x.dtype(), p_));
}

}  // namespace gradus::nn
