#pragma once
#include <cstdint>
#include <type_traits>

#pragma GCC visibility push(default)

namespace gradus {

/// How many threads a kernel may use. At first: the number of hardware threads.
int num_threads() noexcept;
/// Sets num_threads(), at least 1. Results do not depend on it, to the last bit.
void set_num_threads(int n);

namespace detail {
/// Where part i begins if n is cut into parts as equal as can be; n for i = parts.
constexpr int64_t part_start(int64_t n, int64_t parts, int64_t i) noexcept {
  return n / parts * i + (n % parts < i ? n % parts : i);
}
/// Calls run(context, block) for every block in [0, blocks), on any thread, in any order.
void run_blocks(int64_t blocks, void (*run)(void* context, int64_t block), void* context);
/// For a forked child, which has no other threads.
void forget_workers() noexcept;
}  // namespace detail

/// Calls f(begin, end) on consecutive pieces of [0, n), perhaps on several threads. `grain` is the least
/// number of items worth handing over (some 20 us of work). The pieces depend on n and grain alone.
/// A call from inside a piece, or while another thread's call runs, stays on its own thread. If pieces
/// throw, one of the exceptions reaches the caller and pieces that have not begun are left out.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (n / 2 < grain) return static_cast<void>(f(int64_t(0), n));
  struct Pieces {
    std::remove_reference_t<F>& f;
    int64_t n, blocks;
  } pieces{f, n, n / grain};
  detail::run_blocks(
      pieces.blocks,
      [](void* context, int64_t block) {
        const Pieces& p = *static_cast<Pieces*>(context);
        p.f(detail::part_start(p.n, p.blocks, block), detail::part_start(p.n, p.blocks, block + 1));
      },
      &pieces);
}

}  // namespace gradus

#pragma GCC visibility pop
