#pragma once
#include <gradus/autograd/check/report.h>

#include <concepts>
#include <functional>

#pragma GCC visibility push(default)

namespace gradus {

/// How gradients are checked.
struct GradcheckOptions {
  /// 2 checks also the gradient's gradient, with respect to the inputs and the incoming gradient; and so on.
  int order = 1;
  /// The step of the central differences, times max(1, |x|); 2 eps is taken as well, and others where they
  /// disagree.
  double eps = 1e-5;
  /// An element is right where |a - n| <= rtol max(|a|, |n|) + atol min(1, the input's largest derivative).
  double atol = 1e-7;
  /// The relative part of it.
  double rtol = 1e-5;
  /// Results and inputs with more derivatives than this are checked by random projections, a random part of
  /// the elements, and random directions; an error that shows along a direction only is hunted down.
  int64_t max_elements = 4096;
  /// What the inputs are called in the report.
  std::vector<std::string> names = {};
  /// Sizes of the problem, for the diagnosis: {{"samples", 209}}.
  std::vector<std::pair<std::string, int64_t>> sizes = {};
  /// check_gradient: the inputs as they were a step before, for the diagnosis: a gradient may have been made
  /// with what was computed from them.
  Tensors previous = {};
  /// Of the random projections.
  uint64_t seed = 0;
};

/// Compares the gradients that autograd gives for f with central differences: all of the Jacobian for small
/// f.
///
/// The inputs that require grad are checked; if none does, all floating ones. They must be float64
/// (DtypeError). f runs on copies of the inputs, of the same layout, again and again: it must give the same
/// value for the same inputs. Nothing to compare (no input, no element, a NaN) is not a pass: the report then
/// says why.
GradcheckReport gradcheck(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
                          const GradcheckOptions& options = {});

/// The same for a loss of one element with respect to a model's parameters, which are moved in place, one by
/// one, and put back. A leaf that the loss reaches and that is not among the parameters is a mistake.
GradcheckReport gradcheck(const std::function<Tensor()>& loss, const NamedTensors& parameters,
                          const GradcheckOptions& options = {});

/// Compares gradients that somebody claims for f, of one element, with central differences. An undefined
/// claim is not checked. Claims in float32 are held to its precision.
///
/// Central differences alone decide what is wrong. What is wrong with it, the diagnosis looks for in the
/// graph of f: it runs the backward pass again with one thing done differently, and names what gives the
/// claimed gradient.
GradcheckReport check_gradient(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
                               const Tensors& claimed_gradients, const GradcheckOptions& options = {});

namespace detail {

template <class F>
constexpr int tensor_arity() {
  if constexpr (std::invocable<const F&, const Tensor&>)
    return 1;
  else if constexpr (std::invocable<const F&, const Tensor&, const Tensor&>)
    return 2;
  else if constexpr (std::invocable<const F&, const Tensor&, const Tensor&, const Tensor&>)
    return 3;
  else
    return 0;
}
template <class F>
concept FunctionOfTensors = (tensor_arity<F>() > 0);

template <class F>
std::function<Tensor(const Tensors&)> over_tensors(const char* op, const F& f, size_t given) {
  check_function(op, f);
  constexpr size_t n = tensor_arity<F>();
  if (given != n) fail("{}: {} inputs for a function of {}", op, given, n);
  return [&f](const Tensors& x) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return f(x[I]...); }
    (std::make_index_sequence<n>{});
  };
}

}  // namespace detail

/// For functions of one, two or three tensors: gradcheck(log1pexp, {x}, {.order = 2}).
template <detail::FunctionOfTensors F>
GradcheckReport gradcheck(const F& f, const Tensors& inputs, const GradcheckOptions& options = {}) {
  return gradcheck(detail::over_tensors("gradcheck", f, inputs.size()), inputs, options);
}
/// The same of a claimed gradient: check_gradient(f, {x}, {g}).
template <detail::FunctionOfTensors F>
GradcheckReport check_gradient(const F& f, const Tensors& inputs, const Tensors& claimed_gradients,
                               const GradcheckOptions& options = {}) {
  return check_gradient(detail::over_tensors("check_gradient", f, inputs.size()), inputs, claimed_gradients,
                        options);
}

}  // namespace gradus

#pragma GCC visibility pop
