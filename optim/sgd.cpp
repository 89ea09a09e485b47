#include <gradus/optim/elementwise_update.h>
#include <gradus/optim/sgd.h>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const SGDOptions& o) {
  if (o.momentum == 0) return {};
  return {"momentum_buffer"};
}

}  // namespace

SGD::SGD(Tensors parameters, SGDOptions o)
    : Optimizer("SGD", std::move(parameters), o.lr, kept_by(o)), options_(o) {
  check_not_negative("SGD", "momentum", o.momentum);
  check_not_negative("SGD", "weight_decay", o.weight_decay);
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
    fail("SGD: nesterov takes a momentum and no dampening: momentum {}, dampening {}", o.momentum,
         o.dampening);
}

void SGD::update(Tensor& x, const Tensor& g, State& state) {
  dispatch_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const bool nesterov = options_.nesterov;
    const T lr = static_cast<T>(this->lr()), decay = static_cast<T>(options_.weight_decay),
            momentum = static_cast<T>(options_.momentum),
            fresh = state.step == 1 ? 1 : static_cast<T>(1 - options_.dampening);
    T* const px = x.mutable_data<T>();
    const T* const pg = g.data<T>();
    if (momentum == 0) {
      detail::for_each_element(
          x.numel(), [=](int64_t i) { px[i] -= lr * (decay == 0 ? pg[i] : pg[i] + decay * px[i]); });
      return;
    }
    T* const pm = state.tensors[0].mutable_data<T>();
    detail::for_each_element(x.numel(), [=](int64_t i) {
      const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
      const T m = momentum * pm[i] + fresh * gi;
      pm[i] = m;
      px[i] -= lr * (nesterov ? gi + momentum * m : m);
    });
  });
}

}  // namespace gradus::optim
