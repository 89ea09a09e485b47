#pragma once
#include <gradus/optim/optimizer.h>

namespace gradus::optim {

struct RMSpropOptions {
  double lr = 0.01;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
};

/// RMSprop (Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6.5), as PyTorch
/// defines it:
///
///   g = grad + weight_decay · x
///   v = alpha v + (1 - alpha) g²
///   x = x - lr · g / (√v + eps),  or with momentum: b = momentum · b + g / (√v + eps),  x = x - lr · b
///
/// centered takes v - a², a = alpha a + (1 - alpha) g, for v: the gradient's variance (Graves 2013,
/// "Generating sequences with recurrent neural networks").
class RMSprop final : public Optimizer {
 public:
  explicit RMSprop(Tensors parameters, RMSpropOptions options = {});

 private:
  void update(Tensor& x, const Tensor& g, State& state) override;
  RMSpropOptions options_;
};

}  // namespace gradus::optim
