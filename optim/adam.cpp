#include <gradus/optim/adam.h>
#include <gradus/optim/elementwise_update.h>

#include <cmath>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const AdamOptions& o) {
  if (!o.amsgrad) return {"exp_avg", "exp_avg_sq"};
  return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
}

}  // namespace

Adam::Adam(Tensors parameters, AdamOptions o)
    : Optimizer("Adam", std::move(parameters), o.lr, kept_by(o)), options_(o) {
  for (const double beta : o.betas)
    if (!(beta >= 0 && beta < 1)) fail("Adam: betas must lie in [0, 1): {} and {}", o.betas[0], o.betas[1]);
  check_not_negative("Adam", "eps", o.eps);
  check_not_negative("Adam", "weight_decay", o.weight_decay);
}

void Adam::update(Tensor& x, const Tensor& g, State& state) {
  const double t = static_cast<double>(state.step);
  const double correction = 1 - std::pow(options_.betas[0], t),
               correction_sq = 1 - std::pow(options_.betas[1], t);
  dispatch_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T step = static_cast<T>(lr() / correction), root = static_cast<T>(std::sqrt(correction_sq)),
            eps = static_cast<T>(options_.eps), decay = static_cast<T>(options_.weight_decay),
            beta1 = static_cast<T>(options_.betas[0]), rest1 = static_cast<T>(1 - options_.betas[0]),
            beta2 = static_cast<T>(options_.betas[1]), rest2 = static_cast<T>(1 - options_.betas[1]);
    T* const px = x.mutable_data<T>();
    const T* const pg = g.data<T>();
    T *const pm = state.tensors[0].mutable_data<T>(), *const pv = state.tensors[1].mutable_data<T>();
    T* const pmax = options_.amsgrad ? state.tensors[2].mutable_data<T>() : nullptr;
    detail::for_each_element(x.numel(), [=](int64_t i) {
      const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
      const T m = beta1 * pm[i] + rest1 * gi;
      T v = beta2 * pv[i] + rest2 * gi * gi;
      pm[i] = m;
      pv[i] = v;
      if (pmax) v = pmax[i] = pmax[i] > v ? pmax[i] : v;
      px[i] -= step * (m / (std::sqrt(v) / root + eps));
    });
  });
}

}  // namespace gradus::optim
