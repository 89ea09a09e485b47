#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/kernels/gemm.h>
#include <gradus/autograd/kernels/gemm_paths.h>
#include <gradus/autograd/kernels/isa.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace gradus {
namespace baseline {
extern const kernels::GemmTable gemm_table;
}
#ifdef __x86_64__
namespace v3 {
extern const kernels::GemmTable gemm_table;
}
namespace v4 {
extern const kernels::GemmTable gemm_table;
}
#endif
}  // namespace gradus

namespace gradus::kernels {
namespace {

const GemmTable& table() {
  static const GemmTable& in_use = []() -> const GemmTable& {
#ifdef __x86_64__
    if (level_in_use() == Level::v4) return v4::gemm_table;
    if (level_in_use() == Level::v3) return v3::gemm_table;
#endif
    return baseline::gemm_table;
  }();
  return in_use;
}
template <class T>
const GemmPaths<T>& paths() {
  if constexpr (std::is_same_v<T, float>)
    return table().f32;
  else
    return table().f64;
}

/// Multiplications worth a thread: some 20 us.
constexpr int64_t kGrain = 1 << 20;

void* scratch() {
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  thread_local const std::unique_ptr<void, Free> memory(std::aligned_alloc(64, kGemmScratch));
  if (!memory) throw std::bad_alloc();
  return memory.get();
}

template <class T>
void multiply(const Product<T>& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t j = 0; j < p.n; j++) p.c.data[i * p.c.row + j] = p.bias ? p.bias[j] : T(0);
    return;
  }
  if (paths<T>().outer(p)) return;
  const bool tall = p.m >= 16 && p.n <= kTallSize && p.k <= kTallSize && (p.a.col == 1 || p.k == 1);
  // Below 64 the sum over lanes at the end costs more than turning b round, as it does for wide products.
  const bool along_k = p.a.col == 1 && p.b.row == 1 && p.k >= 64 && (p.n <= 24 || p.m < 8);
  const auto run = tall ? paths<T>().tall : along_k ? paths<T>().dot : paths<T>().panel;
  if (p.m * p.n * p.k < 2 * kGrain) return run(p, scratch());

  // An element's arithmetic is the same in every part, so the parts may depend on the number of threads.
  const bool by_rows = p.m >= p.n;
  const int64_t unit = by_rows ? 60 : 96, size = by_rows ? p.m : p.n, units = (size + unit - 1) / unit;
  const int64_t grain = std::max(kGrain * units / (p.m * p.n * p.k), units / (4 * num_threads()));
  parallel_for(units, num_threads() == 1 ? units : grain, [&](int64_t begin, int64_t end) {
    Product<T> piece = p;
    const int64_t first = begin * unit, length = std::min(size, end * unit) - first;
    if (by_rows) {
      piece.m = length;
      piece.a.data += first * p.a.row;
      piece.c.data += first * p.c.row;
    } else {
      piece.n = length;
      piece.b.data += first * p.b.col;
      if (p.bias) piece.bias += first;
      piece.c.data += first;
    }
    run(piece, scratch());
  });
}

}  // namespace

void gemm(Dtype dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t a_row, int64_t a_col,
          const void* b, int64_t b_row, int64_t b_col, const void* bias, void* c, int64_t c_row) {
  dispatch_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    multiply<T>({m,
                 n,
                 k,
                 {static_cast<const T*>(a), a_row, a_col},
                 {static_cast<const T*>(b), b_row, b_col},
                 static_cast<const T*>(bias),
                 {static_cast<T*>(c), c_row, 1}});
  });
}

}  // namespace gradus::kernels
