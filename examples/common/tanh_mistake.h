#pragma once
#include <common/handmade.h>
#include <gradus/autograd/check/gradcheck.h>

/// The first tutorial's mistake: its network ends in tanh, but its backward pass starts with dZ2 = A2 - Y.
/// Samples are columns, as in the tutorial.
namespace gradus::examples {

/// The flower, and two places in the space of the parameters: where the tutorial starts, and one where all
/// outputs tanh(z2) lie in (0, 1), so that they have logarithms.
struct TanhMistake {
  Tensor x, y;
  Shallow start, elsewhere;

  TanhMistake();
};

/// A cost as a function of the output layer's z2 and the labels.
using OutputCost = Tensor (*)(const Tensor& z2, const Tensor& y);

/// -mean(y ln a2 + (1 - y) ln(1 - a2)) with a2 = tanh z2, as the tutorial prints it, and with a2 = σ(z2).
Tensor as_printed(const Tensor& z2, const Tensor& y);
Tensor with_sigmoid(const Tensor& z2, const Tensor& y);
/// Labels t are -1 and 1, and (1 + tanh z2) / 2 is the probability.
Tensor with_rescaled_labels(const Tensor& z2, const Tensor& t);
/// mean(ln cosh z2 - y z2), where ln cosh z = softplus(2z) - z - ln 2. Its derivative by z2 is tanh z2 - y.
Tensor log_cosh(const Tensor& z2, const Tensor& y);

/// The output layer's z2 at p.
Tensor output_z(const Shallow& p, const Tensor& x);

/// The tutorial's hand-derived gradients W1, b1, W2, b2 at p against numeric ones of a cost.
GradcheckReport check_handmade(OutputCost cost, Output output, const Shallow& p, const Tensor& x,
                               const Tensor& y);

/// A cost with which dZ2 = A2 - Y is right.
struct Repair {
  const char* what;
  OutputCost cost;
  Output output;
  Tensor labels;
};
std::vector<Repair> repairs(const Tensor& y);

}  // namespace gradus::examples
