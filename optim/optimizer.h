#pragma once
#include <gradus/autograd/core/tensor.h>

#include <array>
#include <memory>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus::optim {

namespace detail {
struct Training;
}  // namespace detail

/// What all optimizers share: the parameters, the learning rate, and a state for each parameter.
///
///   optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
///   for (…) { optimizer.zero_grad(); loss(model(x), y).backward(); optimizer.step(); }
///
/// A copy is the same optimizer, as a copy of a Tensor is the same tensor.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Moves every parameter that has a gradient; one that has none keeps its elements, state and step count.
  /// Denormal numbers count as 0: a moment that has decayed to them would cost a hundred times as much.
  void step();
  /// Drops the gradients.
  void zero_grad();
  /// The learning rate.
  double lr() const noexcept;
  /// The learning rate from the next step on; at least 0 and finite.
  void set_lr(double lr);
  /// The parameters, in the order given.
  const Tensors& parameters() const noexcept;

  /// A copy of what the next steps depend on besides parameters and options: "lr", and for each parameter i
  /// that has moved "i.step" and the optimizer's tensors ("i.exp_avg" …). With the parameters' own elements,
  /// training goes on from it bit for bit.
  std::vector<std::pair<std::string, Tensor>> state_dict() const;
  /// Throws and changes nothing unless `state` is one of an optimizer of this kind for parameters of these
  /// shapes.
  void load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state);

 protected:
  /// What the kind of optimizer works on.
  explicit Optimizer(std::shared_ptr<detail::Training> training);

 private:
  std::shared_ptr<detail::Training> training_;
};

}  // namespace gradus::optim

#pragma GCC visibility pop
