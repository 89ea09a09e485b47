#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/kernels/gemm.h>
#include <gradus/autograd/kernels/gemm_paths.h>
#include <gradus/autograd/kernels/isa.h>
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/autograd/kernels/rows.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>

GRADUS_TABLE_OF_LEVELS(kernels::GemmTable, gemm_table)

namespace gradus::kernels {
namespace {

const GemmTable& table() {
  static const GemmTable& in_use = *gemm_table_of(level_in_use());
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

template <size_t kBytes>
void* memory_of_thread() {
  static constinit thread_local void* memory = nullptr;
  if (memory) return memory;
  // A product in a static destructor comes later; what it takes then stays.
  struct Closer {
    ~Closer() { std::free(std::exchange(memory, nullptr)); }
  };
  static thread_local const Closer closer;
  static_cast<void>(closer);
  memory = std::aligned_alloc(64, kBytes);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void* scratch() { return memory_of_thread<kGemmScratch>(); }

/// How a product is computed. It depends on the sizes and strides alone, never on the number of threads.
template <class T>
struct Plan {
  void (*run)(const Product<T>& p, void* scratch);
  int64_t unit;  // rows or columns that a part should have a multiple of
  bool turned;   // the transpose is computed
};
template <class T>
Plan<T> plan(const Product<T>& p) {
  const GemmPaths<T>& path = paths<T>();
  // Few terms are rounded in another order by the tall path, so any number of rows takes it.
  if ((p.m >= 16 || p.k <= kFewTerms) && p.n <= kTallSize && p.k <= kTallSize && (p.a.col == 1 || p.k == 1))
    return {path.tall, 64, false};
  // Below 64 the sum over lanes at the end costs more than turning b round, as it does for wide products.
  if (p.a.col == 1 && p.b.row == 1 && p.k >= 64 && (p.n <= kDotSize || p.m < 8))
    return {path.dot, 5, p.m < p.n};
  // An a that is contiguous along k is read where it lies, a b is copied.
  const bool turned = p.b.row == 1 && p.b.col != 1 && (p.m < p.n || p.a.row == 1);
  const Product<T> q = turned ? p.turned() : p;
  const bool wide =
      path.least_wide <= q.m && q.m <= path.most_wide && q.m < q.n && q.b.col == 1 && q.c.col == 1;
  return {wide ? path.wide : path.panel, 32, turned};
}

/// Rows, or columns, first … last - 1 of p.
template <class T>
Product<T> piece_of(Product<T> p, bool by_rows, int64_t first, int64_t last) {
  const auto skip = [=](auto& x) {
    if (x.data) x.data += first * (by_rows ? x.row : x.col);
  };
  (by_rows ? p.m : p.n) = last - first;
  skip(by_rows ? p.a : p.b);
  skip(p.bias);
  skip(p.c);
  return p;
}
/// Terms first … last - 1 of p's sums, to `c`.
template <class T>
Product<T> terms_of(const Product<T>& p, int64_t first, int64_t last, const Strided<T>& c) {
  const Strided<const T> a{&p.a(0, first), p.a.row, p.a.col}, b{&p.b(first, 0), p.b.row, p.b.col};
  return {p.m, p.n, last - first, a, b, {nullptr, 0, 0}, c};
}
/// Half of n, in whole units, rounded up.
int64_t first_half(int64_t n, int64_t unit) { return (n / 2 + unit - 1) / unit * unit; }

/// c += x; c is dense along its rows or its columns.
template <class T>
void add(const Product<T>& p, const Strided<const T>& x) {
  if (p.c.col != 1) return add(p.turned(), {x.data, x.col, x.row});
  for (int64_t i = 0; i < p.m; i++)
    for (int64_t j = 0; j < p.n; j++) p.c(i, j) += x(i, j);
}

/// Elements that the halves of a long sum may take besides c.
template <class T>
constexpr int64_t kHalves = (2 << 20) / sizeof(T);

/// Computes p by halves of k, as long as they are long, and adds these: of very many totals, a running sum
/// would be wrong by more than all of its blocks. The second halves go to `rest`.
template <class T>
void run_long(const Plan<T>& chosen, const Product<T>& p, T* rest) {
  if (p.k <= kLongSum) return chosen.run(p, scratch());
  const int64_t half = first_half(p.k, kSumBlock);
  const Strided<T> c = p.c.col == 1 ? Strided<T>{rest, p.n, 1} : Strided<T>{rest, 1, p.m};
  run_long(chosen, terms_of(p, 0, half, p.c), rest);
  run_long(chosen, terms_of(p, half, p.k, c), rest + p.m * p.n);
  add(p, {c.data, c.row, c.col});
  if (p.bias.data) add(p, p.bias);
}
/// The same, in pieces of c that are small enough for that.
template <class T>
void run_part(const Plan<T>& chosen, const Product<T>& p) {
  if (p.k <= kLongSum) return chosen.run(p, scratch());
  const int64_t halvings = std::bit_width(static_cast<uint64_t>((p.k - 1) / kLongSum));
  if (p.m * p.n * halvings <= kHalves<T>)
    return run_long(chosen, p, static_cast<T*>(memory_of_thread<kHalves<T> * sizeof(T)>()));
  const bool by_rows = p.m >= p.n;
  const int64_t size = by_rows ? p.m : p.n, half = first_half(size, chosen.unit);
  run_part(chosen, piece_of(p, by_rows, 0, half));
  run_part(chosen, piece_of(p, by_rows, half, size));
}

template <class T>
void run(const Plan<T>& chosen, const Product<T>& whole) {
  const int64_t multiplications = whole.m * whole.n * whole.k;
  if (multiplications < 2 * kGrain || num_threads() == 1) return run_part(chosen, whole);

  // An element's arithmetic is the same in every part, so the parts may depend on the number of threads.
  // There are few, since each reads the other operand again.
  const bool by_rows = whole.m >= whole.n;
  const int64_t size = by_rows ? whole.m : whole.n, unit = chosen.unit, units = (size + unit - 1) / unit;
  const int64_t parts = std::min({units, multiplications / kGrain, int64_t{2} * num_threads()});
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = units * begin / parts * unit, last = std::min(units * end / parts * unit, size);
    run_part(chosen, piece_of(whole, by_rows, first, last));
  });
}

/// Computes p, and sums[i] = Σ a[i, k] where not null.
template <class T>
void multiply(const Product<T>& p, T* sums) {
  if (paths<T>().outer(p, sums)) return;
  if (sums) {
    Layout columns(Shape{p.k, p.m});
    columns.strides[0] = p.a.col;
    columns.strides[1] = p.a.row;
    const Layout each(Shape{p.m});
    Sum{writes(sums, each), reads(p.a.data, columns), 1}.run();
  }
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t j = 0; j < p.n; j++) p.c(i, j) = p.bias.data ? p.bias(i, j) : T(0);
    return;
  }
  const Plan<T> chosen = plan(p);
  if (chosen.turned)
    run(chosen, p.turned());
  else
    run(chosen, p);
}

}  // namespace

