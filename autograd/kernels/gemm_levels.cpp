#include <gradus/autograd/kernels/gemm_paths.h>
#include <gradus/autograd/kernels/vec.h>

#include <utility>

#define GRADUS_UNROLL _Pragma("GCC unroll 16")

namespace gradus::GRADUS_LEVEL_NAMESPACE {

extern const kernels::GemmTable gemm_table;

namespace {

using kernels::Product;
using kernels::Strided;

template <class T>
using Raw = typename Vec<T>::Raw;

/// What a tile of c at column j is added to: its elements so far, or first the bias, or nothing (null).
template <class T>
Strided<const T> start_of(const Product<T>& p, bool first, const Strided<T>& c, int64_t j) {
  if (!first) return {c.data, c.row, 1};
  return {p.bias ? p.bias + j : nullptr, 0, 1};
}

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
/// The i-th of `parts` nearly equal parts of n begins here.
constexpr int64_t part(int64_t n, int64_t parts, int64_t i) { return n * i / parts; }

// ---- dot: both operands contiguous along k

/// A dot tile is kTile x kTile sums, all in registers.
constexpr int kTile = GRADUS_VECTOR_BYTES == 64 ? 5 : 3;
/// Of k that is multiplied at a time, so that a tile's operands stay in the first-level cache.
template <class T>
constexpr int64_t kDotBlock = 2048 / sizeof(T);
constexpr int64_t kDotColumns = 24 * kTile;

template <class T, int N, int... I>
T sum_lanes(typename Vec<T, N>::Raw v, std::integer_sequence<int, I...>) {
  if constexpr (N == 2) {
    return v[0] + v[1];
  } else {
    return sum_lanes<T, N / 2>(
        __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + N / 2)...),
        std::make_integer_sequence<int, N / 4>{});
  }
}
template <class T>
T sum_lanes(Raw<T> v) {
  return sum_lanes<T, kLanes<T>>(v, std::make_integer_sequence<int, kLanes<T> / 2>{});
}

/// Vector v of row i goes to y[v · rows + i]; the last vector is filled up with zeros.
template <class T>
void pack_vectors(T* y, const T* x, int64_t stride, int64_t rows, int64_t k) {
  constexpr int N = kLanes<T>;
  for (int64_t i = 0; i < rows; i++, x += stride) {
    T* to = y + i * N;
    int64_t p = 0;
    for (; p + N <= k; p += N, to += rows * N) Vec<T>::load(x + p).store(to);
    if (p < k) Vec<T>::load(x + p, k - p).store(to);
  }
}

/// c[M, N] = start + a · b over `count` packed vectors; what `next` and `after` point to is wanted soon.
template <class T, int M, int N>
void dot_tile(int64_t count, const T* a, const T* b, Strided<const T> start, Strided<T> c, const T* next,
              const T* after) {
  constexpr int L = kLanes<T>;
  Raw<T> sum[M][N];
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int j = 0; j < N; j++) sum[i][j] = Raw<T>{};
  for (; count > 0; count--, a += M * L, b += N * L, next += L, after += L) {
    __builtin_prefetch(next);
    __builtin_prefetch(after);
    Raw<T> bs[N];
    GRADUS_UNROLL for (int j = 0; j < N; j++) bs[j] = Vec<T>::load(b + j * L).raw;
    GRADUS_UNROLL for (int i = 0; i < M; i++) {
      const Raw<T> ai = Vec<T>::load(a + i * L).raw;
      GRADUS_UNROLL for (int j = 0; j < N; j++) sum[i][j] += ai * bs[j];
    }
  }
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int j = 0; j < N; j++) {
    const T s = sum_lanes<T>(sum[i][j]);
    c.data[i * c.row + j] = start.data ? start.data[i * start.row + j] + s : s;
  }
}

template <class T>
using DotTile = void (*)(int64_t, const T*, const T*, Strided<const T>, Strided<T>, const T*, const T*);
/// Entry i · kTile + j is the tile of i + 1 rows and j + 1 columns.
template <class T, int... I>
constexpr auto dot_tiles(std::integer_sequence<int, I...>) {
  struct Table {
    DotTile<T> at[sizeof...(I)];
  };
  return Table{{dot_tile<T, I / kTile + 1, I % kTile + 1>...}};
}
template <class T>
constexpr auto kDotTiles = dot_tiles<T>(std::make_integer_sequence<int, kTile * kTile>{});

