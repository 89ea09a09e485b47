#include <gradus/optim/elementwise_update.h>
#include <gradus/optim/rmsprop.h>

#include <cmath>

namespace gradus::optim {
namespace {

std::vector<const char*> kept_by(const RMSpropOptions& o) {
  std::vector<const char*> kept{"square_avg"};
  if (o.momentum > 0) kept.push_back("momentum_buffer");
  if (o.centered) kept.push_back("grad_avg");
  return kept;
}

}  // namespace

RMSprop::RMSprop(Tensors parameters, RMSpropOptions o)
    : Optimizer("RMSprop", std::move(parameters), o.lr, kept_by(o)), options_(o) {
  check_not_negative("RMSprop", "alpha", o.alpha);
  check_not_negative("RMSprop", "eps", o.eps);
  check_not_negative("RMSprop", "weight_decay", o.weight_decay);
  check_not_negative("RMSprop", "momentum", o.momentum);
}

void RMSprop::update(Tensor& x, const Tensor& g, State& state) {
  dispatch_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T lr = static_cast<T>(this->lr()), alpha = static_cast<T>(options_.alpha),
            rest = static_cast<T>(1 - options_.alpha), eps = static_cast<T>(options_.eps),
            decay = static_cast<T>(options_.weight_decay), momentum = static_cast<T>(options_.momentum);
    size_t next = 1;
    T* const px = x.mutable_data<T>();
    const T* const pg = g.data<T>();
    T* const pv = state.tensors[0].mutable_data<T>();
    T* const pb = momentum > 0 ? state.tensors[next++].mutable_data<T>() : nullptr;
    T* const pa = options_.centered ? state.tensors[next].mutable_data<T>() : nullptr;
    detail::for_each_element(x.numel(), [=](int64_t i) {
      const T gi = decay == 0 ? pg[i] : pg[i] + decay * px[i];
      T v = pv[i] = alpha * pv[i] + rest * gi * gi;
      if (pa) {
        const T a = pa[i] = alpha * pa[i] + rest * gi;
        v -= a * a;
      }
      T step = gi / (std::sqrt(v) + eps);
      if (pb) step = pb[i] = momentum * pb[i] + step;
      px[i] -= lr * step;
    });
  });
}

}  // namespace gradus::optim
