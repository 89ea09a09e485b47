#pragma once
#include <gradus/autograd/check/gradcheck.h>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// A function of leaves that are changed in place, at one point.
struct Subject {
  std::function<Tensor()> f;
  Tensors x;
  std::vector<std::string> names;
  Tensors claims = {};  // instead of autograd's gradients
  int order = 1;
  std::function<Tensor()> previous = {};  // f at the parameters of the step before, if they are known
};

/// Compares the gradients of a subject with central differences, at order 1.
GradcheckReport compare(const Subject& subject, const GradcheckOptions& options);

}  // namespace gradus::detail

#pragma GCC visibility pop