template <class T>
void dot(const Product<T>& p, void* scratch) {
  constexpr int64_t L = kLanes<T>, block = kDotBlock<T>;
  T* const packed_a = static_cast<T*>(scratch);
  T* const packed_b = packed_a + kTile * block;
  for (int64_t j0 = 0; j0 < p.n; j0 += kDotColumns) {
    const int64_t j1 = smaller(p.n, j0 + kDotColumns);
    for (int64_t q = 0; q < p.k; q += block) {
      const int64_t k = smaller(block, p.k - q), count = (k + L - 1) / L;
      for (int64_t j = j0; j < j1; j += kTile)
        pack_vectors(packed_b + (j - j0) * count * L, p.b.data + j * p.b.col + q, p.b.col,
                     smaller(kTile, j1 - j), k);
      for (int64_t i = 0; i < p.m; i += kTile) {
        const int64_t rows = smaller(kTile, p.m - i), left = p.m - i - rows;
        const T* const a = p.a.data + i * p.a.row + q;
        pack_vectors(packed_a, a, p.a.row, rows, k);
        for (int64_t j = j0, tile = 0; j < j1; j += kTile, tile++) {
          const int64_t next = 2 * tile < left ? rows + 2 * tile : 0,
                        after = 2 * tile + 1 < left ? next + 1 : 0;
          const Strided<T> c = {p.c.data + i * p.c.row + j, p.c.row, 1};
          kDotTiles<T>.at[(rows - 1) * kTile + smaller(kTile, j1 - j) - 1](
              count, packed_a, packed_b + (j - j0) * count * L, start_of(p, q == 0, c, j), c,
              a + next * p.a.row, a + after * p.a.row);
        }
      }
    }
  }
}

// ---- panel: rows of b times elements of a

/// A panel tile is up to kRows rows of 2 vectors, all in registers.
constexpr int kRows = GRADUS_VECTOR_BYTES == 64 ? 12 : GRADUS_VECTOR_BYTES == 32 ? 6 : 4;
constexpr int64_t kPanelBlock = 256;
/// For few rows, or where b is small (in bytes), its strips are read where they lie, else they are copied.
constexpr int64_t kDirectRows = 2 * kRows, kDirectSize = 32 << 10;

template <class T, int M>
void pack_rows(T* y, const T* a, int64_t row, int64_t col, int64_t k) {
  for (; k > 0; k--, a += col, y += M) GRADUS_UNROLL for (int i = 0; i < M; i++) y[i] = a[i * row];
}

/// c[M, cols] = start + a · b: a packed [k, M], a row of b every `b_row`; cols in ((V-1)·L, V·L], V·L unless
/// Masked.
template <class T, int M, int V, bool Masked>
void panel_tile(int64_t k, const T* a, const T* b, int64_t b_row, Strided<const T> start, Strided<T> c,
                int64_t cols) {
  constexpr int L = kLanes<T>;
  const int64_t last = cols - (V - 1) * L;
  const auto load = [&](const T* x, int v) {
    return Masked && v == V - 1 ? Vec<T>::load(x + v * L, last).raw : Vec<T>::load(x + v * L).raw;
  };
  Raw<T> sum[M][V];
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int v = 0; v < V; v++) sum[i][v] =
      start.data ? load(start.data + i * start.row, v) : Raw<T>{};
  for (; k > 0; k--, a += M, b += b_row) {
    Raw<T> bs[V];
    // The next strip's part of this row.
    GRADUS_UNROLL for (int v = 0; v < V; v++) __builtin_prefetch(b + (V + v) * L);
    GRADUS_UNROLL for (int v = 0; v < V; v++) bs[v] = load(b, v);
    GRADUS_UNROLL for (int i = 0; i < M; i++) {
      const Raw<T> ai = a[i] - Raw<T>{};
      GRADUS_UNROLL for (int v = 0; v < V; v++) sum[i][v] += ai * bs[v];
    }
  }
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int v = 0; v < V; v++) {
    T* const to = c.data + i * c.row + v * L;
    if (Masked && v == V - 1)
      Vec<T>(sum[i][v]).store(to, last);
    else
      Vec<T>(sum[i][v]).store(to);
  }
}

template <class T>
using PanelTile = void (*)(int64_t, const T*, const T*, int64_t, Strided<const T>, Strided<T>, int64_t);
template <class T>
struct PanelTiles {
  void (*pack[kRows])(T*, const T*, int64_t, int64_t, int64_t);
  PanelTile<T> full[kRows], wide[kRows], narrow[kRows];
};
template <class T, int... I>
constexpr PanelTiles<T> panel_tiles(std::integer_sequence<int, I...>) {
  return {{pack_rows<T, I + 1>...},
          {panel_tile<T, I + 1, 2, false>...},
          {panel_tile<T, I + 1, 2, true>...},
          {panel_tile<T, I + 1, 1, true>...}};
}
template <class T>
constexpr PanelTiles<T> kPanelTiles = panel_tiles<T>(std::make_integer_sequence<int, kRows>{});

