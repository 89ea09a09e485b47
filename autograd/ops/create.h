#pragma once
#include <gradus/autograd/base/random.h>
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// Uninitialised elements: every one must be written before it is read.
Tensor empty(const Shape& shape, Dtype dtype = kFloat32);
/// All 0.
Tensor zeros(const Shape& shape, Dtype dtype = kFloat32);
/// All 1.
Tensor ones(const Shape& shape, Dtype dtype = kFloat32);
/// All `value`, converted as Tensor::to does.
Tensor full(const Shape& shape, Scalar value, Dtype dtype = kFloat32);
/// All 0, of x's shape and dtype.
Tensor zeros_like(const Tensor& x);
/// All 1, of x's shape and dtype.
Tensor ones_like(const Tensor& x);
/// start, start + step … before end, which no element reaches in float32 or float64. int64 if all three are
/// integers, which are counted exactly, else float32, unless a dtype is given.
Tensor arange(Scalar start, Scalar end, Scalar step = 1, std::optional<Dtype> dtype = {});
Tensor arange(Scalar end);
/// `steps` numbers from start to end, both included; an Error where end - start is not finite.
Tensor linspace(double start, double end, int64_t steps, Dtype dtype = kFloat32);
/// The n x n identity matrix.
Tensor eye(int64_t n, Dtype dtype = kFloat32);
/// Uniform on [0, 1) as numbers of the dtype, from the default generator (manual_seed).
Tensor rand(const Shape& shape, Dtype dtype = kFloat32);
/// Standard normal, from the default generator.
Tensor randn(const Shape& shape, Dtype dtype = kFloat32);

namespace detail {
Tensor tensor_from(const void* values, Dtype from, int64_t n, const Shape& shape, std::optional<Dtype> dtype);
/// The type that a C++ number is kept in.
template <class T>
using element_t = std::conditional_t<
    std::is_same_v<T, bool>, bool,
    std::conditional_t<std::is_same_v<T, uint8_t>, uint8_t,
                       std::conditional_t<std::is_integral_v<T>, int64_t,
                                          std::conditional_t<std::is_same_v<T, float>, float, double>>>>;
/// The n numbers from `first` on, converted as Scalar does.
template <class T, class It>
std::vector<element_t<T>> elements(It first, int64_t n) {
  auto values = make_vector<element_t<T>>("tensor", n);
  for (auto&& value : values) value = Scalar(static_cast<T>(*first++)).template to<element_t<T>>();
  return values;
}
}  // namespace detail

/// A number as a 0-d tensor: float32, int64 or bool, unless a dtype is given: then as full().
Tensor tensor(Scalar value, std::optional<Dtype> dtype = {});
/// A 1-d tensor of the values: float32 for floating C++ types (float64 must be asked for), int64 for
/// integers, which are at most 2^63 - 1.
template <class T>
requires std::is_arithmetic_v<T> Tensor tensor(std::initializer_list<T> values,
                                               std::optional<Dtype> dtype = {}) {
  const int64_t n = static_cast<int64_t>(values.size());
  return tensor(detail::elements<T>(values.begin(), n), Shape{n}, dtype);
}
/// A matrix of rows of equal length: tensor({{1., 2.}, {3., 4.}}).
template <class T>
requires std::is_arithmetic_v<T> Tensor tensor(std::initializer_list<std::initializer_list<T>> rows,
                                               std::optional<Dtype> dtype = {}) {
  std::vector<detail::element_t<T>> values;
  const size_t n = rows.size() ? rows.begin()->size() : 0;
  for (const auto& row : rows) {
    if (row.size() != n) fail<ShapeError>("tensor: rows of different lengths: {} and {}", n, row.size());
    for (const T value : row) values.push_back(Scalar(value).to<detail::element_t<T>>());
  }
  return tensor(values, Shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(n)}, dtype);
}
/// The values in row-major order; `shape` must hold as many.
template <class T>
requires std::is_arithmetic_v<T> Tensor tensor(const std::vector<T>& values, const Shape& shape,
                                               std::optional<Dtype> dtype = {}) {
  using E = detail::element_t<T>;
  const int64_t n = static_cast<int64_t>(values.size());
  if constexpr (std::is_same_v<T, E> && !std::is_same_v<T, bool>) {
    return detail::tensor_from(values.data(), dtype_of<E>, n, shape, dtype);
  } else if constexpr (std::is_same_v<E, bool>) {
    const auto bytes = detail::elements<uint8_t>(values.begin(), n);
    return detail::tensor_from(bytes.data(), kUInt8, n, shape, dtype.value_or(kBool));
  } else {
    return tensor(detail::elements<T>(values.begin(), n), shape, dtype);
  }
}
template <class T>
requires std::is_arithmetic_v<T> Tensor tensor(const std::vector<T>& values,
                                               std::optional<Dtype> dtype = {}) {
  return tensor(values, Shape{static_cast<int64_t>(values.size())}, dtype);
}

}  // namespace gradus

#pragma GCC visibility pop
