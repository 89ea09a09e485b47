// The floor: both trainings derived by hand, preallocated, in AVX-512 and without any framework: what the
// machine can do.
#include <immintrin.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "../program.h"

namespace {

// ---- vectors

template <class T>
struct Simd;
template <>
struct Simd<float> {
  using V = __m512;
};
template <>
struct Simd<double> {
  using V = __m512d;
};
template <class T>
using Vec = typename Simd<T>::V;
template <class T>
constexpr int kLanes = 64 / sizeof(T);

template <class T>
Vec<T> load(const T* p) {
  return *reinterpret_cast<const Vec<T>*>(p);
}
template <class T>
void store(T* p, Vec<T> x) {
  *reinterpret_cast<Vec<T>*>(p) = x;
}

__m512 round(__m512 x) { return _mm512_roundscale_ps(x, 0); }
__m512d round(__m512d x) { return _mm512_roundscale_pd(x, 0); }
__m512 scale(__m512 x, __m512 n) { return _mm512_scalef_ps(x, n); }
__m512d scale(__m512d x, __m512d n) { return _mm512_scalef_pd(x, n); }
__m512 abs(__m512 x) { return _mm512_abs_ps(x); }
__m512d abs(__m512d x) { return _mm512_abs_pd(x); }
__m512 max(__m512 x, __m512 y) { return _mm512_max_ps(x, y); }
__m512d max(__m512d x, __m512d y) { return _mm512_max_pd(x, y); }
__m512 min(__m512 x, __m512 y) { return _mm512_min_ps(x, y); }
__m512d min(__m512d x, __m512d y) { return _mm512_min_pd(x, y); }
float sum(__m512 x) { return _mm512_reduce_add_ps(x); }
double sum(__m512d x) { return _mm512_reduce_add_pd(x); }
__m512 mantissa(__m512 x) { return _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_zero); }
__m512d mantissa(__m512d x) { return _mm512_getmant_pd(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_zero); }
__m512 exponent(__m512 x) { return _mm512_getexp_ps(x); }
__m512d exponent(__m512d x) { return _mm512_getexp_pd(x); }

/// 1 / x, by Newton's steps from 14 bits.
__m512 reciprocal(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return y + y * (1 - x * y);
}
__m512d reciprocal(__m512d x) {
  __m512d y = _mm512_rcp14_pd(x), e = 1 - x * y;
  y += y * (e + e * e);
  e = 1 - x * y;
  return y + y * e;
}

/// (eʳ - 1 - r) / r² for |r| ≤ ln 2 / 2, by Taylor.
__m512 exp_tail(__m512 r) {
  __m512 p = _mm512_set1_ps(1.f / 5040);
  for (const float c : {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2}) p = p * r + c;
  return p;
}
__m512d exp_tail(__m512d r) {
  const __m512d r2 = r * r, r4 = r2 * r2;
  const __m512d a = (1. / 120 * r + 1. / 24) * r2 + (1. / 6 * r + 1. / 2);
  const __m512d b = (1. / 362880 * r + 1. / 40320) * r2 + (1. / 5040 * r + 1. / 720);
  const __m512d c = (1. / 6227020800 * r + 1. / 479001600) * r2 + (1. / 39916800 * r + 1. / 3628800);
  return (c * r4 + b) * r4 + a;
}

