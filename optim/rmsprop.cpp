#include <gradus/optim/rmsprop.h>
#include <gradus/optim/training.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const RMSpropOptions& o) {
  std::vector<const char*> kept{"square_avg"};
  if (o.momentum > 0) kept.push_back("momentum_buffer");
  if (o.centered) kept.push_back("grad_avg");
  return kept;
}

struct RmspropTraining final : detail::Training {
  RmspropTraining(Tensors p, RMSpropOptions o)
      : Training("RMSprop", std::move(p), o.lr, kept_by(o)), options(o) {
    check_options(narrowest);
  }

  void check_options(Dtype dtype) const override {
    check_not_negative("lr", lr, dtype);
    check_share("alpha", options.alpha, dtype);
    check_eps(options.eps, 1, dtype);
    check_not_negative("weight_decay", options.weight_decay, dtype);
    check_not_negative("momentum", options.momentum, dtype);
  }

  detail::ElementLoop update(const Tensor& x, const std::byte* g, const detail::State& state) override {
    return dispatch_floating(x.dtype(), [&]<class T>(T) {
      const T rate = static_cast<T>(lr), alpha = static_cast<T>(options.alpha),
              rest = static_cast<T>(1 - options.alpha), eps = static_cast<T>(options.eps),
              decay = static_cast<T>(options.weight_decay), momentum = static_cast<T>(options.momentum);
      size_t next = 1;
      T* const px = reinterpret_cast<T*>(x.raw());
      const T* const pg = reinterpret_cast<const T*>(g);
      T* const pv = reinterpret_cast<T*>(state.tensors[0].raw());
      T* const pb = momentum > 0 ? reinterpret_cast<T*>(state.tensors[next++].raw()) : nullptr;
      T* const pa = options.centered ? reinterpret_cast<T*>(state.tensors[next].raw()) : nullptr;
      return detail::ElementLoop(x.numel(), [=](int64_t i) {
        const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
        T v = pv[i] = alpha * pv[i] + rest * gi * gi;
        if (pa) {
          const T a = pa[i] = alpha * pa[i] + rest * gi;
          // A variance, known to the last digit of v: what is smaller is rounding, and may be negative.
          v = std::max(std::numeric_limits<T>::epsilon() * v, v - a * a);
        }
        T step = gi / (std::sqrt(v) + eps);
        if (pb) step = pb[i] = momentum * pb[i] + step;
        px[i] -= rate * step;
      });
    });
  }

  RMSpropOptions options;
};

}  // namespace

RMSprop::RMSprop(Tensors parameters, RMSpropOptions options)
    : Optimizer(std::make_shared<RmspropTraining>(std::move(parameters), options)) {}

}  // namespace gradus::optim
