#pragma once
#include <gradus/gradus.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <random>
#include <vector>

#include "text_support.h"

/// What the tests of the core and of gradcheck share. It does not use gradcheck: the core is proved before
/// it.
namespace gradus {

inline Tensor values(const std::vector<double>& v, const Shape& shape) { return tensor(v, shape, kFloat64); }
inline Tensor leaf(const std::vector<double>& v, const Shape& shape) {
  return values(v, shape).requires_grad_();
}
inline Tensor leaf(const std::vector<double>& v) { return leaf(v, {static_cast<int64_t>(v.size())}); }

/// Standard normal float64 numbers, NumPy's of that seed.
inline Tensor normal(const Shape& shape, int64_t seed = 1) {
  return values(numpy_random(seed).randn(shape.numel()), shape);
}

/// Float64 numbers in (-1, 1), the same for the same seed.
inline Tensor noise(const Shape& shape, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> v(static_cast<size_t>(shape.numel()));
  for (double& e : v) e = uniform(random);
  return values(v, shape);
}

/// The elements of x are `wanted`, each within `tolerance`.
inline testing::AssertionResult equals(const Tensor& x, const std::vector<double>& wanted,
                                       double tolerance = 0) {
  if (!x.defined()) return testing::AssertionFailure() << "the tensor is undefined";
  const std::vector<double> v = x.to_vector();
  bool same = v.size() == wanted.size();
  for (size_t i = 0; same && i < v.size(); i++) {
    if (std::isnan(wanted[i]))
      same = std::isnan(v[i]);
    else
      same = v[i] == wanted[i] || std::abs(v[i] - wanted[i]) <= tolerance;
  }
  if (same) return testing::AssertionSuccess();
  return testing::AssertionFailure() << str(x) << " is not " << testing::PrintToString(wanted);
}
inline testing::AssertionResult equals(const Tensor& x, const Tensor& wanted, double tolerance = 0) {
  if (x.defined() && !(x.shape() == wanted.shape()))
    return testing::AssertionFailure() << "shape " << x.shape().str() << " is not " << wanted.shape().str();
  return equals(x, wanted.to_vector(), tolerance);
}

/// log(1 + eˣ) as a user writes an op: its rule keeps x.
inline Tensor log1pexp(const Tensor& x) {
  return custom(
      "log1pexp", {x},
      [](Context& ctx, const Tensors& in) {
        ctx.save(in[0]);
        return log1p(exp(in[0]));
      },
      [](const Context& ctx, const Tensor& g) -> Tensors { return {g * sigmoid(ctx[0])}; });
}

/// Runs f on a thread with a stack of 256 KiB, on which a recursion over a graph would not get far.
template <class F>
void on_small_stack(F f) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  const auto run = [](void* g) -> void* { return (*static_cast<F*>(g))(), nullptr; };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &f), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

/// The processor time that f takes, so that other programs do not count.
inline double seconds_of(const std::function<void()>& f) {
  const auto now = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  double best = 1e9;
  for (int i = 0; i < 3; i++) {
    const double start = now();
    f();
    best = std::min(best, now() - start);
  }
  return best;
}

using Function = std::function<Tensor(const Tensors&)>;

/// The worst difference between the gradients of f, in a random direction of its results, and central
/// differences; of all orders up to `order`.
inline double gradient_error(const Function& f, const Tensors& at, int order) {
  Tensors x;
  for (const Tensor& t : at) x.push_back(t.detach().clone().requires_grad_());
  const Tensor y = f(x);
  const Tensor v = noise(y.shape(), 7);
  const Tensors g = grad({y}, x, {v}, {.allow_unused = true});
  double worst = 0;
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < x.size(); i++)
    for (int64_t k = 0; k < x[i].numel(); k++) {
      const auto moved = [&](double by) {
        NoGrad no_grad;
        Tensors z = at;
        z[i] = at[i].detach().clone();
        z[i].reshape({-1}).select(0, k).add_(by);
        return (f(z) * v).sum().item();
      };
      const double numeric = (moved(kStep) - moved(-kStep)) / (2 * kStep);
      const double analytic = g[i].defined() ? g[i].reshape({-1}).at({k}) : 0;
      worst = std::max(worst, std::abs(analytic - numeric));
    }
  if (order == 1) return worst;
  const Function gradient = [&](const Tensors& z) {
    EnableGrad recording;
    Tensors in;
    for (const Tensor& t : z) in.push_back(t.requires_grad() ? t : t.detach().clone().requires_grad_());
    const Tensors first = grad({f(in)}, in, {v}, {.create_graph = true, .allow_unused = true});
    Tensor s = zeros({}, kFloat64);
    for (size_t i = 0; i < in.size(); i++)
      if (first[i].defined()) s = s + (first[i] * noise(in[i].shape(), 11 + static_cast<uint32_t>(i))).sum();
    // Where no gradient depends on an input any more, the check still needs a path to it.
    for (const Tensor& t : in) s = s + 0 * t.sum();
    return s;
  };
  return std::max(worst, gradient_error(gradient, at, order - 1));
}

}  // namespace gradus
