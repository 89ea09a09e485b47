#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#pragma GCC visibility push(default)

namespace gradus::optim::detail {

/// f(i) for each of n elements, of whatever type f is.
class ElementLoop {
 public:
  template <class F>
  ElementLoop(int64_t n, const F& f) noexcept : size(n), run_(run<F>) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= kBytes && alignof(F) <= alignof(double));
    std::memcpy(f_, &f, sizeof f);
  }
  void operator()(int64_t begin, int64_t end) const { run_(f_, begin, end); }

  int64_t size;

 private:
  static constexpr size_t kBytes = 96;

  template <class F>
  static void run(const std::byte* f, int64_t begin, int64_t end) {
    // What a copy holds can be changed by nothing that the loop writes, so the loop can use vectors.
    const F own = *reinterpret_cast<const F*>(f);
    for (int64_t i = begin; i < end; i++) own(i);
  }

  void (*run_)(const std::byte* f, int64_t begin, int64_t end);
  alignas(double) std::byte f_[kBytes];
};

/// Runs loops over different memory as one, split over threads where they are long together. Denormal numbers
/// count as 0.
void run_together(std::span<const ElementLoop> loops);

}  // namespace gradus::optim::detail

#pragma GCC visibility pop
