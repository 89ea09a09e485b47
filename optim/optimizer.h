#pragma once
#include <gradus/autograd/core/tensor.h>

#include <array>
#include <utility>

namespace gradus::optim {

/// What all optimizers share: the parameters, the learning rate, and a state for each parameter.
///
///   optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
///   for (…) { optimizer.zero_grad(); loss(model(x), y).backward(); optimizer.step(); }
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Moves every parameter that has a gradient; one that has none keeps its elements, state and step count.
  void step();
  /// Drops the gradients.
  void zero_grad();
  /// The learning rate.
  double lr() const noexcept { return lr_; }
  /// The learning rate from the next step on; at least 0.
  void set_lr(double lr);
  /// The parameters, in the order given.
  const Tensors& parameters() const noexcept { return parameters_; }

  /// A copy of what the next steps depend on besides parameters and options: "lr", and for each parameter i
  /// that has moved "i.step" and the optimizer's tensors ("i.exp_avg" …). With the parameters' own elements,
  /// training goes on from it bit for bit.
  std::vector<std::pair<std::string, Tensor>> state_dict() const;
  /// Throws and changes nothing unless `state` is one of an optimizer of this kind for parameters of these
  /// shapes.
  void load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state);

 protected:
  /// Of one parameter.
  struct State {
    int64_t step = 0;               // how often the parameter has moved
    std::array<Tensor, 3> tensors;  // as `kept` names them
  };

  /// `kept`: the names of the tensors that a parameter's state has, each of the parameter's shape, at first
  /// 0. Throws unless the parameters are different, floating, contiguous leaves and lr is at least 0.
  Optimizer(const char* name, Tensors parameters, double lr, std::vector<const char*> kept);
  /// Moves x along its gradient g (both contiguous) for the state.step-th time.
  virtual void update(Tensor& x, const Tensor& g, State& state) = 0;
  /// Throws `name: option must be at least 0: value`.
  static void check_not_negative(const char* name, const char* option, double value);

 private:
  const char* name_;
  Tensors parameters_;
  std::vector<State> states_;
  std::vector<const char*> kept_;
  double lr_;
};

}  // namespace gradus::optim