void Matmul::run() const {
  const Layout &ly = *y.layout, &la = *a.layout, &lb = *b.layout;
  const int rank = ly.rank();
  const int a_rows = a_turned ? rank - 1 : rank - 2, a_cols = a_turned ? rank - 2 : rank - 1;
  const int b_rows = b_turned ? rank - 1 : rank - 2, b_cols = b_turned ? rank - 2 : rank - 1;
  const int64_t m = ly.shape[rank - 2], n = ly.shape[rank - 1], k = la.shape[a_cols];
  dispatch_floating(y.dtype, [&]<class T>(T) {
    const Strided<const T> added{bias ? bias.first<const T>() : nullptr, 0, 1};
    const auto product = [&](int64_t at_y, int64_t at_a, int64_t at_b) {
      multiply<T>({m,
                   n,
                   k,
                   {a.at<const T>() + at_a, la.strides[a_rows], la.strides[a_cols]},
                   {b.at<const T>() + at_b, lb.strides[b_rows], lb.strides[b_cols]},
                   added,
                   {y.at<T>() + at_y, ly.strides[rank - 2], 1}},
                  nullptr);
    };
    if (rank == 2) return product(ly.offset, la.offset, lb.offset);
    if (ly.numel() == 0) return;  // of however many matrices
    const auto products = [&](int64_t count, const int64_t* at, const int64_t* s) {
      for (int64_t i = 0; i < count; i++) product(at[0] + i * s[0], at[1] + i * s[1], at[2] + i * s[2]);
    };
    const Shape batch(ly.shape.begin(), static_cast<size_t>(rank - 2));
    // Small products share the threads, a large one has them all.
    if (const int64_t size = m * n * k; size < 2 * kGrain)
      parallel_rows(batch, {&ly, &la, &lb}, kGrain / (size + 1) + 1, products);
    else
      for_each_row(batch, {&ly, &la, &lb}, products);
  });
}

void LinearGradients::run() const {
  const Layout &lg = *g.layout, &lx = *x.layout;
  dispatch_floating(g.dtype, [&]<class T>(T) {
    multiply<T>({lg.shape[1],
                 lx.shape[1],
                 lg.shape[0],
                 {g.first<const T>(), lg.strides[1], lg.strides[0]},
                 {x.first<const T>(), lx.strides[0], lx.strides[1]},
                 {nullptr, 0, 1},
                 {dw.first<T>(), lx.shape[1], 1}},
                db.first<T>());
  });
}

}  // namespace gradus::kernels
