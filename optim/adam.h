#pragma once
#include <gradus/optim/optimizer.h>

#pragma GCC visibility push(default)

namespace gradus::optim {

/// What Adam's formulas name.
struct AdamOptions {
  double lr = 1e-3;                            // the learning rate
  std::array<double, 2> betas = {0.9, 0.999};  // β₁ and β₂
  double eps = 1e-8;                           // keeps the quotient finite
  double weight_decay = 0;                     // the L2 penalty's factor
  bool amsgrad = false;                        // the largest v so far is taken
};

/// Adam (Kingma and Ba 2015, "Adam: a method for stochastic optimization"), as PyTorch defines it, t the step
/// count:
///
///   g = grad + weight_decay · x                                     (L2)
///   m = β₁ m + (1 - β₁) g,   v = β₂ v + (1 - β₂) g²
///   x = x - lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps)
///
/// With amsgrad the largest v so far takes v's place (Reddi, Kale and Kumar 2018, "On the convergence of Adam
/// and beyond").
class Adam final : public Optimizer {
 public:
  /// Throws for options outside their domain, also as numbers of the parameters' dtype, and as Optimizer
  /// does.
  explicit Adam(Tensors parameters, AdamOptions options = {});
};

}  // namespace gradus::optim

#pragma GCC visibility pop
