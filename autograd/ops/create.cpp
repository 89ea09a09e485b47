#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/create.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/pointwise.h>

#include <algorithm>
#include <cmath>

namespace gradus {
namespace {

Tensor filled(const char* op, const Shape& shape, Scalar value, Dtype dtype) {
  Tensor x = make_empty(shape, dtype, op);
  launch(kernels::Fill{writes(x), value});
  return x;
}

Tensor integer_range(int64_t start, int64_t end, int64_t step, Dtype dtype) {
  if (step == 0) fail("arange: the step is 0: {} … {}", start, end);
  // Differences of int64s fit into uint64 only; in it, everything is right modulo 2^64.
  const auto first = static_cast<uint64_t>(start), last = static_cast<uint64_t>(end),
             by = static_cast<uint64_t>(step);
  const bool none = step > 0 ? start >= end : start <= end;
  const uint64_t n = none ? 0 : step > 0 ? (last - first - 1) / by + 1 : (first - last - 1) / -by + 1;
  if (n > INT64_MAX) fail<ShapeError>("arange: {} elements are too many", n);
  Tensor x = make_empty({static_cast<int64_t>(n)}, dtype, "arange");
  launch(kernels::Arange<int64_t>{writes(x), start, step});
  return x;
}

Tensor floating_range(double start, double end, double step, Dtype dtype) {
  if (!std::isfinite(start) || !std::isfinite(end) || !std::isfinite(step) || step == 0)
    fail("arange: the bounds must be finite and the step not 0: {} … {} by {}", start, end, step);
  const double quotient = std::ceil((end - start) / step);
  if (!(quotient <= 9e15)) fail<ShapeError>("arange: {} elements are too many", quotient);
  const auto element = [=](int64_t i) { return start + static_cast<double>(i) * step; };
  // The quotient may round up, and so may an element to the dtype: the last ones would not lie before end.
  const auto before_end = [=](int64_t i) {
    const double x = dtype == kFloat32 ? static_cast<double>(static_cast<float>(element(i))) : element(i);
    return step > 0 ? x < end : x > end;
  };
  int64_t n = 0, bound = quotient > 0 ? static_cast<int64_t>(quotient) : 0;
  while (n < bound) {
    const int64_t middle = n + (bound - n) / 2;
    if (before_end(middle))
      n = middle + 1;
    else
      bound = middle;
  }
  Tensor x = make_empty({n}, dtype, "arange");
  launch(kernels::Arange<double>{writes(x), start, step});
  return x;
}

Tensor drawn(const char* op, const Shape& shape, Dtype dtype, bool normal) {
  if (!is_floating(dtype)) fail<DtypeError>("{}: random numbers are floating, not {}", op, dtype);
  Tensor x = make_empty(shape, kFloat64, op);
  launch(kernels::Draw{writes(x), normal, 0, 1, INFINITY});
  NoGrad no_grad;
  return x.to(dtype);
}

}  // namespace

Tensor empty(const Shape& shape, Dtype dtype) { return make_empty(shape, dtype, "empty"); }
Tensor zeros(const Shape& shape, Dtype dtype) { return filled("zeros", shape, 0, dtype); }
Tensor ones(const Shape& shape, Dtype dtype) { return filled("ones", shape, 1, dtype); }
Tensor full(const Shape& shape, Scalar value, Dtype dtype) { return filled("full", shape, value, dtype); }
Tensor zeros_like(const Tensor& x) {
  detail::check_defined("zeros_like", x);
  return filled("zeros_like", x.shape(), 0, x.dtype());
}
Tensor ones_like(const Tensor& x) {
  detail::check_defined("ones_like", x);
  return filled("ones_like", x.shape(), 1, x.dtype());
}

Tensor arange(Scalar start, Scalar end, Scalar step, std::optional<Dtype> dtype) {
  const bool integers = start.dtype() == kInt64 && end.dtype() == kInt64 && step.dtype() == kInt64;
  return integers ? integer_range(start.to<int64_t>(), end.to<int64_t>(), step.to<int64_t>(),
                                  dtype.value_or(kInt64))
                  : floating_range(start.to<double>(), end.to<double>(), step.to<double>(),
                                   dtype.value_or(kFloat32));
}
Tensor arange(Scalar end) { return arange(end.dtype() == kInt64 ? Scalar(0) : Scalar(0.0), end); }

Tensor linspace(double start, double end, int64_t steps, Dtype dtype) {
  if (steps < 0) fail<ShapeError>("linspace: the number of steps is negative: {}", steps);
  if (!std::isfinite(end - start)) fail("linspace: end - start is not finite: {} … {}", start, end);
  Tensor x = make_empty({steps}, dtype, "linspace");
  launch(kernels::Linspace{writes(x), start, end});
  return x;
}

Tensor eye(int64_t n, Dtype dtype) {
  Tensor x = make_empty({n, n}, dtype, "eye");
  launch(kernels::Eye{writes(x)});
  return x;
}

Tensor rand(const Shape& shape, Dtype dtype) {
  const Tensor x = drawn("rand", shape, dtype, false);
  // A double just below 1 rounds to 1 as a float.
  return dtype == kFloat32 ? minimum(x, 0x1.fffffep-1) : x;
}
Tensor randn(const Shape& shape, Dtype dtype) { return drawn("randn", shape, dtype, true); }

Tensor tensor(Scalar value, std::optional<Dtype> dtype) {
  const Dtype d = dtype.value_or(value.dtype());
  return filled("tensor", {}, value, d);
}

Tensor Tensor::of_number(Scalar number) {
  return tensor(number, is_floating(number.dtype()) ? kFloat64 : kInt64);
}

Tensor detail::tensor_from(const void* values, Dtype from, int64_t n, const Shape& shape,
                           std::optional<Dtype> dtype) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }))
    fail<ShapeError>("tensor: a size is negative: {} for {} values; reshape() infers one that is -1", shape,
                     n);
  if (shape.numel("tensor") != n) fail<ShapeError>("tensor: {} values do not fill {}", n, shape);
  check_not_recording("tensor");
  Tensor x = make_empty(shape, dtype.value_or(is_floating(from) ? kFloat32 : from));
  kernels::Copy{writes(x), {{nullptr, const_cast<void*>(values), &x.layout(), from}}}.run();
  return x;
}

}  // namespace gradus
