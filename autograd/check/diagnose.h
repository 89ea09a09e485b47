#pragma once
#include <gradus/autograd/check/report.h>

#include <cmath>

namespace gradus::detail {

/// All that is known when a gradient is diagnosed.
struct Evidence {
  struct Input {
    const GradcheckInput* checked;
    std::vector<double> values;    // of the input
    std::vector<double> analytic;  // [rows, elements]
    std::vector<double> numeric;   // the same; NaN where it was not measured, or cannot be trusted
  };
  std::vector<Input> inputs;
  Shape result_shape;
  std::vector<double> result;
  std::vector<std::pair<std::string, int64_t>> sizes;  // named by the caller
  double atol, rtol;
};

/// A right gradient of zero may be this far off.
inline constexpr double kRounding = 1e-14;
/// How far a and n may differ where the input's largest derivative is `scale`.
inline double tolerance(double a, double n, double scale, double atol, double rtol) {
  return rtol * std::max(std::abs(a), std::abs(n)) + atol * std::min(1.0, scale) + kRounding;
}

/// The first explanation, from the simplest on, of what is wrong with input i.
Diagnosis diagnose(const Evidence& evidence, size_t i);

}  // namespace gradus::detail
