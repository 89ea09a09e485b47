#pragma once
#include <gradus/optim/optimizer.h>

#include <limits>

#pragma GCC visibility push(default)

namespace gradus::optim {

/// What SGD's formulas name. lr has no default, as in PyTorch 1.13: NaN stands for one that was not given.
struct SGDOptions {
  double lr = std::numeric_limits<double>::quiet_NaN();  // the learning rate

  double momentum = 0;      // how much of the last step is kept
  double dampening = 0;     // how much of the gradient is left out of m, at most 1
  double weight_decay = 0;  // the L2 penalty's factor
  bool nesterov = false;    // look ahead: see the formula
};

/// Stochastic gradient descent, with momentum as PyTorch defines it:
///
///   g = grad + weight_decay · x
///   m = momentum · m + (1 - dampening) · g        (at first m = g)
///   x = x - lr · m,  or with nesterov: x - lr · (g + momentum · m)
///
/// Without momentum m is g. Nesterov's form is that of Sutskever, Martens, Dahl and Hinton 2013, "On the
/// importance of initialization and momentum in deep learning"; it takes a momentum and no dampening.
class SGD final : public Optimizer {
 public:
  /// Throws for options outside their domain, also as numbers of the parameters' dtype, and as Optimizer
  /// does.
  SGD(Tensors parameters, SGDOptions options);
};

}  // namespace gradus::optim

#pragma GCC visibility pop
