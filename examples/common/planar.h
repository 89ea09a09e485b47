#pragma once
#include <common/training.h>

namespace gradus::examples {

/// The first tutorial's network, 2 -> hidden units -> 1: z = w2 activation(w1 x + b1) + b2, a = sigmoid(z),
/// or tanh(z) as the tutorial prints it. Weights are the tutorial's, numpy_random(seed).randn · 0.01, and
/// biases 0.
struct PlanarNetwork {
  nn::Sequential layers;
  bool ends_in_tanh;

  PlanarNetwork(int64_t hidden, const std::string& activation, const std::string& output, Dtype dtype,
                int64_t seed = 2);
  /// The outputs a for points x [m, 2]: the class is 1 where a > 1/2.
  Tensor operator()(const Tensor& x) const;
  /// -mean(y ln a + (1 - y) ln(1 - a)). With tanh it is NaN where an a is below 0, and its gradient is the
  /// tutorial's dz = (a - y) / m, which belongs to the sigmoid.
  Tensor cost(const Tensor& x, const Tensor& y) const;
  void visit(nn::Visitor& v) { v("layers", layers); }
};

}  // namespace gradus::examples
