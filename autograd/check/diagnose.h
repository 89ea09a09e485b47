#pragma once
#include <gradus/autograd/check/report.h>

#include <cmath>
#include <functional>
#include <optional>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// A right gradient of zero may be this far off.
inline constexpr double kRounding = 1e-14;
/// A sum of terms of the size of the largest derivative, computed in float32, may be this far off.
inline constexpr double kFloatRounding = 0x1p-18;
/// How far a and n may differ where the input's largest derivative is `scale`.
inline double tolerance(double a, double n, double scale, double atol, double rtol, bool floats) {
  return rtol * std::max(std::abs(a), std::abs(n)) + atol * std::min(1.0, scale) + kRounding +
         (floats ? kFloatRounding * scale : 0);
}

/// All that is known when a gradient is diagnosed.
struct Evidence {
  struct Input {
    const GradcheckInput* checked;
    std::vector<double> values;    // of the input
    std::vector<double> analytic;  // [rows, elements]
    std::vector<double> numeric;   // the same; NaN where it was not measured, or cannot be trusted
    double scale;                  // the largest derivative
    bool right;                    // nothing wrong was found
    bool floats;                   // the gradient was computed in float32
  };
  /// A gradient in place of the one that was found, by row and element.
  using Correction = std::function<double(size_t row, size_t element)>;

  std::vector<Input> inputs;
  Shape result_shape;
  std::vector<std::pair<std::string, int64_t>> sizes;  // named by the caller
  Tensors seeds;                                       // the incoming gradient of each row
  double atol, rtol;

  /// Whether a may be the derivative that was measured.
  bool agrees(double a, const GradcheckElement& e, const Input& in) const;
  /// How well c explains what was measured; nothing where it does not, at any one element.
  std::optional<double> explains(const Correction& c, const Input& in) const;
};

/// What is wrong with input i, as far as the numbers alone tell: a sign, a factor, a transpose, another
/// input's gradient, weight decay.
std::optional<Diagnosis> diagnose(const Evidence& evidence, size_t i);
/// Where input i is wrong, when nothing tells why.
Diagnosis describe(const Evidence& evidence, size_t i);

}  // namespace gradus::detail

#pragma GCC visibility pop
