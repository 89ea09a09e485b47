#pragma once
#include <gradus/optim/optimizer.h>

namespace gradus::optim {

/// lr has no default, as in PyTorch 1.13.
struct SGDOptions {
  double lr;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
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
  SGD(Tensors parameters, SGDOptions options);

 private:
  void update(Tensor& x, const Tensor& g, State& state) override;
  SGDOptions options_;
};

}  // namespace gradus::optim
