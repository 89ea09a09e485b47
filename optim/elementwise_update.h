#pragma once
#include <gradus/autograd/base/parallel.h>

namespace gradus::optim::detail {

/// Calls f(i) for each of n elements; large parameters are split over threads.
template <class F>
void for_each_element(int64_t n, F f) {
  constexpr int64_t kGrain = 1 << 15;
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    const F own = f;  // what it captures can be changed by nothing that it writes: the loop can use vectors
    for (int64_t i = begin; i < end; i++) own(i);
  });
}

}  // namespace gradus::optim::detail
