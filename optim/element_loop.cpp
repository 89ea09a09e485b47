#include <gradus/autograd/base/parallel.h>
#include <gradus/optim/element_loop.h>

#include <algorithm>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace gradus::optim::detail {
namespace {

/// While it lives, this thread's vector unit reads and writes denormal numbers as 0.
class NoDenormals {
 public:
#ifdef __SSE__
  NoDenormals() noexcept : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
  ~NoDenormals() { _mm_setcsr(before_); }
  NoDenormals(const NoDenormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 1u << 15, kDenormalsAreZero = 1u << 6;
  unsigned before_;
#endif
};

/// Pieces begin at whole cache lines of every parameter.
constexpr int64_t kUnit = 16;
/// Units that are some 20 us of work.
constexpr int64_t kGrain = (1 << 15) / kUnit;

int64_t units(const ElementLoop& loop) { return (loop.size + kUnit - 1) / kUnit; }

}  // namespace

void run_together(std::span<const ElementLoop> loops) {
  int64_t total = 0;
  for (const ElementLoop& loop : loops) total += units(loop);
  parallel_for(total, kGrain, [&](int64_t begin, int64_t end) {
    [[maybe_unused]] const NoDenormals no_denormals;
    for (const ElementLoop& loop : loops) {
      const int64_t own = units(loop);
      if (begin < own && end > 0) loop(std::max<int64_t>(begin, 0) * kUnit, std::min(end * kUnit, loop.size));
      begin -= own;
      end -= own;
    }
  });
}

}  // namespace gradus::optim::detail
