#pragma once
#include <gradus/autograd/base/random.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/table.h>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

/// What the tests that loop over the op table share.
namespace gradus::table {

/// GRADUS_LONG=1 widens the sampling.
inline bool is_long() { return std::getenv("GRADUS_LONG") != nullptr; }

inline bool in_place(const OpRow& row) {
  const std::string name = row.name;
  return name.back() == '_';
}

/// Random multiples of 1/256 in about [-3, 3]: exact in float32, never all ones.
inline Tensor random_like(const Tensor& x, NumpyRandom& random) {
  std::vector<double> values = random.randn(x.numel());
  for (double& v : values) v = std::round(v * 256) / 256;
  return tensor(values, x.shape(), x.dtype());
}

/// Where a failure is: `add, sample 1, input 0, element 5`.
inline std::string place(const OpRow& row, size_t sample, const std::string& detail = {}) {
  return std::string(row.name) + ", sample " + std::to_string(sample) + (detail.empty() ? "" : ", ") + detail;
}

/// Calls f(row, sample, its number) for every sample of every row that `choose` takes.
template <class Choose, class F>
void for_each_sample(Choose choose, F f) {
  int64_t calls = 0;
  for (const OpRow& row : op_table()) {
    if (!choose(row)) continue;
    const auto samples = row.samples();
    for (size_t k = 0; k < samples.size(); k++, calls++) {
      SCOPED_TRACE(place(row, k));
      try {
        f(row, samples[k], k);
      } catch (const std::exception& e) {
        ADD_FAILURE() << place(row, k) << " threw: " << e.what();
      }
    }
  }
  EXPECT_GT(calls, 0) << "nothing was checked";
}
inline bool any_row(const OpRow&) { return true; }
inline bool differentiable(const OpRow& row) { return row.orders > 0; }

/// Copies of the inputs as leaves; bit i of `wanted`: floating input i requires a gradient.
inline Tensors leaves(const Tensors& inputs, unsigned wanted = ~0u) {
  Tensors x;
  for (size_t i = 0; i < inputs.size(); i++) {
    Tensor leaf = inputs[i].detach().clone();
    if (is_floating(leaf.dtype()) && wanted >> i & 1) leaf.requires_grad_();
    x.push_back(leaf);
  }
  return x;
}

/// The row's results. What an in-place op overwrites is a copy of the input, so that inputs may be leaves.
inline Tensors run(const OpRow& row, Tensors inputs, const Attrs& attrs) {
  if (in_place(row) && !inputs.empty()) inputs[0] = inputs[0].clone();
  return row.call(inputs, attrs);
}

/// The inputs that have gradients, and the results that have.
inline Tensors floating_of(const Tensors& x) {
  Tensors f;
  for (const Tensor& t : x)
    if (is_floating(t.dtype())) f.push_back(t);
  return f;
}
inline Tensors recorded_of(const Tensors& y) {
  Tensors r;
  for (const Tensor& t : y)
    if (t.requires_grad()) r.push_back(t);
  return r;
}
inline Tensors random_gradients(const Tensors& y, uint32_t seed) {
  NumpyRandom random(seed);
  Tensors g;
  for (const Tensor& t : y) g.push_back(random_like(t, random));
  return g;
}

/// The gradients of Σ g·y for the inputs x; zeros where there is none.
inline Tensors gradients(const Tensors& y, const Tensors& x, const Tensors& g, bool create_graph = false) {
  Tensors dx;
  if (y.empty()) {
    for (const Tensor& t : x) dx.push_back(zeros_like(t));
    return dx;
  }
  dx = grad(y, x, g, {.create_graph = create_graph, .allow_unused = true});
  for (size_t i = 0; i < x.size(); i++)
    if (!dx[i].defined()) dx[i] = zeros_like(x[i]);
  return dx;
}

/// The elements as they lie in memory, row by row.
inline std::vector<std::byte> bytes_of(const Tensor& x) {
  const Tensor row = x.detach().contiguous();
  return {row.raw(), row.raw() + row.numel() * item_size(row.dtype())};
}
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && bytes_of(a) == bytes_of(b);
}

/// How many float64 numbers lie between a and b.
inline double ulps_between(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  if (!std::isfinite(a) || !std::isfinite(b)) return INFINITY;
  const double ulp =
      std::nextafter(std::max(std::abs(a), std::abs(b)), INFINITY) - std::max(std::abs(a), std::abs(b));
  return std::abs(a - b) / ulp;
}

/// One element more or less by `by`.
inline Tensor shifted(const Tensor& x, int64_t element, double by) {
  Tensor y = x.detach().clone();
  if (y.dtype() == kFloat32)
    y.mutable_data<float>()[element] += static_cast<float>(by);
  else
    y.mutable_data<double>()[element] += by;
  return y;
}

}  // namespace gradus::table
