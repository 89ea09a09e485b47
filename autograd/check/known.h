#pragma once
#include <gradus/autograd/core/tensor.h>
#include <gradus/autograd/kernels/probe.h>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// A pointwise formula of the library as a diagnosis uses it: at any place, not only where it was recorded.
struct KnownFormula {
  struct Derivative {
    std::string text;  // "(1 - y) (1 + y)"
    Needs reads;
    Tensor (*at)(std::span<const Tensor> x, const Tensor& y);
  };
  const char* name;
  Tensor (*value)(std::span<const Tensor> x);
  std::vector<Derivative> derivatives;  // by each input
};

/// All formulas (kernels/formulas.h) that have a derivative, with their default attributes.
const std::vector<KnownFormula>& known_formulas();

/// What a derivative becomes by a slip: a square, a factor or a term forgotten.
struct Slip {
  std::string (*text)(const char* u);
  Tensor (*at)(const Tensor& u);
};
const std::vector<Slip>& slips();

}  // namespace gradus::detail

#pragma GCC visibility pop
