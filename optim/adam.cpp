#include <gradus/optim/adam.h>
#include <gradus/optim/training.h>

#include <cmath>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const AdamOptions& o) {
  if (!o.amsgrad) return {"exp_avg", "exp_avg_sq"};
  return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
}

struct AdamTraining final : detail::Training {
  AdamTraining(Tensors p, AdamOptions o) : Training("Adam", std::move(p), o.lr, kept_by(o)), options(o) {
    check_options(narrowest);
  }

  void check_options(Dtype dtype) const override {
    check_not_negative("lr", lr, dtype);
    check_share("betas[0]", options.betas[0], dtype);
    check_share("betas[1]", options.betas[1], dtype);
    check_eps(options.eps, std::sqrt(1 - options.betas[1]), dtype);  // times `root`, least in the first step
    check_not_negative("weight_decay", options.weight_decay, dtype);
  }

  detail::ElementLoop update(const Tensor& x, const std::byte* g, const detail::State& state) override {
    if (state.step != corrected) {
      corrected = state.step;
      correction = 1 - std::pow(options.betas[0], static_cast<double>(corrected));
      root = std::sqrt(1 - std::pow(options.betas[1], static_cast<double>(corrected)));
    }
    return dispatch_floating(x.dtype(), [&]<class T>(T) {
      // m / (√v / root + eps) with one division: m root / (√v + eps root).
      const T rate = static_cast<T>(lr / correction * root), eps = static_cast<T>(options.eps * root),
              decay = static_cast<T>(options.weight_decay), beta1 = static_cast<T>(options.betas[0]),
              rest1 = static_cast<T>(1 - options.betas[0]), beta2 = static_cast<T>(options.betas[1]),
              rest2 = static_cast<T>(1 - options.betas[1]);
      T* const px = reinterpret_cast<T*>(x.raw());
      const T* const pg = reinterpret_cast<const T*>(g);
      T *const pm = reinterpret_cast<T*>(state.tensors[0].raw()), *const pv = reinterpret_cast<T*>(
                                                                      state.tensors[1].raw());
      T* const pmax = options.amsgrad ? reinterpret_cast<T*>(state.tensors[2].raw()) : nullptr;
      return detail::ElementLoop(x.numel(), [=](int64_t i) {
        const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
        const T m = beta1 * pm[i] + rest1 * gi;
        T v = beta2 * pv[i] + rest2 * gi * gi;
        pm[i] = m;
        pv[i] = v;
        if (pmax) v = pmax[i] = pmax[i] > v ? pmax[i] : v;
        px[i] -= rate * (m / (std::sqrt(v) + eps));
      });
    });
  }

  AdamOptions options;
  int64_t corrected = 0;            // the step count that these belong to
  double correction = 0, root = 0;  // 1 - β₁ᵗ, √(1 - β₂ᵗ)
};

}  // namespace

Adam::Adam(Tensors parameters, AdamOptions options)
    : Optimizer(std::make_shared<AdamTraining>(std::move(parameters), options)) {}

}  // namespace gradus::optim
