#include <gradus/autograd/kernels/math.h>
#include <gradus/autograd/kernels/reduce_rows.h>

namespace gradus::GRADUS_LEVEL_NAMESPACE {

extern const kernels::ReduceTable reduce_table;

namespace {

using kernels::Fold;
using kernels::kFoldColumns;

template <class T>
constexpr T kInfinity = std::is_floating_point_v<T> ? T(__builtin_huge_val())
                                                    : saturate<T>(__builtin_huge_val());
template <class T>
constexpr T kLowest = saturate<T>(-__builtin_huge_val());

struct Sum {
  template <class T>
  static constexpr T start = 0;
  template <class T, int N>
  static Vec<T, N> fold(Vec<T, N> a, Vec<T, N> b) {
    return a + b;
  }
  static double fold(double a, double b) { return a + b; }
  static int64_t fold(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
};
struct Max {
  template <class T>
  static constexpr T start = kLowest<T>;
  template <class T, int N>
  static Vec<T, N> fold(Vec<T, N> a, Vec<T, N> b) {
    return maximum(a, b);
  }
  template <class T>
  static T fold(T a, T b) {
    return a > b || a != a ? a : b;  // NOLINT(misc-redundant-expression): for NaN
  }
};
struct Min {
  template <class T>
  static constexpr T start = kInfinity<T>;
  template <class T, int N>
  static Vec<T, N> fold(Vec<T, N> a, Vec<T, N> b) {
    return minimum(a, b);
  }
  template <class T>
  static T fold(T a, T b) {
    return a < b || a != a ? a : b;  // NOLINT(misc-redundant-expression): for NaN
  }
};

/// One vector of Acc, converted from as many T.
template <class Acc, class T>
Vec<Acc> load_as(const T* p) {
  constexpr int N = kLanes<Acc>;
#if GRADUS_VECTOR_BYTES == 64
  // g++ 12 would convert in two halves; its unmasked intrinsic warns.
  if constexpr (std::is_same_v<T, float> && N == 8)
    return (typename Vec<Acc>::Raw)_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(p));
#endif
  return __builtin_convertvector((Vec<T, N>::load(p).raw), typename Vec<Acc>::Raw);
}

/// So many numbers are folded one after the other; more of them by halves, lest a long sum of doubles lose
/// digits.
constexpr int64_t kFoldBlock = 256;

template <class Op, class T, class Acc>
void fold_row(Acc* acc, const T* x, int64_t n) {
  constexpr int N = kLanes<Acc>, kChains = 8;
  if (n > kFoldBlock * kChains * N) {
    Acc halves[2] = {Op::template start<Acc>, Op::template start<Acc>};
    fold_row<Op>(&halves[0], x, n / 2);
    fold_row<Op>(&halves[1], x + n / 2, n - n / 2);
    *acc = Op::fold(*acc, Op::fold(halves[0], halves[1]));
    return;
  }
  Acc result = *acc;
  if (n >= N) {
    // Independent chains hide the latency of the operation.
    Vec<Acc> chain[kChains];
    // Unrolled, lest it become a call of memset.
    _Pragma("GCC unroll 8") for (auto& c : chain) c = Op::template start<Acc>;
    for (; n >= kChains * N; n -= kChains * N, x += kChains * N)
      for (int c = 0; c < kChains; c++) chain[c] = Op::fold(chain[c], load_as<Acc>(x + c * N));
    for (; n >= N; n -= N, x += N) chain[0] = Op::fold(chain[0], load_as<Acc>(x));
    for (int half = kChains / 2; half > 0; half /= 2)
      for (int c = 0; c < half; c++) chain[c] = Op::fold(chain[c], chain[c + half]);
    for (int lane = 0; lane < N; lane++) result = Op::fold(result, Acc(chain[0][lane]));
  }
  for (; n > 0; n--, x++) result = Op::fold(result, Acc(*x));
  *acc = result;
}

template <class Op, int V, class T, class Acc>
void fold_vectors(Acc* acc, const T* x, int64_t rows, int64_t stride) {
  constexpr int N = kLanes<Acc>;
  Vec<Acc> a[V];
  for (int v = 0; v < V; v++) a[v] = Vec<Acc>::load(acc + v * N);
  for (; rows > 0; rows--, x += stride)
    for (int v = 0; v < V; v++) a[v] = Op::fold(a[v], load_as<Acc>(x + v * N));
  for (int v = 0; v < V; v++) a[v].store(acc + v * N);
}

template <class Op, class T, class Acc>
void fold_columns(Acc* acc, const T* x, int64_t rows, int64_t stride, int64_t cols) {
  constexpr int N = kLanes<Acc>;
  // A narrow dense matrix is folded as a wider one with fewer rows, then the groups of columns together.
  if (stride == cols && cols <= kFoldColumns / 2) {
    const int64_t factor = cols & -cols, even = factor < N ? N / factor : 1;
    const int64_t group = kFoldColumns / cols / even * even;
    if (group > 1 && rows >= 2 * group) {
      Acc wide[kFoldColumns];
      for (auto& w : wide) w = Op::template start<Acc>;
      const int64_t whole = rows / group;
      fold_columns<Op>(wide, x, whole, group * cols, group * cols);
      for (int64_t g = 0; g < group; g++)
        for (int64_t j = 0; j < cols; j++) acc[j] = Op::fold(acc[j], wide[g * cols + j]);
      x += whole * group * cols;
      rows -= whole * group;
    }
  }
  if (rows > kFoldBlock) {
    Acc half[kFoldColumns];
    for (auto& h : half) h = Op::template start<Acc>;
    fold_columns<Op>(half, x, rows / 2, stride, cols);
    fold_columns<Op>(acc, x + rows / 2 * stride, rows - rows / 2, stride, cols);
    for (int64_t j = 0; j < cols; j++) acc[j] = Op::fold(acc[j], half[j]);
    return;
  }
  for (; cols >= 8 * N; cols -= 8 * N, acc += 8 * N, x += 8 * N) fold_vectors<Op, 8>(acc, x, rows, stride);
  for (; cols >= 2 * N; cols -= 2 * N, acc += 2 * N, x += 2 * N) fold_vectors<Op, 2>(acc, x, rows, stride);
  for (; cols >= N; cols -= N, acc += N, x += N) fold_vectors<Op, 1>(acc, x, rows, stride);
  for (; cols > 0; cols--, acc++, x++) {
    Acc chain[4] = {*acc, Op::template start<Acc>, Op::template start<Acc>, Op::template start<Acc>};
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4)
      for (int c = 0; c < 4; c++) chain[c] = Op::fold(chain[c], Acc(x[(i + c) * stride]));
    for (; i < rows; i++) chain[0] = Op::fold(chain[0], Acc(x[i * stride]));
    *acc = Op::fold(Op::fold(chain[0], chain[1]), Op::fold(chain[2], chain[3]));
  }
}

/// e^x for x ≤ 0 (or NaN); 0 where that would be denormal, which costs many times as much.
template <class T>
Vec<T> exp_below(Vec<T> x) {
  constexpr T limit = detail::kExpLimit<T>;
  return where(x < -limit, 0, exp(where(x < -limit, -limit, x)));
}

/// y[j] = f(vectors of x… at j) for j < n; the last call may hold lanes beyond n, which are dropped.
template <class T, class F, class... X>
void each_vector(T* y, int64_t n, F f, const X*... x) {
  constexpr int N = kLanes<T>;
  int64_t j = 0;
  for (; j + N <= n; j += N) f(Vec<T>::load(x + j)...).store(y + j);
  if (j < n) f(Vec<T>::load(x + j, n - j)...).store(y + j, n - j);
}

/// The largest of a row, and ln Σ e^(x - largest).
template <class T>
void log_sum_exp(T* m, T* log_sum, const T* x, int64_t n) {
  T largest = kLowest<T>;
  fold_row<Max>(&largest, x, n);
  constexpr int64_t kPiece = 256;
  T e[kPiece];
  double sum = 0;
  for (int64_t j = 0; j < n; j += kPiece) {
    const int64_t length = n - j < kPiece ? n - j : kPiece;
    each_vector(
        e, length, [=](Vec<T> v) { return exp_below<T>(v - largest); }, x + j);
    fold_row<Sum>(&sum, e, length);
  }
  *m = largest;
  *log_sum = T(__builtin_log(sum));
}
template <class T>
void log_sum_exp_columns(T* m, T* log_sum, const T* x, int64_t rows, int64_t stride, int64_t cols) {
  T e[kFoldColumns];
  double sum[kFoldColumns] = {};
  for (int64_t j = 0; j < cols; j++) m[j] = kLowest<T>;
  fold_columns<Max>(m, x, rows, stride, cols);
  for (int64_t i = 0; i < rows; i++) {
    each_vector(
        e, cols, [](Vec<T> v, Vec<T> largest) { return exp_below<T>(v - largest); }, x + i * stride, m);
    fold_columns<Sum>(sum, e, 1, 0, cols);
  }
  for (int64_t j = 0; j < cols; j++) log_sum[j] = T(__builtin_log(sum[j]));
}

template <class T>
void softmax_row(bool log, T* y, const T* x, int64_t n) {
  T m = kLowest<T>;
  if (log) {
    T log_sum;
    log_sum_exp(&m, &log_sum, x, n);
    each_vector(
        y, n, [=](Vec<T> v) { return v - m - log_sum; }, x);
    return;
  }
  double sum = 0;
  fold_row<Max>(&m, x, n);
  each_vector(
      y, n, [=](Vec<T> v) { return exp_below<T>(v - m); }, x);
  fold_row<Sum>(&sum, y, n);
  each_vector(
      y, n, [=](Vec<T> e) { return e / T(sum); }, y);
}
template <class T>
void softmax_columns(bool log, T* y, const T* x, int64_t rows, int64_t stride, int64_t cols) {
  T m[kFoldColumns], by[kFoldColumns];
  if (log) {
    log_sum_exp_columns(m, by, x, rows, stride, cols);
    for (int64_t i = 0; i < rows; i++)
      each_vector(
          y + i * stride, cols,
          [](Vec<T> v, Vec<T> largest, Vec<T> log_sum) { return v - largest - log_sum; }, x + i * stride, m,
          by);
    return;
  }
  double sum[kFoldColumns] = {};
  for (auto& v : m) v = kLowest<T>;
  fold_columns<Max>(m, x, rows, stride, cols);
  for (int64_t i = 0; i < rows; i++) {
    each_vector(
        y + i * stride, cols, [](Vec<T> v, Vec<T> largest) { return exp_below<T>(v - largest); },
        x + i * stride, m);
    fold_columns<Sum>(sum, y + i * stride, 1, 0, cols);
  }
  for (int64_t j = 0; j < cols; j++) by[j] = T(sum[j]);
  for (int64_t i = 0; i < rows; i++)
    each_vector(
        y + i * stride, cols, [](Vec<T> e, Vec<T> total) { return e / total; }, y + i * stride, by);
}

/// Σ a b
template <class T>
double dot(const T* a, const T* b, int64_t n) {
  constexpr int N = kLanes<double>, kChains = 4;
  Vec<double> chain[kChains];
  for (auto& c : chain) c = 0;
  int64_t i = 0;
  for (; i + kChains * N <= n; i += kChains * N)
    for (int c = 0; c < kChains; c++)
      chain[c] = chain[c] + load_as<double>(a + i + c * N) * load_as<double>(b + i + c * N);
  const Vec<double> all = (chain[0] + chain[1]) + (chain[2] + chain[3]);
  double sum = 0;
  for (int lane = 0; lane < N; lane++) sum += all[lane];
  for (; i < n; i++) sum += double(a[i]) * double(b[i]);
  return sum;
}

template <class T>
void softmax_gradient(bool log, T* dx, const T* y, const T* g, int64_t n) {
  double sum = 0;
  if (log)
    fold_row<Sum>(&sum, g, n);
  else
    sum = dot(y, g, n);
  const T s = T(sum);
  if (log)
    each_vector(
        dx, n, [=](Vec<T> v, Vec<T> gv) { return gv - exp_below<T>(v) * s; }, y, g);
  else
    each_vector(
        dx, n, [=](Vec<T> v, Vec<T> gv) { return v * (gv - s); }, y, g);
}
template <class T>
void softmax_gradient_columns(bool log, T* dx, const T* y, const T* g, int64_t rows, int64_t stride,
                              int64_t cols) {
  double sum[kFoldColumns] = {};
  T s[kFoldColumns];
  if (log)
    fold_columns<Sum>(sum, g, rows, stride, cols);
  else
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < cols; j++) sum[j] += double(y[i * stride + j]) * double(g[i * stride + j]);
  for (int64_t j = 0; j < cols; j++) s[j] = T(sum[j]);
  for (int64_t i = 0; i < rows; i++)
    each_vector(
        dx + i * stride, cols,
        [=](Vec<T> v, Vec<T> gv, Vec<T> total) {
          return log ? gv - exp_below<T>(v) * total : v * (gv - total);
        },
        y + i * stride, g + i * stride, s);
}

