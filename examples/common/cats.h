#pragma once
#include <common/svg.h>
#include <common/training.h>

namespace gradus::examples {

/// Numbers of a picture of the second tutorial: 64 x 64 pixels of three colours.
inline constexpr int64_t kCatPixels = 64 * 64 * 3;

/// The second tutorial's network: z = linear layers with relu between them, a = sigmoid(z). Weights are
/// numpy_random(seed).randn / sqrt(fan_in), and biases 0.
struct CatsNetwork {
  nn::Sequential layers;
  double clip;

  /// `clip` > 0 keeps the probabilities in the cost that far away from 0 and 1.
  CatsNetwork(const std::vector<int64_t>& sizes, Dtype dtype, int64_t seed, double dropout = 0,
              double clip = 0);
  /// The probability that each picture of x [m, 12288] shows a cat.
  Tensor operator()(const Tensor& x) const;
  /// -mean(y ln a + (1 - y) ln(1 - a))
  Tensor cost(const Tensor& x, const Tensor& y) const;
  void visit(nn::Visitor& v) { v("layers", layers); }
};

/// The pictures that the network gets wrong, a[i] being the probability that picture i shows a cat.
PictureGrid mislabelled(const Dataset& data, const std::vector<double>& a,
                        const std::vector<std::string>& classes);

}  // namespace gradus::examples
