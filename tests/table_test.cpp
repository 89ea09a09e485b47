#include "table_support.h"

#include <functional>

namespace gradus::table {
namespace {

/// A power of two, so that adding it to the samples is exact.
constexpr double kStep = 0x1p-17;
constexpr double kTolerance = 1e-7;

/// Σ g·y, added up in float64.
double weighted_sum(const Tensors& y, const Tensors& g) {
  double sum = 0;
  for (size_t k = 0; k < y.size(); k++) {
    const auto a = y[k].to_vector(), b = g[k].to_vector();
    for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  }
  return sum;
}

/// Compares `analytic` with central differences of `f` in every element of every x; names the first that
/// differs.
void expect_central_differences(const Tensors& x, const Tensors& analytic,
                                const std::function<double(const Tensors&)>& f, const std::string& where) {
  for (size_t i = 0; i < x.size(); i++) {
    ASSERT_EQ(analytic[i].shape().str(), x[i].shape().str()) << where << ", input " << i;
    const auto a = analytic[i].to_vector();
    Tensors moved = x;
    for (int64_t e = 0; e < x[i].numel(); e++) {
      moved[i] = shifted(x[i], e, kStep);
      const double above = f(moved);
      moved[i] = shifted(x[i], e, -kStep);
      const double numeric = (above - f(moved)) / (2 * kStep);
      const double got = a[static_cast<size_t>(e)];
      ASSERT_LE(std::abs(got - numeric), kTolerance * std::max(1.0, std::abs(numeric)))
          << where << ", input " << i << ", element " << e << ": gradient " << got << ", central difference "
          << numeric;
    }
  }
}

/// Puts changed floating inputs among the others.
Tensors merged(const Tensors& inputs, const Tensors& floating) {
  Tensors all = inputs;
  size_t k = 0;
  for (Tensor& t : all)
    if (is_floating(t.dtype())) t = floating[k++];
  return all;
}

void check_first_order(const OpRow& row, const OpSample& sample, const std::string& where, uint32_t seed) {
  const Tensors all = leaves(sample.inputs), x = floating_of(all);
  const Tensors y = recorded_of(run(row, all, sample.attrs)), g = random_gradients(y, seed);
  const auto f = [&](const Tensors& moved) {
    return weighted_sum(recorded_of(run(row, leaves(merged(sample.inputs, moved)), sample.attrs)), g);
  };
  expect_central_differences(x, gradients(y, x, g), f, where);
}

void check_second_order(const OpRow& row, const OpSample& sample, const std::string& where, uint32_t seed) {
  const Tensors all = leaves(sample.inputs), x = floating_of(all);
  const Tensors y = recorded_of(run(row, all, sample.attrs));
  if (y.empty()) return;
  Tensors g = random_gradients(y, seed);
  for (Tensor& t : g) t.requires_grad_();
  // S = Σ v·dx is a function of x and g.
  const Tensors dx = gradients(y, x, g, true), v = random_gradients(dx, seed + 1);
  Tensors variables = x, recorded, weights;
  variables.insert(variables.end(), g.begin(), g.end());
  for (size_t i = 0; i < dx.size(); i++)
    if (dx[i].requires_grad()) {
      recorded.push_back(dx[i]);
      weights.push_back(v[i]);
    }
  const auto s = [&](const Tensors& moved) {
    const auto first_g = moved.begin() + static_cast<int64_t>(x.size());
    const Tensors at = leaves(merged(sample.inputs, {moved.begin(), first_g})), go(first_g, moved.end());
    const Tensors out = recorded_of(run(row, at, sample.attrs));
    return weighted_sum(gradients(out, floating_of(at), go), v);
  };
  expect_central_differences(variables, gradients(recorded, variables, weights), s,
                             where + " (second order)");
}

/// Inputs a little elsewhere, for the long form; no sample stands near a kink.
OpSample jittered(const OpRow& row, const OpSample& sample, int64_t round) {
  if (round == 0 || std::string(row.name) == "to") return sample;
  OpSample moved = sample;
  NumpyRandom random(round);
  for (Tensor& x : moved.inputs)
    if (is_floating(x.dtype())) {
      std::vector<double> factors = random.uniform(0.999, 1.001, x.numel());
      x = x * tensor(factors, x.shape(), x.dtype());
    }
  return moved;
}

TEST(Table, FirstOrderIsTheCentralDifference) {
  for_each_sample(differentiable, [](const OpRow& row, const OpSample& sample, size_t k) {
    for (int64_t round = 0; round < (is_long() ? 25 : 1); round++)
      check_first_order(row, jittered(row, sample, round), place(row, k), static_cast<uint32_t>(7 + round));
  });
}

TEST(Table, SecondOrderIsTheCentralDifferenceOfTheFirst) {
  for_each_sample([](const OpRow& row) { return row.orders > 1; },
                  [](const OpRow& row, const OpSample& sample, size_t k) {
                    for (int64_t round = 0; round < (is_long() ? 10 : 1); round++)
                      check_second_order(row, jittered(row, sample, round), place(row, k),
                                         static_cast<uint32_t>(11 + round));
                  });
}

TEST(Table, AWrongGradientIsFound) {
  const Tensors x = {scattered({2, 2})};
  const auto f = [](const Tensors& at) { return (at[0] * at[0]).sum().item(); };
  const auto failures = [&](const Tensor& dx) {
    testing::TestPartResultArray results;
    {
      testing::ScopedFakeTestPartResultReporter reporter(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      expect_central_differences(x, {dx}, f, "square");
    }
    return results.size() ? std::string(results.GetTestPartResult(0).message()) : std::string();
  };
  EXPECT_EQ(failures(2 * x[0]), "");
  EXPECT_NE(
      failures(2 * x[0] + tensor({0., 0., 1e-5, 0.}, kFloat64).reshape({2, 2})).find("input 0, element 2"),
      std::string::npos);
  EXPECT_NE(failures(-2 * x[0]).find("element 0"), std::string::npos);
  EXPECT_NE(failures(zeros({4}, kFloat64)), "");
}

// The differentiable rules and the fused kernels are one text; what differs is at most a rounding.
TEST(Table, GradientsUnderCreateGraphAreTheFusedOnes) {
  for_each_sample(differentiable, [](const OpRow& row, const OpSample& sample, size_t k) {
    const Tensors all = leaves(sample.inputs), x = floating_of(all);
    const Tensors y = recorded_of(run(row, all, sample.attrs)), g = random_gradients(y, 3);
    const Tensors recorded = gradients(y, x, g, true), fused = gradients(y, x, g);
    for (size_t i = 0; i < x.size(); i++) {
      const auto a = fused[i].to_vector(), b = recorded[i].to_vector();
      for (size_t e = 0; e < a.size(); e++)
        ASSERT_LE(ulps_between(a[e], b[e]), 4)
            << place(row, k) << ", input " << i << ", element " << e << ": " << a[e] << " and " << b[e];
    }
  });
}

}  // namespace
}  // namespace gradus::table