/// scale e^(x - m - log_sum)
template <class T>
void scaled_softmax(T* y, const T* x, int64_t n, T m, T log_sum, T scale) {
  each_vector(
      y, n, [=](Vec<T> v) { return scale * exp_below<T>(v - m - log_sum); }, x);
}
template <class T>
void scaled_softmax_columns(T* y, const T* x, int64_t rows, int64_t stride, int64_t cols, const T* m,
                            const T* log_sum, const T* scale) {
  for (int64_t i = 0; i < rows; i++)
    each_vector(
        y + i * stride, cols,
        [](Vec<T> v, Vec<T> largest, Vec<T> log, Vec<T> by) { return by * exp_below<T>(v - largest - log); },
        x + i * stride, m, log_sum, scale);
}

template <class Op, class T, class Acc>
constexpr Fold<T, Acc> kFold = {fold_row<Op, T, Acc>, fold_columns<Op, T, Acc>};

template <class T>
constexpr kernels::ReduceRows<T> rows_of() {
  kernels::ReduceRows<T> r{kFold<Sum, T, kernels::SumOf<T>>, kFold<Max, T, T>, kFold<Min, T, T>, {}};
  if constexpr (std::is_floating_point_v<T>)
    r.softmax = {softmax_row<T>, softmax_columns<T>,     softmax_gradient<T>, softmax_gradient_columns<T>,
                 log_sum_exp<T>, log_sum_exp_columns<T>, scaled_softmax<T>,   scaled_softmax_columns<T>};
  return r;
}

}  // namespace

const kernels::ReduceTable reduce_table = {rows_of<uint8_t>(), rows_of<int64_t>(), rows_of<float>(),
                                           rows_of<double>()};

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
