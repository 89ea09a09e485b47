#pragma once
#include <gradus/optim/element_loop.h>
#include <gradus/optim/optimizer.h>

#include <span>

#pragma GCC visibility push(default)

namespace gradus::optim::detail {

/// What one parameter's next step depends on.
struct State {
  int64_t step = 0;  // how often the parameter has moved
  std::array<Tensor, 3> tensors;
};

/// A parameter that a step moves, and the elements of its gradient (row-major).
struct Moving {
  size_t index;
  const std::byte* gradient;
};

/// Everything that a step works on. It lives as long as an optimizer or a step that runs again needs it.
struct Training {
  /// `kept`: the names of the tensors that a parameter's state has, each of the parameter's shape, at first
  /// 0. Throws unless the parameters are different, floating, contiguous leaves.
  Training(const char* name, Tensors parameters, double lr, std::vector<const char*> kept);
  virtual ~Training() = default;
  Training(const Training&) = delete;

  /// Throws for options outside their domain, as numbers of parameters of this dtype, too.
  virtual void check_options(Dtype dtype) const = 0;
  /// The loop that moves x along its gradient g for the state.step-th time.
  virtual ElementLoop update(const Tensor& x, const std::byte* g, const State& state) = 0;
  /// One step. It reads lr, step counts and states as they are now, and allocates only the states of
  /// parameters that move for the first time.
  void run(std::span<const Moving> moving);
  /// Throws where a step would move nothing that anybody sees: a parameter has left its model, or others than
  /// these parameters were trained since the last step.
  void check_still_trained();
  /// Throws unless the value is at least 0 and finite, as a number of this dtype, too.
  void check_not_negative(const char* option, double value, Dtype dtype) const;
  /// Throws unless the value is in [0, 1), as a number of this dtype, too.
  void check_share(const char* option, double value, Dtype dtype) const;
  /// Throws unless eps, times `least`, is 0 or a normal number of this dtype: a denormal one counts as 0.
  void check_eps(double eps, double least, Dtype dtype) const;

  const char* const name;
  Tensors parameters;
  std::vector<State> states;
  std::vector<const char*> kept;
  double lr;
  Dtype narrowest = kFloat64;    // of the parameters, when options were last checked
  std::vector<bool> from_model;  // whether a nn::Param held the parameter when it was given
  uint64_t arrivals;             // Leaf::arrivals() at the last step
  // Of the step that is running; kept so that a step allocates nothing.
  std::vector<Moving> moving;
  std::vector<ElementLoop> loops;
};

}  // namespace gradus::optim::detail

#pragma GCC visibility pop
