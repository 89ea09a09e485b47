#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/optim/training.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

namespace gradus::optim {

detail::Training::Training(const char* name_, Tensors parameters_, double lr_, std::vector<const char*> kept_)
    : name(name_),
      parameters(std::move(parameters_)),
      states(parameters.size()),
      kept(std::move(kept_)),
      lr(lr_),
      arrivals(Leaf::arrivals()) {
  check_not_recording(name);
  if (parameters.empty()) fail("{}: there are no parameters", name);
  std::unordered_map<const TensorImpl*, size_t> seen;
  for (size_t i = 0; i < parameters.size(); i++) {
    const Tensor& x = parameters[i];
    if (!x.defined()) fail("{}: parameter {} is undefined", name, i);
    if (!is_floating(x.dtype())) fail<DtypeError>("{}: parameter {} is {}, not floating", name, i, x.dtype());
    if (!x.is_leaf())
      fail<GradError>("{}: parameter {} is the result of '{}'; only leaves are trained", name, i,
                      x.op_name());
    if (!x.is_contiguous()) fail("{}: parameter {} is not contiguous; clone() it", name, i);
    const auto [first, is_new] = seen.emplace(x.impl(), i);
    if (!is_new) fail("{}: parameters {} and {} are the same", name, first->second, i);
    from_model.push_back(x.impl()->in_model);
    narrowest = std::min(narrowest, x.dtype());
  }
  moving.reserve(parameters.size());
  loops.reserve(parameters.size());
}

static double as_held(double value, Dtype dtype) {
  return dispatch_floating(dtype, [&]<class T>(T) { return static_cast<double>(static_cast<T>(value)); });
}

void detail::Training::check_not_negative(const char* option, double value, Dtype dtype) const {
  if (!(value >= 0 && std::isfinite(as_held(value, dtype))))
    fail("{}: {} must be at least 0 and finite in {}: {}", name, option, dtype, value);
}

void detail::Training::check_share(const char* option, double value, Dtype dtype) const {
  if (!(value >= 0 && value < 1 && as_held(value, dtype) < 1))
    fail("{}: {} must lie in [0, 1), in {}, too: {}", name, option, dtype, value);
}

void detail::Training::check_eps(double eps, double least, Dtype dtype) const {
  check_not_negative("eps", eps, dtype);
  const double normal =
      dispatch_floating(dtype, []<class T>(T) { return static_cast<double>(std::numeric_limits<T>::min()); });
  if (eps > 0 && eps * least < normal)
    fail("{}: eps counts as 0 in {}: {}; at least {} does not", name, dtype, eps, normal / least);
}

void detail::Training::check_still_trained() {
  const uint64_t before = arrivals, now = Leaf::arrivals();
  bool frozen = true, reached = false;
  for (size_t i = 0; i < parameters.size(); i++) {
    const TensorImpl& x = *parameters[i].impl();
    if (from_model[i] && !x.in_model)
      fail<GradError>(
          "{}: step: parameter {}, of shape {}, is not in its model any more, which was given other layers "
          "or shapes, or has died; make the optimizer afterwards",
          name, i, x.layout.shape);
    if (!x.edge) continue;
    frozen = false;
    reached = reached || static_cast<const Leaf&>(*x.edge.node).last_arrival() > before;
  }
  if (now != before && !frozen && !reached)
    fail<GradError>(
        "{}: step: since the last one, backward() has given gradients to other tensors and to none of these "
        "{} parameters: is another model trained, perhaps a copy of theirs that was taken by value?",
        name, parameters.size());
  arrivals = now;
}

/// Not zeros_like(): a recorder would take that down, and every replay would forget the state.
static Tensor zeros_of(const Tensor& x) {
  Tensor zeros = make_empty(x.shape(), x.dtype());
  std::memset(zeros.raw(), 0, static_cast<size_t>(x.numel() * item_size(x.dtype())));
  return zeros;
}

void detail::Training::run(std::span<const Moving> those) {
  // A loop is made where it stays: a copy reads several words at once and waits for what has just written
  // them.
  struct Made {
    Training& training;
    const Tensor& x;
    const std::byte* g;
    const State& state;
    operator ElementLoop() const { return training.update(x, g, state); }
  };
  for (const Moving& m : those)
    if (states[m.index].step == 0)
      for (size_t k = 0; k < kept.size(); k++) states[m.index].tensors[k] = zeros_of(parameters[m.index]);
  loops.clear();
  for (const Moving& m : those) {
    const Tensor& x = parameters[m.index];
    State& state = states[m.index];
    state.step++;
    loops.emplace_back(Made{*this, x, m.gradient, state});
    x.storage().bump();
  }
  run_together(loops);
}

Optimizer::Optimizer(std::shared_ptr<detail::Training> training) : training_(std::move(training)) {}

double Optimizer::lr() const noexcept { return training_->lr; }

void Optimizer::set_lr(double lr) {
  check_not_recording("set_lr");
  training_->check_not_negative("lr", lr, training_->narrowest);
  training_->lr = lr;
}

const Tensors& Optimizer::parameters() const noexcept { return training_->parameters; }

void Optimizer::zero_grad() {
  for (Tensor& x : training_->parameters) x.impl()->grad = {};
}

namespace {
/// A step of all parameters that have a gradient.
struct Step {
  std::string name;
  std::vector<Write> written;
  std::vector<Read> read;
  std::shared_ptr<detail::Training> training;
  std::vector<detail::Moving> moving;
  void operands(auto f) {
    for (Write& y : written) f(y);
    for (Read& x : read) f(x);
  }
  void run() const { training->run(moving); }
};
}  // namespace

void Optimizer::step() {
  const NoGrad no_grad;
  training_->check_still_trained();
  std::vector<detail::Moving>& moving = training_->moving;
  moving.clear();
  Tensors dense;  // row-major copies of strided gradients
  Step step;      // for a recorder
  for (size_t i = 0; i < training_->parameters.size(); i++) {
    const Tensor& x = training_->parameters[i];
    const Tensor* g = &x.impl()->grad;
    if (!g->defined()) continue;
    // nn::to() may have converted the parameter.
    if (x.dtype() < training_->narrowest) {
      training_->check_options(x.dtype());
      training_->narrowest = x.dtype();
    }
    for (Tensor& kept : training_->states[i].tensors)
      if (kept.defined() && kept.dtype() != x.dtype()) kept = kept.to(x.dtype());
    if (!g->is_contiguous()) g = &dense.emplace_back(g->contiguous());
    moving.push_back({i, g->raw()});
    if (!is_recording()) continue;
    step.read.push_back(reads(*g));
    step.written.push_back(writes(x));
    for (const Tensor& kept : training_->states[i].tensors)
      if (kept.defined()) step.written.push_back(writes(kept));
  }
  if (!is_recording()) return training_->run(moving);
  step.name = training_->name;
  step.training = training_;
  step.moving = moving;
  launch(step);
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state_dict() const {
  check_not_recording("state_dict");
  const detail::Training& t = *training_;
  std::vector<std::pair<std::string, Tensor>> state{{"lr", tensor(t.lr, kFloat64)}};
  for (size_t i = 0; i < t.states.size(); i++) {
    if (t.states[i].step == 0) continue;
    state.emplace_back(fmt::format("{}.step", i), tensor(t.states[i].step));
    for (size_t k = 0; k < t.kept.size(); k++)
      state.emplace_back(fmt::format("{}.{}", i, t.kept[k]), t.states[i].tensors[k].clone());
  }
  return state;
}

/// A double holds all counts up to here, and nobody has counted so far.
constexpr int64_t kMostSteps = int64_t{1} << 53;

void Optimizer::load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state) {
  check_not_recording("load_state_dict");
  detail::Training& t = *training_;
  std::unordered_map<std::string_view, const Tensor*> given;
  for (const auto& [name, x] : state)
    if (!given.emplace(name, &x).second) fail("{}: load_state_dict: '{}' is given twice", t.name, name);
  const auto take = [&](const std::string& name, const Shape& shape, Dtype dtype) {
    const auto found = given.find(name);
    if (found == given.end()) fail("{}: load_state_dict: '{}' is missing", t.name, name);
    const Tensor x = *found->second;
    if (!x.defined()) fail("{}: load_state_dict: '{}' is undefined", t.name, name);
    if (!(x.shape() == shape) || x.dtype() != dtype)
      fail("{}: load_state_dict: '{}' is {} {}, it must be {} {}", t.name, name, x.dtype(), x.shape(), dtype,
           shape);
    given.erase(found);
    return x.detach().clone();
  };
  const double lr = take("lr", {}, kFloat64).item();
  t.check_not_negative("load_state_dict: lr", lr, t.narrowest);
  std::vector<detail::State> states(t.states.size());
  for (size_t i = 0; i < states.size(); i++) {
    const std::string step = fmt::format("{}.step", i);
    if (!given.contains(step)) continue;
    states[i].step = take(step, {}, kInt64).item<int64_t>();
    if (states[i].step < 1 || states[i].step > kMostSteps)
      fail("{}: load_state_dict: '{}' must lie in [1, {}]: {}", t.name, step, kMostSteps, states[i].step);
    for (size_t k = 0; k < t.kept.size(); k++)
      states[i].tensors[k] =
          take(fmt::format("{}.{}", i, t.kept[k]), t.parameters[i].shape(), t.parameters[i].dtype());
  }
  if (!given.empty())
    fail("{}: load_state_dict: '{}' is not in this optimizer", t.name, given.begin()->first);
  t.lr = lr;
  t.states = std::move(states);
}

}  // namespace gradus::optim