/// eˣ - 1 for |x| < 87 (float), 708 (double).
template <class V>
V expm1(V x) {
  constexpr bool kFloat = sizeof(x[0]) == 4;
  using T = std::conditional_t<kFloat, float, double>;
  const V n = round(x * T(1.4426950408889634));
  // ln 2 in two parts, the first with trailing zeros
  const V r = x - n * T(kFloat ? 0.693145751953125 : 6.93147180369123816490e-01) -
              n * T(kFloat ? 1.42860677e-6 : 1.90821492927058770002e-10);
  const V s = scale(V{} + T(1), n);
  return (r * r * exp_tail(r) + r) * s + (s - 1);
}
/// ln x for normal x > 0: the series of atanh on a mantissa in [0.75, 1.5).
template <class V>
V log(V x) {
  constexpr bool kFloat = sizeof(x[0]) == 4;
  using T = std::conditional_t<kFloat, float, double>;
  const V m = mantissa(x), e = exponent(x / m), s = (m - 1) / (m + 1), z = s * s;
  constexpr int kLast = kFloat ? 9 : 23;
  V p = V{} + T(2) / kLast;
#pragma GCC unroll 12
  for (int k = kLast - 2; k >= 1; k -= 2) p = p * z + T(2) / k;
  return e * T(0.6931471805599453) + p * s;
}
template <class V>
V clamp(V x, double bound) {
  using T = std::remove_reference_t<decltype(x[0])>;
  return max(min(x, V{} + T(bound)), V{} - T(bound));
}
/// tanh x = (e²ˣ - 1) / (e²ˣ + 1); the clamp keeps denormals away, which cost 150 cycles each.
template <class V>
V tanh(V x) {
  const V e = expm1(clamp(x + x, sizeof(x[0]) == 4 ? 20 : 40));
  return e * reciprocal(e + 2);
}
template <class T>
struct Output {
  Vec<T> p, loss;
};
/// p = sigmoid(z), and the loss max(z, 0) - z y + ln(1 + e^-|z|) of the label y.
template <class T>
Output<T> sigmoid_with_loss(Vec<T> z, Vec<T> y) {
  const Vec<T> magnitude = abs(z), e = expm1(-clamp(magnitude, sizeof(T) == 4 ? 87 : 708)),
               r = reciprocal(e + 2);
  return {z >= 0 ? r : (e + 1) * r, max(z, Vec<T>{}) - z * y + log(e + 2)};
}

// ---- memory and threads

/// Zeros on huge pages.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t n) {
    constexpr size_t kHuge = size_t(2) << 20;
    const size_t bytes = (n * sizeof(T) + kHuge - 1) / kHuge * kHuge;
    data_.reset(static_cast<T*>(std::aligned_alloc(kHuge, bytes)));
    if (!data_) throw std::bad_alloc();
    madvise(data_.get(), bytes, MADV_HUGEPAGE);
    std::memset(data_.get(), 0, bytes);
  }
  operator T*() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
};

template <class T>
void read(const char* name, T* to, size_t count) {
  const std::vector<double> values = bench::read_input(name, count);
  for (size_t i = 0; i < count; i++) to[i] = static_cast<T>(values[i]);
}

/// Threads meet here; they spin, since the next part is microseconds away.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait() {
    const int generation = generation_;
    if (waiting_.fetch_add(1) + 1 == threads_) {
      waiting_ = 0;
      generation_ = generation + 1;
    } else {
      while (generation_ == generation) _mm_pause();
    }
  }

 private:
  const int threads_;
  std::atomic<int> waiting_{0};
  alignas(64) std::atomic<int> generation_{0};
};

/// Without it, both threads may land on one core, where spinning is fatal.
void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// ---- planar: 2 - 4 tanh - 1 sigmoid, 400 samples

template <class T>
class Planar {
 public:
  Planar() {
    T points[2 * kSamples];
    read("planar_X", points, 2 * kSamples);
    for (int i = 0; i < kSamples; i++)
      for (int c = 0; c < 2; c++) x_[c][i] = points[2 * i + c];
    read("planar_Y", y_, kSamples);
    read("planar_W1", w1_[0], 2 * kHidden);
    read("planar_W2", w2_, kHidden);
  }

  /// One step of gradient descent; the loss before it. Three short loops instead of one long one: the
  /// processor overlaps their independent rounds.
  T step() {
    for (int i = 0; i < kSamples; i += kLanes<T>) {
      const V x0 = load(x_[0] + i), x1 = load(x_[1] + i);
#pragma GCC unroll 4
      for (int j = 0; j < kHidden; j++) store(a_[j] + i, tanh(x0 * w1_[j][0] + (x1 * w1_[j][1] + b1_[j])));
    }
    V loss{};
    for (int i = 0; i < kSamples; i += kLanes<T>) {
      const V z = (load(a_[0] + i) * w2_[0] + load(a_[1] + i) * w2_[1]) +
                  (load(a_[2] + i) * w2_[2] + (load(a_[3] + i) * w2_[3] + b2_));
      const V y = load(y_ + i);
      const Output<T> out = sigmoid_with_loss<T>(z, y);
      loss += out.loss;
      store(dz_ + i, out.p - y);
    }
    V dw2[kHidden]{}, db2{}, db1[kHidden]{}, dw1[2][kHidden]{};
    for (int i = 0; i < kSamples; i += kLanes<T>) {
      const V x0 = load(x_[0] + i), x1 = load(x_[1] + i), d = load(dz_ + i);
      db2 += d;
#pragma GCC unroll 4
      for (int j = 0; j < kHidden; j++) {
        const V a = load(a_[j] + i), da = d * a, g = d - da * a;  // (1 - a²) d; the factor w2 comes last
        dw2[j] += da;
        db1[j] += g;
        dw1[0][j] += g * x0;
        dw1[1][j] += g * x1;
      }
    }
    constexpr T lr = T(1.2) / kSamples;
    for (int j = 0; j < kHidden; j++) {
      b1_[j] -= lr * w2_[j] * sum(db1[j]);
      for (int c = 0; c < 2; c++) w1_[j][c] -= lr * w2_[j] * sum(dw1[c][j]);
      w2_[j] -= lr * sum(dw2[j]);
    }
    b2_ -= lr * sum(db2);
    return sum(loss) / kSamples;
  }

