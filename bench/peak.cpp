#include "peak.h"

#include <gradus/autograd/kernels/isa.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "program.h"

namespace bench {
namespace {

/// The least of some 10 ms of attempts.
template <class F>
double least_seconds(F f) {
  double least = 1;
  for (const double end = now() + 0.01; now() < end;) {
    const double start = now();
    f();
    least = std::min(least, now() - start);
  }
  return least;
}

template <class T>
double measure_multiply_add() {
  // Enough chains to keep the multipliers busy, few enough for 16 registers.
  constexpr int kChains = 12, kSteps = 1000, kBytes = GRADUS_VECTOR_BYTES;
  typedef T Vector __attribute__((vector_size(kBytes)));
  Vector chain[kChains] = {}, a = Vector{} + T(0.5), b = Vector{} + T(1);
  const double seconds = least_seconds([&] {
    asm volatile("" : "+m"(a), "+m"(b));
    Vector own[kChains];
    std::copy_n(chain, kChains, own);
    for (int i = 0; i < kSteps; i++)
      for (Vector& c : own) c = c * a + b;
    std::copy_n(own, kChains, chain);
    asm volatile("" : : "m"(chain));
  });
  return seconds / (kSteps * kChains * (kBytes / sizeof(T)));
}

}  // namespace

double seconds_to_move(int64_t bytes) {
  static std::map<int64_t, double> known;
  const auto [found, is_new] = known.try_emplace(bytes);
  if (is_new) {
    std::vector<char> from(static_cast<size_t>(bytes / 2 + 1), 1), to(from.size());
    const int repeats = static_cast<int>(std::max<int64_t>(1, 10000 / bytes));
    found->second = least_seconds([&] {
                      for (int i = 0; i < repeats; i++) {
                        std::memcpy(to.data(), from.data(), from.size());
                        asm volatile("" : : "r"(to.data()) : "memory");
                      }
                    }) /
                    repeats;
  }
  return found->second;
}

double seconds_per_multiply_add(bool f64) {
  static const double f32_seconds = measure_multiply_add<float>(),
                      f64_seconds = measure_multiply_add<double>();
  return f64 ? f64_seconds : f32_seconds;
}

}  // namespace bench
