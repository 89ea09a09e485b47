#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/base/random.h>
#include <gradus/autograd/kernels/create.h>

#include <algorithm>

namespace gradus::kernels {
namespace {

/// y_i = f(i) in row-major order.
template <class F>
void generate(const Write& y, F f) {
  dispatch(y.dtype, [&]<class T>(T) {
    T* const p = y.first<T>();
    for (int64_t i = 0, n = y.layout->numel(); i < n; i++) p[i] = convert<T>(f(i));
  });
}

}  // namespace

template <>
void Arange<int64_t>::run() const {
  generate(y, [this](int64_t i) {
    return static_cast<int64_t>(static_cast<uint64_t>(start) +
                                static_cast<uint64_t>(i) * static_cast<uint64_t>(step));
  });
}
template <>
void Arange<double>::run() const {
  generate(y, [this](int64_t i) { return start + static_cast<double>(i) * step; });
}

void Linspace::run() const {
  const int64_t steps = y.layout->numel();
  generate(y, [&](int64_t i) {
    const double t = steps > 1 ? static_cast<double>(i) / static_cast<double>(steps - 1) : 0;
    return i == steps - 1 && steps > 1 ? end : start + t * (end - start);
  });
}

void Eye::run() const {
  const int64_t n = y.layout->shape[0];
  generate(y, [n](int64_t i) { return i / n == i % n; });
}

void Draw::run() const {
  const int64_t n = y.layout->numel();
  const Draws draws = default_generator().draws(n);
  double* const to = y.first<double>();
  parallel_for(n, 1 << 10, [&](int64_t begin, int64_t end) {
    if (normal)
      draws.normal(begin, end, to + begin);
    else
      draws.uniform(begin, end, to + begin);
    for (int64_t i = begin; i < end; i++) to[i] = std::min(shift + scale * to[i], most);
  });
}

void DropoutMask::run() const {
  const int64_t n = y.layout->numel();
  const Draws draws = default_generator().draws(n);
  dispatch_floating(y.dtype, [&]<class T>(T) {
    const T scale = static_cast<T>(1 / (1 - p));
    T* const to = y.first<T>();
    parallel_for(n, 1 << 11, [&](int64_t begin, int64_t end) {
      double u[256];
      for (int64_t i = begin; i < end; i += 256) {
        const int64_t stop = std::min(end, i + 256);
        draws.uniform(i, stop, u);
        for (int64_t k = i; k < stop; k++) to[k] = u[k - i] < p ? 0 : scale;
      }
    });
  });
}

}  // namespace gradus::kernels