 private:
  using V = Vec<T>;
  static constexpr int kSamples = 400, kHidden = 4;
  static_assert(kSamples % kLanes<T> == 0);

  alignas(64) T x_[2][kSamples + 48], y_[kSamples];
  alignas(64) T a_[kHidden][kSamples + 48], dz_[kSamples];
  T w1_[kHidden][2], b1_[kHidden]{}, w2_[kHidden], b2_ = 0;
};

// ---- cats: 12288 - 20 relu - 7 relu - 5 relu - 1 sigmoid, 209 samples. Each iteration reads x twice, as a
// framework that runs forward, then backward must.

template <class T>
class Cats {
 public:
  explicit Cats(int threads) : threads_(threads), barrier_(threads) {
    for (int t = 0; t < threads; t++) {
      sums_.emplace_back(size_t(kRows) * kUnits * kLanes<T>);
      z_.emplace_back(kUnits * kColumn);
    }
    pack("cats_X", x_, kSamples, kRows);
    pack("cats_W1", w1_, kUnits, kUnits);
    read<T>("cats_Y", y_, kSamples);
    read("cats_W2", w2_, 7 * 20);
    read("cats_W3", w3_, 5 * 7);
    read("cats_W4", w4_, 5);
  }

  /// Returns the loss of the last iteration.
  T train(int iterations) {
    std::vector<std::thread> workers;
    for (int t = 1; t < threads_; t++)
      workers.emplace_back([=, this] {
        pin(t);
        work(t, iterations);
      });
    if (threads_ > 1) pin(0);
    work(0, iterations);
    for (std::thread& worker : workers) worker.join();
    return loss_;
  }

 private:
  using V = Vec<T>;
  static constexpr int kSamples = 209, kRows = 210, kInputs = 12288, kUnits = 20;
  // x and w1 are cut into panels of kWidth columns, and panels are multiplied a block at a time:
  // [panel][row][column].
  static constexpr int kWidth = 2 * kLanes<T>, kPanels = kInputs / kWidth, kBlock = 16;
  // The samples of one unit, padded; the 32 columns of a_ and dz_ are the units of layers 1 (20), 2 (7) and 3
  // (5).
  static constexpr int kColumn = 256, kLayer2 = 20 * kColumn, kLayer3 = 27 * kColumn;
  static constexpr T kStep = T(0.0075) / kSamples;

  static void pack(const char* name, T* to, int rows, int stride) {
    const std::vector<double> values = bench::read_input(name, size_t(rows) * kInputs);
    for (int p = 0; p < kPanels; p++)
      for (int i = 0; i < rows; i++)
        for (int c = 0; c < kWidth; c++)
          to[(size_t(p) * stride + i) * kWidth + c] =
              static_cast<T>(values[size_t(i) * kInputs + p * kWidth + c]);
  }
  T* x_panel(int p) const { return x_ + size_t(p) * kRows * kWidth; }
  T* w1_panel(int p) const { return w1_ + size_t(p) * kUnits * kWidth; }

  void work(int thread, int iterations) {
    const int first = kPanels / threads_ / kBlock * thread * kBlock;
    const int last = thread + 1 == threads_ ? kPanels : kPanels / threads_ / kBlock * (thread + 1) * kBlock;
    for (int i = 0; i < iterations; i++) {
      std::memset(sums_[thread], 0, sizeof(V) * kRows * kUnits);
      for (int p = first; p < last; p += kBlock) multiply_block(x_panel(p), w1_panel(p), sums_[thread]);
      add_lanes(sums_[thread], z_[thread]);
      barrier_.wait();
      if (thread == 0) loss_ = upper_layers();
      barrier_.wait();
      for (int p = first; p < last; p++) update_panel(x_panel(p), w1_panel(p));
    }
  }

