#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// What becomes of the losses of the elements: each by itself, their mean, or their sum.
enum class Reduction { None, Mean, Sum };

/// (x - target)². Throws where x and target differ in shape.
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::Mean);
/// -w (t ln p + (1 - t) ln(1 - p)) for probabilities p in [0, 1], logarithms clamped at -100 as in PyTorch.
/// Throws for p outside [0, 1] or NaN and where p and target differ in shape. weight broadcasts to p's shape;
/// undefined: 1.
Tensor binary_cross_entropy(const Tensor& p, const Tensor& target, const Tensor& weight = {},
                            Reduction reduction = Reduction::Mean);
/// The same of sigmoid(z), without overflow or loss of digits: max(z, 0) - z t + ln(1 + e^-|z|).
/// pos_weight multiplies the loss of positive examples; both weights broadcast to z's shape.
Tensor binary_cross_entropy_with_logits(const Tensor& z, const Tensor& target, const Tensor& weight = {},
                                        const Tensor& pos_weight = {}, Reduction reduction = Reduction::Mean);
/// -w[t] x[…, t, …]: x [n, classes, …] are log-probabilities, target int64 [n, …] (or x [classes], target
/// 0-d). Targets equal to ignore_index count for nothing; the mean is over the weights w[t] of the others (of
/// none: NaN).
Tensor nll_loss(const Tensor& x, const Tensor& target, const Tensor& weight = {},
                Reduction reduction = Reduction::Mean, int64_t ignore_index = -100);
/// nll_loss of log_softmax(x): x [n, classes, …] or [classes], target int64 as there, or probabilities of x's
/// shape. label_smoothing s mixes the target with the uniform distribution: (1 - s) t + s / classes.
Tensor cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight = {},
                     Reduction reduction = Reduction::Mean, int64_t ignore_index = -100,
                     double label_smoothing = 0);

}  // namespace gradus

#pragma GCC visibility pop