/// Vectors of L rows become vectors of L columns: log2 L rounds of zipping row i with row i + L / 2.
template <class T, int... I>
void transpose(Raw<T> (&rows)[sizeof...(I)], std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  GRADUS_UNROLL for (int round = 1; round < L; round *= 2) {
    Raw<T> zipped[L];
    GRADUS_UNROLL for (int i = 0; i < L / 2; i++) {
      zipped[2 * i] = __builtin_shufflevector(rows[i], rows[i + L / 2], (I / 2 + I % 2 * L)...);
      zipped[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + L / 2], (L / 2 + I / 2 + I % 2 * L)...);
    }
    GRADUS_UNROLL for (int i = 0; i < L; i++) rows[i] = zipped[i];
  }
}

/// The first `cols` columns of b as rows of two vectors; lanes beyond them are left as they are.
template <class T>
void pack_strip(T* y, const Strided<const T>& b, int64_t k, int64_t cols) {
  constexpr int64_t L = kLanes<T>, width = 2 * L;
  if (b.col == 1 && cols == width) {
    for (int64_t p = 0; p < k; p++, y += width) {
      Vec<T>::load(b.data + p * b.row).store(y);
      Vec<T>::load(b.data + p * b.row + L).store(y + L);
    }
    return;
  }
  const int64_t whole = b.row == 1 ? k / L * L : 0, whole_cols = whole > 0 ? cols / L * L : 0;
  for (int64_t p = 0; p < whole; p += L)
    for (int64_t j = 0; j < whole_cols; j += L) {
      Raw<T> block[L];
      GRADUS_UNROLL for (int i = 0; i < L; i++) block[i] = Vec<T>::load(b.data + (j + i) * b.col + p).raw;
      transpose<T>(block, std::make_integer_sequence<int, L>{});
      GRADUS_UNROLL for (int i = 0; i < L; i++) Vec<T>(block[i]).store(y + (p + i) * width + j);
    }
  for (int64_t j = 0; j < cols; j++)
    for (int64_t p = j < whole_cols ? whole : 0; p < k; p++) y[p * width + j] = b.data[p * b.row + j * b.col];
}

template <class T>
void panel(const Product<T>& p, void* scratch) {
  constexpr int64_t L = kLanes<T>, width = 2 * L;
  constexpr int64_t kRowBlock = (256 << 10) / (kPanelBlock * int64_t(sizeof(T))) / kRows * kRows;
  T* const strip = static_cast<T*>(scratch);
  T* const packed_a = strip + kPanelBlock * width;
  const bool direct = p.b.col == 1 && (p.m <= kDirectRows || p.k * p.n * int64_t(sizeof(T)) <= kDirectSize);
  const int64_t blocks = (p.k + kPanelBlock - 1) / kPanelBlock;
  for (int64_t i0 = 0; i0 < p.m; i0 += kRowBlock) {
    const int64_t m = smaller(kRowBlock, p.m - i0), tiles = (m + kRows - 1) / kRows;
    for (int64_t q = 0; q < blocks; q++) {
      const int64_t q0 = part(p.k, blocks, q), k = part(p.k, blocks, q + 1) - q0;
      for (int64_t t = 0; t < tiles; t++) {
        const int64_t first = part(m, tiles, t), rows = part(m, tiles, t + 1) - first;
        const T* const a = p.a.data + (i0 + first) * p.a.row + q0 * p.a.col;
        kPanelTiles<T>.pack[rows - 1](packed_a + first * k, a, p.a.row, p.a.col, k);
      }
      for (int64_t j = 0; j < p.n; j += width) {
        const int64_t cols = smaller(width, p.n - j);
        const T* b = p.b.data + q0 * p.b.row + j * p.b.col;
        if (!direct) pack_strip<T>(strip, {b, p.b.row, p.b.col}, k, cols);
        const auto& kind = cols == width ? kPanelTiles<T>.full
                           : cols > L    ? kPanelTiles<T>.wide
                                         : kPanelTiles<T>.narrow;
        for (int64_t t = 0; t < tiles; t++) {
          const int64_t first = part(m, tiles, t), rows = part(m, tiles, t + 1) - first;
          const Strided<T> c = {p.c.data + (i0 + first) * p.c.row + j, p.c.row, 1};
          kind[rows - 1](k, packed_a + first * k, direct ? b : strip, direct ? p.b.row : width,
                         start_of(p, q == 0, c, j), c, cols);
        }
      }
    }
  }
}

