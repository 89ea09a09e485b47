#pragma once
#include <gradus/optim/optimizer.h>

#pragma GCC visibility push(default)

namespace gradus::optim {

/// What RMSprop's formulas name.
struct RMSpropOptions {
  double lr = 0.01;         // the learning rate
  double alpha = 0.99;      // how much of v is kept, below 1
  double eps = 1e-8;        // keeps the quotient finite
  double weight_decay = 0;  // the L2 penalty's factor
  double momentum = 0;      // how much of the last step is kept
  bool centered = false;    // divide by the deviation from the mean gradient
};

/// RMSprop (Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6.5), as PyTorch
/// defines it:
///
///   g = grad + weight_decay · x
///   v = alpha v + (1 - alpha) g²
///   x = x - lr · g / (√v + eps),  or with momentum: b = momentum · b + g / (√v + eps),  x = x - lr · b
///
/// centered takes v - a², a = alpha a + (1 - alpha) g, for v: the gradient's variance (Graves 2013,
/// "Generating sequences with recurrent neural networks"), which counts as at least a last digit of v.
class RMSprop final : public Optimizer {
 public:
  /// Throws for options outside their domain, also as numbers of the parameters' dtype, and as Optimizer
  /// does.
  explicit RMSprop(Tensors parameters, RMSpropOptions options = {});
};

}  // namespace gradus::optim

#pragma GCC visibility pop