  /// sums[i][j] += Σ x[i] · w[j] over a block of panels, in lanes; tiles of 5 x 5 stay in registers.
  [[gnu::noinline]] static void multiply_block(const T* x, const T* w, T* sums) {
    int i = 0;
    for (; i + 5 <= kSamples; i += 5)
      for (int j = 0; j < kUnits; j += 5)
        multiply_tile<5>(x + i * kWidth, w + j * kWidth, sums + (i * kUnits + j) * kLanes<T>);
    for (int j = 0; j < kUnits; j += 5)
      multiply_tile<kSamples % 5>(x + i * kWidth, w + j * kWidth, sums + (i * kUnits + j) * kLanes<T>);
  }
  template <int M>
  [[gnu::always_inline]] static inline void multiply_tile(const T* x, const T* w, T* sums) {
    V* rows = reinterpret_cast<V*>(sums);
    V c[M][5];
    for (int a = 0; a < M; a++)
      for (int b = 0; b < 5; b++) c[a][b] = rows[a * kUnits + b];
    for (int p = 0; p < kBlock; p++, x += kRows * kWidth, w += kUnits * kWidth)
#pragma GCC unroll 2
      for (int half = 0; half < kWidth; half += kLanes<T>) {
        V wb[5];
#pragma GCC unroll 5
        for (int b = 0; b < 5; b++) wb[b] = load(w + b * kWidth + half);
#pragma GCC unroll 5
        for (int a = 0; a < M; a++) {
          const V xa = load(x + a * kWidth + half);
#pragma GCC unroll 5
          for (int b = 0; b < 5; b++) c[a][b] += xa * wb[b];
        }
      }
    for (int a = 0; a < M; a++)
      for (int b = 0; b < 5; b++) rows[a * kUnits + b] = c[a][b];
  }
  [[gnu::noinline]] static void add_lanes(const T* sums, T* z) {
    for (int i = 0; i < kSamples; i++)
      for (int j = 0; j < kUnits; j++) z[j * kColumn + i] = sum(load(sums + (i * kUnits + j) * kLanes<T>));
  }

  /// w1 -= lr · dz1ᵀ x for the columns of one panel.
  [[gnu::noinline]] void update_panel(const T* x, T* w) const {
    for (int j = 0; j < kUnits; j += 10) {
      V left[10]{}, right[10]{};
      const T* row = x;
      const T* dz = dz1_rows_ + j;
      for (int i = 0; i < kSamples; i++, row += kWidth, dz += kUnits) {
        const V a = load(row), b = load(row + kLanes<T>);
#pragma GCC unroll 10
        for (int q = 0; q < 10; q++) {
          left[q] += a * dz[q];
          right[q] += b * dz[q];
        }
      }
      for (int q = 0; q < 10; q++) {
        T* to = w + (j + q) * kWidth;
        store(to, load(to) - left[q] * kStep);
        store(to + kLanes<T>, load(to + kLanes<T>) - right[q] * kStep);
      }
    }
  }

  /// y = relu(w x + b) for the samples in one vector, x from `in` and y to `out`, one column for each unit.
  template <int In, int Out>
  static void forward(const T* w, const T* b, const V* x, V* y) {
    for (int q = 0; q < Out; q++) {
      V even = V{} + b[q], odd{};
      for (int j = 0; j + 1 < In; j += 2) {
        even += x[j] * w[q * In + j];
        odd += x[j + 1] * w[q * In + j + 1];
      }
      if (In % 2) even += x[In - 1] * w[q * In + In - 1];
      y[q] = max(even + odd, V{});
    }
  }
  /// dx = wᵀ dy where relu let x through.
  template <int In, int Out>
  static void backward(const T* w, const V* x, const V* dy, V* dx) {
    for (int j = 0; j < In; j++) {
      V g{};
      for (int q = 0; q < Out; q++) g += dy[q] * w[q * In + j];
      dx[j] = x[j] > 0 ? g : V{};
    }
  }
  template <int Units>
  static void store_columns(T* to, const V* x) {
    for (int j = 0; j < Units; j++) store(to + j * kColumn, x[j]);
  }
  /// Σ a b over the samples; b null: Σ a.
  static T dot(const T* a, const T* b) {
    V s{};
    for (int i = 0; i < kSamples; i += kLanes<T>) s += b ? load(a + i) * load(b + i) : load(a + i);
    return sum(s);
  }
  template <int In, int Out>
  static void update(T* w, T* b, const T* dz, const T* x) {
    for (int q = 0; q < Out; q++) {
      b[q] -= kStep * dot(dz + q * kColumn, nullptr);
      for (int j = 0; j < In; j++) w[q * In + j] -= kStep * dot(dz + q * kColumn, x + j * kColumn);
    }
  }