// ---- tall: n and k are small, m is long; rounded as by a panel, so that a row is the same for any m

/// The lanes Index::at(0), Index::at(1) … of v.
template <class Index, class T, int... I>
Raw<T> pick(Raw<T> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, Index::at(I)...);
}
template <class Index, class T>
Raw<T> pick(Raw<T> v) {
  return pick<Index, T>(v, std::make_integer_sequence<int, kLanes<T>>{});
}

/// Lane l of a vector of c[m, N] is row l / N, and needs element P of that row of a[m, K].
template <int N, int K, int P>
struct RowElement {
  static constexpr int at(int lane) { return lane / N * K + P; }
};

/// c[m, N] = a[m, K] · b, K ≤ N, a and c dense: a vector of c is K products of spread elements of a with a
/// pattern of b.
template <class T, int N, int K>
void tall_spread(const Product<T>& p) {
  constexpr int L = kLanes<T>, kRowsAtOnce = L / N;
  Raw<T> bias, pattern[K];
  for (int lane = 0; lane < L; lane++) {
    const int j = lane % N;
    bias[lane] = p.bias ? p.bias[j] : T(0);
    for (int q = 0; q < K; q++) pattern[q][lane] = p.b.data[q * p.b.row + j * p.b.col];
  }
  const auto multiply = [&]<int... P>(Raw<T> x, std::integer_sequence<int, P...>) {
    Raw<T> y = bias;
    ((y += pick<RowElement<N, K, P>, T>(x) * pattern[P]), ...);
    return Vec<T>(y);
  };
  constexpr std::make_integer_sequence<int, K> terms;
  const T* a = p.a.data;
  T* c = p.c.data;
  int64_t left = p.m;
  for (; left * K >= L; left -= kRowsAtOnce, a += kRowsAtOnce * K, c += L)
    multiply(Vec<T>::load(a).raw, terms).store(c);
  for (; left > 0; left -= kRowsAtOnce, a += kRowsAtOnce * K, c += L) {
    const Vec<T> y = multiply(Vec<T>::load(a, left * K).raw, terms);
    if (left >= kRowsAtOnce)
      y.store(c);
    else
      y.store(c, left * N);
  }
}

/// K vectors holding rows of K elements become K vectors holding a column each: log2 K rounds of parting the
/// even lanes of all from the odd ones.
template <class T, int K, int... I>
void to_columns(Raw<T> (&x)[K], std::integer_sequence<int, I...>) {
  GRADUS_UNROLL for (int round = 1; round < K; round *= 2) {
    Raw<T> parted[K];
    GRADUS_UNROLL for (int i = 0; i < K / 2; i++) {
      parted[i] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], (2 * I)...);
      parted[i + K / 2] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], (2 * I + 1)...);
    }
    GRADUS_UNROLL for (int i = 0; i < K; i++) x[i] = parted[i];
  }
}
/// c[m, 1] = a[m, K] · b, K a power of two, a and c dense: a vector of c is the sum of a's columns times the
/// elements of b.
template <class T, int K>
void tall_columns(const Product<T>& p) {
  constexpr int L = kLanes<T>;
  T b[K];
  for (int q = 0; q < K; q++) b[q] = p.b.data[q * p.b.row];
  const T bias = p.bias ? *p.bias : T(0);
  const auto multiply = [&](const T* a) {
    Raw<T> x[K], y = bias - Raw<T>{};
    GRADUS_UNROLL for (int q = 0; q < K; q++) x[q] = Vec<T>::load(a + q * L).raw;
    to_columns<T>(x, std::make_integer_sequence<int, L>{});
    GRADUS_UNROLL for (int q = 0; q < K; q++) y += x[q] * b[q];
    return Vec<T>(y);
  };
  const T* a = p.a.data;
  T* c = p.c.data;
  int64_t left = p.m;
  for (; left >= L; left -= L, a += L * K, c += L) multiply(a).store(c);
  if (left > 0) {
    T rest[L * K] = {};
    for (int64_t i = 0; i < left * K; i++) rest[i] = a[i];
    multiply(rest).store(c, left);
  }
}

/// c[m, n] = a[m, K] · b, a row of c at a time.
template <class T, int K>
void tall_rows(const Product<T>& p) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t j = 0; j < p.n; j += L) {
    const int64_t cols = smaller(L, p.n - j);
    Raw<T> bias = {}, bs[K] = {};
    for (int64_t lane = 0; lane < cols; lane++) {
      if (p.bias) bias[lane] = p.bias[j + lane];
      for (int q = 0; q < K; q++) bs[q][lane] = p.b.data[q * p.b.row + (j + lane) * p.b.col];
    }
    const T* a = p.a.data;
    T* c = p.c.data + j;
    for (int64_t i = 0; i < p.m; i++, a += p.a.row, c += p.c.row) {
      Raw<T> y = bias;
      GRADUS_UNROLL for (int q = 0; q < K; q++) y += a[q] * bs[q];
      if (cols == L)
        Vec<T>(y).store(c);
      else
        Vec<T>(y).store(c, cols);
    }
  }
}

