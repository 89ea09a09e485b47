#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/ops/create.h>

#include <cmath>

namespace gradus {
namespace {

Tensor filled(const Shape& shape, Scalar value, Dtype dtype) {
  Tensor x = make_empty(shape, dtype);
  launch({&x.storage()}, kernels::fill, dtype, x.storage().data(), x.layout(), value);
  return x;
}

/// f(i) for each element, in row-major order.
template <class F>
Tensor generated(const Shape& shape, Dtype dtype, F f) {
  Tensor x = make_empty(shape, dtype);
  launch({&x.storage()}, [dtype, f, first = x.raw(), n = x.numel()] {
    dispatch(dtype, [&](auto zero) {
      using T = decltype(zero);
      T* const p = reinterpret_cast<T*>(first);
      for (int64_t i = 0; i < n; i++) p[i] = static_cast<T>(f(i));
    });
  });
  return x;
}

Tensor drawn(const char* op, const Shape& shape, Dtype dtype, void (Generator::*draw)(double*, int64_t)) {
  if (!is_floating(dtype)) fail<DtypeError>("{}: random numbers are floating, not {}", op, dtype);
  Tensor x = make_empty(shape, kFloat64);
  launch({&x.storage()}, [draw, p = reinterpret_cast<double*>(x.raw()), n = x.numel()] {
    (default_generator().*draw)(p, n);
  });
  NoGrad no_grad;
  return x.to(dtype);
}

}  // namespace

Tensor empty(const Shape& shape, Dtype dtype) { return make_empty(shape, dtype); }
Tensor zeros(const Shape& shape, Dtype dtype) { return filled(shape, 0, dtype); }
Tensor ones(const Shape& shape, Dtype dtype) { return filled(shape, 1, dtype); }
Tensor full(const Shape& shape, Scalar value, Dtype dtype) { return filled(shape, value, dtype); }
Tensor zeros_like(const Tensor& x) { return filled(x.shape(), 0, x.dtype()); }
Tensor ones_like(const Tensor& x) { return filled(x.shape(), 1, x.dtype()); }

Tensor arange(Scalar start, Scalar end, Scalar step, std::optional<Dtype> dtype) {
  const double a = start.to<double>(), b = end.to<double>(), d = step.to<double>();
  if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(d) || d == 0)
    fail("arange: the bounds must be finite and the step not 0: {} … {} by {}", a, b, d);
  const bool integers = start.dtype() == kInt64 && end.dtype() == kInt64 && step.dtype() == kInt64;
  const double n = std::ceil((b - a) / d);
  if (n > 9e15) fail<ShapeError>("arange: {} elements are too many", n);
  const Shape shape{n > 0 ? static_cast<int64_t>(n) : 0};
  const Dtype to = dtype.value_or(integers ? kInt64 : kFloat32);
  if (integers)
    return generated(shape, to, [=](int64_t i) { return start.to<int64_t>() + i * step.to<int64_t>(); });
  return generated(shape, to, [=](int64_t i) { return a + static_cast<double>(i) * d; });
}
Tensor arange(Scalar end) { return arange(end.dtype() == kInt64 ? Scalar(0) : Scalar(0.0), end); }

Tensor linspace(double start, double end, int64_t steps, Dtype dtype) {
  if (steps < 0) fail<ShapeError>("linspace: the number of steps is negative: {}", steps);
  return generated({steps}, dtype, [=](int64_t i) {
    const double t = steps > 1 ? static_cast<double>(i) / static_cast<double>(steps - 1) : 0;
    return i == steps - 1 && steps > 1 ? end : start + t * (end - start);
  });
}

Tensor eye(int64_t n, Dtype dtype) {
  return generated({n, n}, dtype, [=](int64_t i) { return i / n == i % n; });
}

Tensor rand(const Shape& shape, Dtype dtype) { return drawn("rand", shape, dtype, &Generator::uniform); }
Tensor randn(const Shape& shape, Dtype dtype) { return drawn("randn", shape, dtype, &Generator::normal); }

Tensor tensor(Scalar value, std::optional<Dtype> dtype) {
  return filled({}, value, dtype.value_or(value.dtype()));
}

Tensor detail::tensor_from(const void* values, Dtype from, int64_t n, const Shape& shape,
                           std::optional<Dtype> dtype) {
  if (shape.numel() != n) fail<ShapeError>("tensor: {} values do not fill {}", n, shape);
  check_not_recording("tensor");
  Tensor x = make_empty(shape, dtype.value_or(is_floating(from) ? kFloat32 : from));
  kernels::copy(x.dtype(), x.storage().data(), x.layout(), from, values, Layout(shape));
  return x;
}

}  // namespace gradus
