#pragma once
#include <gradus/autograd/ops/loss.h>

#pragma GCC visibility push(default)

namespace gradus::nn {

/// (x - target)²; see mse_loss.
struct MSELoss {
  Reduction reduction = Reduction::Mean;  // of the elements
  Tensor operator()(const Tensor& x, const Tensor& target) const { return mse_loss(x, target, reduction); }
};

/// -w (t ln p + (1 - t) ln(1 - p)) of probabilities p; see binary_cross_entropy.
struct BCELoss {
  Tensor weight = {};                     // w, which broadcasts; undefined: 1
  Reduction reduction = Reduction::Mean;  // of the elements
  Tensor operator()(const Tensor& p, const Tensor& target) const {
    return binary_cross_entropy(p, target, weight, reduction);
  }
};

/// BCELoss of sigmoid(z), without overflow; see binary_cross_entropy_with_logits.
struct BCEWithLogitsLoss {
  Tensor weight = {};                     // w, which broadcasts; undefined: 1
  Reduction reduction = Reduction::Mean;  // of the elements
  Tensor pos_weight = {};                 // multiplies the loss of positive examples; undefined: 1
  Tensor operator()(const Tensor& z, const Tensor& target) const {
    return binary_cross_entropy_with_logits(z, target, weight, pos_weight, reduction);
  }
};

}  // namespace gradus::nn

#pragma GCC visibility pop