template <class T, int K>
void tall(const Product<T>& p) {
  if (p.a.row == K && p.c.row == p.n) {
    if constexpr (K == 1)
      if (p.n == 1) return tall_spread<T, 1, K>(p);
    if constexpr (K <= 2)
      if (p.n == 2) return tall_spread<T, 2, K>(p);
    if constexpr (K <= 4 && kLanes<T> >= 4)
      if (p.n == 4) return tall_spread<T, 4, K>(p);
    if constexpr (K == 2 || K == 4 || K == 8)
      if (p.n == 1) return tall_columns<T, K>(p);
  }
  tall_rows<T, K>(p);
}
/// Entry k - 1 is for k.
template <class T, int... I>
void tall(const Product<T>& p, std::integer_sequence<int, I...>) {
  constexpr void (*table[])(const Product<T>&) = {tall<T, I + 1>...};
  table[p.k - 1](p);
}
template <class T>
void tall(const Product<T>& p, void*) {
  tall(p, std::make_integer_sequence<int, kernels::kTallSize>{});
}

// ---- outer: m and n are 1, 2 or 4, k is long

/// Lane l of a vector of outer products a[M] ⊗ b[N] of consecutive rows needs these elements of a and of b.
template <int M, int N>
struct LeftElement {
  static constexpr int at(int lane) { return lane / (M * N) * M + lane % (M * N) / N; }
};
template <int M, int N>
struct RightElement {
  static constexpr int at(int lane) { return lane / (M * N) * N + lane % N; }
};

/// c[M, N] = a · b with a stored [k, M] and b [k, N]: outer products of several rows in one vector.
template <class T, int M, int N>
void outer_sum(const Product<T>& p) {
  constexpr int L = kLanes<T>, kTerms = M * N, kAtOnce = L / kTerms, kChains = 4;
  const T* a = p.a.data;
  const T* b = p.b.data;
  const auto product = [](Raw<T> x, Raw<T> y) {
    return pick<LeftElement<M, N>, T>(x) * pick<RightElement<M, N>, T>(y);
  };
  Raw<T> sum[kChains] = {};
  int64_t left = p.k;
  // A whole vector is loaded even where only some of its elements are used.
  for (; left >= kChains * kAtOnce + L; left -= kChains * kAtOnce)
    GRADUS_UNROLL for (int s = 0; s < kChains; s++, a += kAtOnce * M, b += kAtOnce * N) sum[s] +=
        product(Vec<T>::load(a).raw, Vec<T>::load(b).raw);
  for (; left > 0; left -= kAtOnce, a += kAtOnce * M, b += kAtOnce * N) {
    const int64_t rows = smaller(left, kAtOnce);
    sum[0] += product(Vec<T>::load(a, rows * M).raw, Vec<T>::load(b, rows * N).raw);
  }
  sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      T total = p.bias ? p.bias[j] : T(0);
      for (int q = 0; q < kAtOnce; q++) total += sum[0][q * kTerms + i * N + j];
      p.c.data[i * p.c.row + j] = total;
    }
}

template <class T, int M, int N>
bool outer(const Product<T>& p) {
  if constexpr (M * N <= kLanes<T>) return outer_sum<T, M, N>(p), true;
  return false;
}
template <class T, int M>
bool outer(const Product<T>& p) {
  return p.n == 1 ? outer<T, M, 1>(p) : p.n == 2 ? outer<T, M, 2>(p) : p.n == 4 && outer<T, M, 4>(p);
}

template <class T>
bool outer(const Product<T>& p) {
  const bool dense =
      p.a.col == p.m && (p.a.row == 1 || p.m == 1) && p.b.row == p.n && (p.b.col == 1 || p.n == 1);
  if (!dense || p.k < 16) return false;
  return p.m == 1 ? outer<T, 1>(p) : p.m == 2 ? outer<T, 2>(p) : p.m == 4 && outer<T, 4>(p);
}

template <class T>
constexpr kernels::GemmPaths<T> kPaths = {outer<T>, tall<T>, dot<T>, panel<T>};

}  // namespace

const kernels::GemmTable gemm_table = {kPaths<float>, kPaths<double>};

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
