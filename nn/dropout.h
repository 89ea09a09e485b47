#pragma once
#include <gradus/nn/visitor.h>

#pragma GCC visibility push(default)

namespace gradus::nn {

/// In training, y = x · mask / (1 - p), where each element of the mask is 0 with probability p, else 1, drawn
/// from the default generator (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, "Dropout";
/// scaled in training as in PyTorch, so that evaluation is y = x). What is dropped is 0, and has gradient 0,
/// also where x is infinite; p = 1 gives zeros. Throws for p outside [0, 1].
struct Dropout {
  bool training = true;  // the mode: train() and eval() set it
  /// p: how often an element is 0.
  explicit Dropout(double p = 0.5);
  Tensor operator()(const Tensor& x) const;
  /// The probability.
  double p() const { return p_; }
  void visit(Visitor& v) { v("training", training); }

 private:
  double p_;
};

}  // namespace gradus::nn

#pragma GCC visibility pop