  /// All but layer 1's products, and the update of all but w1. Returns the loss.
  [[gnu::noinline]] T upper_layers() {
    V dw4[5]{}, db4{}, loss{};
    for (int i = 0; i < kSamples; i += kLanes<T>) {
      V mask, a1[20], a2[7], a3[5], d1[20], d2[7], d3[5];
      for (int q = 0; q < kLanes<T>; q++) mask[q] = i + q < kSamples;
      for (int j = 0; j < 20; j++) {
        V z = V{} + b1_[j];
        for (const Buffer<T>& part : z_) z += load(part + j * kColumn + i);
        a1[j] = max(z, V{});
      }
      forward<20, 7>(w2_, b2_, a1, a2);
      forward<7, 5>(w3_, b3_, a2, a3);
      V z = V{} + b4_;
      for (int q = 0; q < 5; q++) z += a3[q] * w4_[q];
      const V y = load(y_ + i);
      const Output<T> out = sigmoid_with_loss<T>(z, y);
      loss += out.loss * mask;
      const V d = (out.p - y) * mask;
      db4 += d;
      for (int q = 0; q < 5; q++) dw4[q] += d * a3[q];
      backward<5, 1>(w4_, a3, &d, d3);
      backward<7, 5>(w3_, a2, d3, d2);
      backward<20, 7>(w2_, a1, d2, d1);
      store_columns<20>(a_ + i, a1);
      store_columns<7>(a_ + kLayer2 + i, a2);
      store_columns<20>(dz_ + i, d1);
      store_columns<7>(dz_ + kLayer2 + i, d2);
      store_columns<5>(dz_ + kLayer3 + i, d3);
    }
    for (int i = 0; i < kSamples; i++)
      for (int j = 0; j < kUnits; j++) dz1_rows_[i * kUnits + j] = dz_[j * kColumn + i];
    for (int q = 0; q < 5; q++) w4_[q] -= kStep * sum(dw4[q]);
    b4_ -= kStep * sum(db4);
    update<7, 5>(w3_, b3_, dz_ + kLayer3, a_ + kLayer2);
    update<20, 7>(w2_, b2_, dz_ + kLayer2, a_);
    for (int j = 0; j < kUnits; j++) b1_[j] -= kStep * dot(dz_ + j * kColumn, nullptr);
    return sum(loss) / kSamples;
  }

  const int threads_;
  Barrier barrier_;
  Buffer<T> x_{size_t(kPanels) * kRows * kWidth}, w1_{size_t(kPanels) * kUnits * kWidth}, y_{kColumn};
  Buffer<T> a_{32 * kColumn}, dz_{32 * kColumn}, dz1_rows_{kRows * kUnits};
  std::vector<Buffer<T>> sums_, z_;  // one for each thread
  T b1_[20]{}, w2_[7 * 20], b2_[7]{}, w3_[5 * 7], b3_[5]{}, w4_[5], b4_ = 0;
  T loss_ = 0;
};

template <class T>
void run_as(const bench::Request& request) {
  std::vector<bench::Training> repetitions;
  for (int r = 0; r < request.reps; r++) {
    if (request.workload == "planar") {
      Planar<T> planar;
      T loss = 0;
      const double start = bench::now();
      for (int i = 0; i < request.iterations; i++) loss = planar.step();
      repetitions.push_back({bench::now() - start, loss});
    } else {
      Cats<T> cats(request.threads);
      const double start = bench::now();
      const T loss = cats.train(request.iterations);
      repetitions.push_back({bench::now() - start, loss});
    }
  }
  request.workload == "planar" ? print_planar(request, repetitions) : print_cats(request, repetitions);
}

void run(const bench::Request& request) {
  const int most = request.workload == "planar" ? 1 : static_cast<int>(std::thread::hardware_concurrency());
  if (request.threads > most)
    throw std::runtime_error(std::to_string(request.threads) + " threads: at most " + std::to_string(most) +
                             " for " + request.workload);
  request.f64 ? run_as<double>(request) : run_as<float>(request);
}

}  // namespace

int main(int argc, char** argv) { return bench::program_main(argc, argv, {"planar", "cats"}, run); }
