#include <gradus/autograd/ops/create.h>
#include <gradus/optim/optimizer.h>

#include <unordered_map>

namespace gradus::optim {

Optimizer::Optimizer(const char* name, Tensors parameters, double lr, std::vector<const char*> kept)
    : name_(name), parameters_(std::move(parameters)), states_(parameters_.size()), kept_(std::move(kept)) {
  set_lr(lr);
  if (parameters_.empty()) fail("{}: there are no parameters", name);
  std::unordered_map<const TensorImpl*, size_t> seen;
  for (size_t i = 0; i < parameters_.size(); i++) {
    const Tensor& x = parameters_[i];
    if (!x.defined()) fail("{}: parameter {} is undefined", name, i);
    if (!is_floating(x.dtype())) fail<DtypeError>("{}: parameter {} is {}, not floating", name, i, x.dtype());
    if (!x.is_leaf())
      fail<GradError>("{}: parameter {} is the result of '{}'; only leaves are trained", name, i,
                      x.op_name());
    if (!x.is_contiguous()) fail("{}: parameter {} is not contiguous; clone() it", name, i);
    const auto [first, is_new] = seen.emplace(x.impl(), i);
    if (!is_new) fail("{}: parameters {} and {} are the same", name, first->second, i);
  }
}

void Optimizer::check_not_negative(const char* name, const char* option, double value) {
  if (!(value >= 0)) fail("{}: {} must be at least 0: {}", name, option, value);
}

void Optimizer::set_lr(double lr) {
  check_not_negative(name_, "lr", lr);
  lr_ = lr;
}

void Optimizer::zero_grad() {
  for (Tensor& x : parameters_) x.set_grad({});
}

void Optimizer::step() {
  NoGrad no_grad;
  Tensor dense;
  for (size_t i = 0; i < parameters_.size(); i++) {
    Tensor& x = parameters_[i];
    const Tensor* g = &x.impl()->grad;
    if (!g->defined()) continue;
    if (!g->is_contiguous()) g = &(dense = g->contiguous());
    State& state = states_[i];
    if (state.step == 0)
      for (size_t k = 0; k < kept_.size(); k++) state.tensors[k] = zeros_like(x);
    state.step++;
    update(x, *g, state);
  }
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state_dict() const {
  std::vector<std::pair<std::string, Tensor>> state{{"lr", tensor(lr_, kFloat64)}};
  for (size_t i = 0; i < states_.size(); i++) {
    if (states_[i].step == 0) continue;
    state.emplace_back(fmt::format("{}.step", i), tensor(states_[i].step));
    for (size_t k = 0; k < kept_.size(); k++)
      state.emplace_back(fmt::format("{}.{}", i, kept_[k]), states_[i].tensors[k].clone());
  }
  return state;
}

void Optimizer::load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state) {
  std::unordered_map<std::string_view, const Tensor*> given;
  for (const auto& [name, x] : state)
    if (!given.emplace(name, &x).second) fail("{}: load_state_dict: '{}' is given twice", name_, name);
  const auto take = [&](const std::string& name, const Shape& shape, Dtype dtype) {
    const auto found = given.find(name);
    if (found == given.end()) fail("{}: load_state_dict: '{}' is missing", name_, name);
    const Tensor x = *found->second;
    if (!(x.shape() == shape) || x.dtype() != dtype)
      fail("{}: load_state_dict: '{}' is {} {}, it must be {} {}", name_, name, x.dtype(), x.shape(), dtype,
           shape);
    given.erase(found);
    return x.detach().clone();
  };
  const double lr = take("lr", {}, kFloat64).item();
  check_not_negative(name_, "load_state_dict: lr", lr);
  std::vector<State> states(states_.size());
  for (size_t i = 0; i < states.size(); i++) {
    const std::string step = fmt::format("{}.step", i);
    if (!given.contains(step)) continue;
    states[i].step = take(step, {}, kInt64).item<int64_t>();
    if (states[i].step < 1)
      fail("{}: load_state_dict: '{}' must be at least 1: {}", name_, step, states[i].step);
    for (size_t k = 0; k < kept_.size(); k++)
      states[i].tensors[k] =
          take(fmt::format("{}.{}", i, kept_[k]), parameters_[i].shape(), parameters_[i].dtype());
  }
  if (!given.empty()) fail("{}: load_state_dict: '{}' is not in this optimizer", name_, given.begin()->first);
  lr_ = lr;
  states_ = std::move(states);
}

}  // namespace gradus::optim
