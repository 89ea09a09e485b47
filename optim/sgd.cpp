#include <gradus/optim/sgd.h>
#include <gradus/optim/training.h>

#include <cmath>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const SGDOptions& o) {
  if (o.momentum == 0) return {};
  return {"momentum_buffer"};
}

double given(double lr) {
  if (std::isnan(lr)) fail("SGD: lr is not given, and has no default: {{.lr = 0.1}}, say");
  return lr;
}

struct SgdTraining final : detail::Training {
  SgdTraining(Tensors p, SGDOptions o) : Training("SGD", std::move(p), given(o.lr), kept_by(o)), options(o) {
    check_options(narrowest);
    if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
      fail("SGD: nesterov takes a momentum and no dampening: momentum {}, dampening {}", o.momentum,
           o.dampening);
  }

  void check_options(Dtype dtype) const override {
    check_not_negative("lr", lr, dtype);
    check_not_negative("momentum", options.momentum, dtype);
    check_not_negative("weight_decay", options.weight_decay, dtype);
    if (!(options.dampening >= 0 && options.dampening <= 1))
      fail("SGD: dampening must lie in [0, 1]: {}", options.dampening);
  }

  detail::ElementLoop update(const Tensor& x, const std::byte* g, const detail::State& state) override {
    return dispatch_floating(x.dtype(), [&]<class T>(T) {
      const T rate = static_cast<T>(lr), decay = static_cast<T>(options.weight_decay),
              momentum = static_cast<T>(options.momentum),
              fresh = state.step == 1 ? 1 : static_cast<T>(1 - options.dampening);
      T* const px = reinterpret_cast<T*>(x.raw());
      const T* const pg = reinterpret_cast<const T*>(g);
      if (momentum == 0)
        return detail::ElementLoop(
            x.numel(), [=](int64_t i) { px[i] -= rate * (decay == 0 ? pg[i] : pg[i] + decay * px[i]); });
      T* const pm = reinterpret_cast<T*>(state.tensors[0].raw());
      return detail::ElementLoop(x.numel(), [=, nesterov = options.nesterov](int64_t i) {
        const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
        const T m = momentum * pm[i] + fresh * gi;
        pm[i] = m;
        px[i] -= rate * (nesterov ? gi + momentum * m : m);
      });
    });
  }

  SGDOptions options;
};

}  // namespace

SGD::SGD(Tensors parameters, SGDOptions options)
    : Optimizer(std::make_shared<SgdTraining>(std::move(parameters), options)) {}

}  // namespace gradus::optim
