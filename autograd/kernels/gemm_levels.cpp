#include <gradus/autograd/kernels/gemm_paths.h>
#include <gradus/autograd/kernels/vec.h>

#include <utility>

#define GRADUS_UNROLL _Pragma("GCC unroll 24")

namespace gradus::GRADUS_LEVEL_NAMESPACE {

extern const kernels::GemmTable gemm_table;

namespace {

using kernels::kSumBlock;
using kernels::Product;
using kernels::Strided;

template <class T>
using Raw = typename Vec<T>::Raw;

/// Where a tile's sums over a block of k go: they become c, or are added to it if it holds those of earlier
/// blocks. Then the bias is added, unless it is null: before the last block it would cost digits.
template <class T>
struct Finish {
  bool add;
  Strided<const T> bias;
};
/// For the tile of c at (i, j).
template <class T>
Finish<T> finish_of(const Product<T>& p, bool first, bool last, int64_t i, int64_t j) {
  return {!first, {last && p.bias.data ? &p.bias(i, j) : nullptr, p.bias.row, p.bias.col}};
}
/// What is at (i, j) and beyond.
template <class T>
Strided<T> from(const Strided<T>& x, int64_t i, int64_t j) {
  return {&x(i, j), x.row, x.col};
}

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
/// The i-th of `parts` nearly equal parts of n begins here.
constexpr int64_t part(int64_t n, int64_t parts, int64_t i) { return n * i / parts; }

/// x[at] … x[n - 1], as far as the lanes reach: the other lanes are 0.
template <class T>
Raw<T> load_from(const T* x, int64_t at, int64_t n) {
  return at >= n              ? Raw<T>{}
         : n - at < kLanes<T> ? Vec<T>::load(x + at, n - at).raw
                              : Vec<T>::load(x + at).raw;
}
/// The lanes of y become x[at] … x[n - 1], as far as they reach.
template <class T>
void store_from(T* x, Raw<T> y, int64_t at, int64_t n) {
  if (n - at >= kLanes<T>)
    Vec<T>(y).store(x + at);
  else if (n > at)
    Vec<T>(y).store(x + at, n - at);
}

// ---- dot: both operands contiguous along k

/// A dot tile is up to kDotRows x kDotCols sums, all in registers.
constexpr int kDotRows = GRADUS_VECTOR_BYTES == 64 ? 5 : 3, kDotCols = GRADUS_VECTOR_BYTES == 64 ? 5 : 4;
/// Of k that is multiplied at a time, so that a tile's rows stay in the first-level cache.
template <class T>
constexpr int64_t kDotBlock = 4096 / sizeof(T);

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

/// Vector v of column j goes to y[v · cols + j]; the last vectors are filled up with zeros.
template <class T>
void pack_vectors(T* y, const Strided<const T>& b, int64_t cols, int64_t k) {
  constexpr int L = kLanes<T>;
  for (int64_t j = 0; j < cols; j++) {
    const T* x = &b(0, j);
    T* to = y + j * L;
    int64_t p = 0;
    for (; p + L <= k; p += L, to += cols * L) Vec<T>::load(x + p).store(to);
    if (p < k) Vec<T>::load(x + p, k - p).store(to);
  }
}

/// c[M, N] from a · b, b packed; what `next` and `after` point to is wanted soon.
template <class T, int M, int N>
void dot_tile(int64_t k, const Strided<const T>& a, const T* b, const Finish<T>& finish, const Strided<T>& c,
              const T* next, const T* after) {
  constexpr int L = kLanes<T>;
  // A line of the cache, for which one fetch of what comes next is enough.
  constexpr int kLine = 64 / sizeof(T);
  const T* rows = a.data;
  const int64_t row = a.row;
  Raw<T> sum[M][N];
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int j = 0; j < N; j++) sum[i][j] = Raw<T>{};
  const auto multiply = [&](int at, auto load) {
    Raw<T> as[M];
    GRADUS_UNROLL for (int i = 0; i < M; i++) as[i] = load(rows + i * row + at);
    GRADUS_UNROLL for (int j = 0; j < N; j++) {
      const Raw<T> bj = Vec<T>::load(b + at * N + j * L).raw;
      GRADUS_UNROLL for (int i = 0; i < M; i++) sum[i][j] += as[i] * bj;
    }
  };
  const auto whole = [](const T* x) { return Vec<T>::load(x).raw; };
  for (; k >= kLine; k -= kLine, rows += kLine, b += N * kLine, next += kLine, after += kLine) {
    __builtin_prefetch(next);
    __builtin_prefetch(after);
    GRADUS_UNROLL for (int at = 0; at < kLine; at += L) multiply(at, whole);
  }
  for (; k >= L; k -= L, rows += L, b += N * L) multiply(0, whole);
  if (k > 0) multiply(0, [k](const T* x) { return Vec<T>::load(x, k).raw; });
  GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int j = 0; j < N; j++) {
    T s = sum_lanes<T>(sum[i][j]);
    if (finish.add) s += c(i, j);
    c(i, j) = finish.bias.data ? s + finish.bias(i, j) : s;
  }
}

template <class T>
using DotTile = void (*)(int64_t, const Strided<const T>&, const T*, const Finish<T>&, const Strided<T>&,
                         const T*, const T*);
/// Entry i · kDotCols + j is the tile of i + 1 rows and j + 1 columns.
template <class T, int... I>
constexpr auto dot_tiles(std::integer_sequence<int, I...>) {
  struct Table {
    DotTile<T> at[sizeof...(I)];
  };
  return Table{{dot_tile<T, I / kDotCols + 1, I % kDotCols + 1>...}};
}
template <class T>
constexpr auto kDotTiles = dot_tiles<T>(std::make_integer_sequence<int, kDotRows * kDotCols>{});

template <class T>
void dot(const Product<T>& p, void* scratch) {
  T* const packed = static_cast<T*>(scratch);
  for (int64_t q = 0; q < p.k; q += kDotBlock<T>) {
    const int64_t k = smaller(kDotBlock<T>, p.k - q);
    for (int64_t j = 0; j < p.n; j += kDotCols)
      pack_vectors<T>(packed + j * kDotBlock<T>, from(p.b, q, j), smaller(kDotCols, p.n - j), k);
    for (int64_t i = 0; i < p.m; i += kDotRows) {
      const int64_t rows = smaller(kDotRows, p.m - i), left = p.m - i - rows;
      const Strided<const T> a = from(p.a, i, q);
      // Two of the rows that come next are fetched with each tile of these.
      for (int64_t j = 0, next = rows; j < p.n; j += kDotCols, next += 2) {
        const bool wanted = next < rows + smaller(kDotRows, left);
        const T* const row = &a(wanted ? next : 0, 0);
        kDotTiles<T>.at[(rows - 1) * kDotCols + smaller(kDotCols, p.n - j) - 1](
            k, a, packed + j * kDotBlock<T>, finish_of(p, q == 0, q + k == p.k, i, j), from(p.c, i, j), row,
            wanted && next + 1 < rows + left ? row + a.row : row);
      }
    }
  }
}

// ---- panel: rows of b times elements of a

/// A panel tile is up to kRows rows of 2 vectors, or up to twice as many of one, all in registers.
constexpr int kRows = GRADUS_VECTOR_BYTES == 64 ? 12 : GRADUS_VECTOR_BYTES == 32 ? 6 : 4;
/// Blocks of k that are copied at a time: one where the rows of b lie apart, lest they evict each other,
/// where the elements of a lie side by side along its rows, and where a strip of b should fit in the
/// first-level cache.
constexpr int64_t kCopiedBlocks = 4;
/// What is copied of b, in strips of two vectors, stays in the second-level cache.
constexpr int64_t kPackedBytes = 256 << 10;
constexpr int64_t kWideRows = 2 * kRows;
/// A b of so many bytes stays in the first-level cache.
constexpr int64_t kSmallBytes = 32 << 10;
/// For so many rows of c a strip is copied at a time, while the next one comes from memory. A strip of short
/// vectors is too narrow for that.
constexpr int64_t kFewRows = GRADUS_VECTOR_BYTES == 64 ? 128 : 0;

/// What is wanted soon: two vectors of each of `rows` rows.
template <class T>
struct Ahead {
  const T* data;
  int64_t row, rows;
};

/// Hides from the compiler how p was computed, so that it is kept and not computed anew.
template <class T>
[[gnu::always_inline]] inline void keep_in_register(const T*& p) {
  asm("" : "+r"(p));
}

/// Along which dim the elements of the first operand lie side by side.
enum class Dense { along_k, along_rows };

/// c[M, cols] from a · b, summed in blocks of kSumBlock; b, c and the bias dense along rows; cols in
/// ((V-1)·L, V·L], V·L unless Masked.
template <class T, int M, int V, bool Masked, Dense kDense>
void panel_tile(int64_t k, const Strided<const T>& a, const Strided<const T>& b, const Finish<T>& finish,
                const Strided<T>& c, int64_t cols, const Ahead<T>& ahead) {
  constexpr bool along_k = kDense == Dense::along_k;
  constexpr int L = kLanes<T>, kSteps = 3, kPointers = along_k ? (M + 2) / 3 : 1;
  const int64_t last = cols - (V - 1) * L, a_row = a.row, a_col = a.col, b_row = b.row;
  const auto load = [&](const T* x, int v) {
    return Masked && v == V - 1 ? Vec<T>::load(x + v * L, last).raw : Vec<T>::load(x + v * L).raw;
  };
  // Addresses take as little arithmetic as may be: additions go through the multipliers' ports. Every third
  // row is pointed to: there are not registers enough for all.
  const T *rows[kPointers], *bs = b.data;
  GRADUS_UNROLL for (int i = 0; i < kPointers; i++) rows[i] = &a(3 * i, 0);
  const T* next = ahead.data;
  int64_t left = ahead.rows;
  const int64_t next_row = ahead.row, at_once = (left * kSteps + k - 1) / k;
  for (bool add = finish.add; k > 0; add = true) {
    Raw<T> sum[M][V];
    GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int v = 0; v < V; v++) sum[i][v] = Raw<T>{};
    const auto multiply = [&]<int N>(std::integral_constant<int, N>) __attribute__((always_inline)) {
      GRADUS_UNROLL for (int i = 0; i < kPointers; i++) keep_in_register(rows[i]);
      GRADUS_UNROLL for (int step = 0; step < N; step++) {
        Raw<T> bv[V];
        GRADUS_UNROLL for (int v = 0; v < V; v++) bv[v] = load(bs, v);
        bs += b_row;
        GRADUS_UNROLL for (int i = 0; i < M; i++) {
          const Raw<T> ai = (along_k ? rows[i / 3][i % 3 * a_row + step] : rows[0][i]) - Raw<T>{};
          GRADUS_UNROLL for (int v = 0; v < V; v++) sum[i][v] += ai * bv[v];
        }
        if (!along_k) rows[0] += a_col;
      }
      if (along_k) GRADUS_UNROLL for (int i = 0; i < kPointers; i++) rows[i] += N;
    };
    int64_t steps = smaller(k, kSumBlock);
    k -= steps;
    for (; steps >= kSteps; steps -= kSteps) {
      if (left > 0) {
        left -= at_once;
        for (int64_t i = 0; i < at_once; i++, next += next_row) {
          __builtin_prefetch(next);
          __builtin_prefetch(next + L);
        }
      }
      multiply(std::integral_constant<int, kSteps>());
    }
    for (; steps > 0; steps--) multiply(std::integral_constant<int, 1>());
    const auto add_to_sums = [&](const auto& x) {
      GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int v = 0; v < V; v++) sum[i][v] +=
          load(&x(i, 0), v);
    };
    if (add) add_to_sums(c);
    if (k == 0 && finish.bias.data) add_to_sums(finish.bias);
    GRADUS_UNROLL for (int i = 0; i < M; i++) GRADUS_UNROLL for (int v = 0; v < V; v++) {
      T* const to = &c(i, v * L);
      if (Masked && v == V - 1)
        Vec<T>(sum[i][v]).store(to, last);
      else
        Vec<T>(sum[i][v]).store(to);
    }
  }
}

/// c[M, L] from a · b with a packed as [k, M]. Of b, every row is read once; two vectors of every row of
/// `next` are fetched at every second step.
template <class T, int M>
void single_tile(int64_t k, const T* a, const Strided<const T>& b, const Finish<T>& finish,
                 const Strided<T>& c, const T* next) {
  constexpr int L = kLanes<T>;
  const T* row = b.data;
  const int64_t b_row = b.row;
  Raw<T> sum[M];
  GRADUS_UNROLL for (int i = 0; i < M; i++) sum[i] = Raw<T>{};
  const auto step = [&] {
    const Raw<T> bs = Vec<T>::load(row).raw;
    GRADUS_UNROLL for (int i = 0; i < M; i++) sum[i] += (a[i] - Raw<T>{}) * bs;
    a += M;
    row += b_row;
  };
  for (; k >= 2; k -= 2, next += b_row) {
    __builtin_prefetch(next);
    __builtin_prefetch(next + L);
    step();
    step();
  }
  if (k > 0) step();
  const auto add = [&](const auto& x) {
    GRADUS_UNROLL for (int i = 0; i < M; i++) sum[i] += Vec<T>::load(&x(i, 0)).raw;
  };
  if (finish.add) add(c);
  if (finish.bias.data) add(finish.bias);
  GRADUS_UNROLL for (int i = 0; i < M; i++) Vec<T>(sum[i]).store(&c(i, 0));
}

template <class T, int M>
void pack_rows(T* y, Strided<const T> a, int64_t k) {
  if (a.row == 1)
    for (; k > 0; k--, a.data += a.col, y += M) __builtin_memcpy(y, a.data, M * sizeof(T));
  else
    for (; k > 0; k--, a.data += a.col, y += M) GRADUS_UNROLL for (int i = 0; i < M; i++) y[i] = a(i, 0);
}

template <class T>
struct PanelTiles {
  using Tile = void (*)(int64_t, const Strided<const T>&, const Strided<const T>&, const Finish<T>&,
                        const Strided<T>&, int64_t, const Ahead<T>&);
  /// By what of a is dense, and rows - 1.
  Tile full[2][kRows], wide[2][kRows], narrow[2][kRows];
  /// Entries up to kRows are null: those rows fit in tiles of two vectors.
  void (*single[kWideRows])(int64_t, const T*, const Strided<const T>&, const Finish<T>&, const Strided<T>&,
                            const T*);
  void (*pack[kWideRows])(T*, Strided<const T>, int64_t);
};
template <class T, int... I>
constexpr PanelTiles<T> panel_tiles(std::integer_sequence<int, I...>) {
  return {{{panel_tile<T, I + 1, 2, false, Dense::along_k>...},
           {panel_tile<T, I + 1, 2, false, Dense::along_rows>...}},
          {{panel_tile<T, I + 1, 2, true, Dense::along_k>...},
           {panel_tile<T, I + 1, 2, true, Dense::along_rows>...}},
          {{panel_tile<T, I + 1, 1, true, Dense::along_k>...},
           {panel_tile<T, I + 1, 1, true, Dense::along_rows>...}},
          {((void)I, nullptr)..., single_tile<T, kRows + I + 1>...},
          {pack_rows<T, I + 1>..., pack_rows<T, kRows + I + 1>...}};
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

/// The first `cols` columns of b in strips, one after the other.
template <class T>
void pack_strips(T* y, const Strided<const T>& b, int64_t k, int64_t cols) {
  constexpr int64_t L = kLanes<T>, width = 2 * L;
  const int64_t whole = b.col == 1 ? cols / width * width : 0;
  // Row by row: rows may lie so far apart that they evict each other.
  for (int64_t p = 0; whole > 0 && p < k; p++) {
    const T *row = &b(p, 0), *soon = &b(smaller(p + 4, k - 1), 0);
    T* to = y + p * width;
    for (int64_t j = 0; j < whole; j += width, to += k * width) {
      __builtin_prefetch(soon + j);
      Vec<T>::load(row + j).store(to);
      Vec<T>::load(row + j + L).store(to + L);
    }
  }
  for (int64_t j = whole; j < cols; j += width)
    pack_strip<T>(y + j * k, from(b, 0, j), k, smaller(width, cols - j));
}

/// Writes a tile, whose rows are dense, to a matrix whose columns are.
template <class T>
void turn(const Strided<const T>& tile, const Strided<T>& c, int64_t rows, int64_t cols) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t i = 0; i < rows; i += L)
    for (int64_t j = 0; j < cols; j += L) {
      const int64_t m = smaller(L, rows - i), n = smaller(L, cols - j);
      Raw<T> block[L];
      GRADUS_UNROLL for (int64_t r = 0; r < L; r++) block[r] =
          r < m ? Vec<T>::load(&tile(i + r, j)).raw : Raw<T>{};
      transpose<T>(block, std::make_integer_sequence<int, L>{});
      GRADUS_UNROLL for (int64_t l = 0; l < L; l++) if (l < n) store_from(&c(i, j + l), block[l], 0, m);
    }
}

template <class T>
void panel(const Product<T>& p, void* scratch) {
  constexpr int64_t L = kLanes<T>, width = 2 * L, size = sizeof(T);
  T* const packed_b = static_cast<T*>(scratch);
  T* const packed_a = packed_b + kPackedBytes / size;
  T* const dense_bias = packed_a + kRows * kCopiedBlocks * kSumBlock;
  const Strided<T> dense = {dense_bias + kRows * width, width, 1};
  // Where b is small or c is one tile high, b is read where it lies.
  const bool small = p.k * p.n * size <= kSmallBytes, direct = p.b.col == 1 && (p.m <= kRows || small);
  const bool few = p.b.col == 1 && p.m <= kFewRows && !direct;
  const int64_t at_once = few || direct || p.a.row == 1 ? 1 : kCopiedBlocks;
  const int64_t blocks = (p.k + kSumBlock - 1) / kSumBlock, copies = (blocks + at_once - 1) / at_once;
  const int64_t tiles = (p.m + kRows - 1) / kRows;
  for (int64_t q = 0; q < copies; q++) {
    const int64_t q0 = part(blocks, copies, q) * kSumBlock;
    const int64_t q1 = smaller(part(blocks, copies, q + 1) * kSumBlock, p.k), k = q1 - q0;
    Finish<T> finish = finish_of(p, q == 0, q1 == p.k, 0, 0);
    const int64_t columns = direct ? p.n : few ? width : kPackedBytes / size / k / width * width;
    for (int64_t j0 = 0; j0 < p.n; j0 += columns) {
      const int64_t j1 = smaller(p.n, j0 + columns);
      if (!direct) pack_strips<T>(packed_b, from(p.b, q0, j0), k, j1 - j0);
      for (int64_t t = 0; t < tiles; t++) {
        const int64_t i = part(p.m, tiles, t), rows = part(p.m, tiles, t + 1) - i;
        Strided<const T> a = from(p.a, i, q0);
        if (a.col != 1 && (a.row != 1 || j1 - j0 > 4 * width)) {
          kPanelTiles<T>.pack[rows - 1](packed_a, a, k);
          a = {packed_a, 1, rows};
        }
        for (int64_t j = j0; j < j1; j += width) {
          const int64_t cols = smaller(width, j1 - j), next = j + width < p.n ? j + width : j;
          const Strided<const T> b =
              direct ? from(p.b, q0, j) : Strided<const T>{packed_b + (j - j0) * k, width, 1};
          Ahead<T> ahead = {b.data, 0, 0};
          if (few || (direct && !small))
            ahead = {&p.b(q0 + part(k, tiles, t), next), p.b.row, part(k, tiles, t + 1) - part(k, tiles, t)};
          else if (!direct && p.c.col == 1)
            ahead = {&p.c(i, next), p.c.row, rows};
          const auto tile = (cols == width ? kPanelTiles<T>.full
                             : cols > L    ? kPanelTiles<T>.wide
                                           : kPanelTiles<T>.narrow)[a.col != 1][rows - 1];
          const Strided<T> c = from(p.c, i, j);
          if (c.col != 1 && q > 0)
            for (int64_t r = 0; r < rows; r++)
              for (int64_t l = 0; l < cols; l++) dense(r, l) = c(r, l);
          if (finish.bias.data) finish.bias = from(p.bias, i, j);
          // A turned bias is one number for a row, not a row.
          if (finish.bias.data && finish.bias.col == 0) {
            for (int64_t r = 0; r < rows; r++)
              for (int64_t l = 0; l < width; l += L)
                Vec<T>(finish.bias(r, 0) - Raw<T>{}).store(dense_bias + r * width + l);
            finish.bias = {dense_bias, width, 1};
          }
          tile(k, a, b, finish, c.col == 1 ? c : dense, cols, ahead);
          if (c.col != 1) turn<T>({dense.data, width, 1}, c, rows, cols);
        }
      }
    }
  }
}

// ---- wide: few rows, of which every one is in the tile, so that b is read once

template <class T>
void wide(const Product<T>& p, void* scratch) {
  constexpr int64_t L = kLanes<T>, width = 2 * L;
  T* const a = static_cast<T*>(scratch);
  const int64_t whole = p.n / width * width;
  for (int64_t q = 0; q < p.k; q += kSumBlock) {
    const int64_t k = smaller(kSumBlock, p.k - q);
    kPanelTiles<T>.pack[p.m - 1](a, from(p.a, 0, q), k);
    for (int64_t j = 0; j < whole; j += L) {
      // Each tile fetches half of the rows of the next two.
      const int64_t half = j / L % 2, next = j - half * L + (j + width < whole ? width : 0);
      kPanelTiles<T>.single[p.m - 1](k, a, from(p.b, q, j), finish_of(p, q == 0, q + k == p.k, 0, j),
                                     from(p.c, 0, j), &p.b(q + half * (k / 2), next));
    }
  }
  if (whole < p.n) {
    const Strided<const T> bias = p.bias.data ? from(p.bias, 0, whole) : p.bias;
    panel<T>({p.m, p.n - whole, p.k, p.a, from(p.b, 0, whole), bias, from(p.c, 0, whole)}, scratch);
  }
}

/// The bias of column j.
template <class T>
T bias_of(const Product<T>& p, int64_t j) {
  return p.bias.data ? p.bias(0, j) : T(0);
}

// ---- tall: n and k are small, m is long; rounded as by a panel, so that a row is the same for any m

/// bias + term(0) + … + term(K - 1)
template <class T, class Term, int... Q>
Raw<T> add_terms(Raw<T> bias, std::integer_sequence<int, Q...>, Term term) {
  // Few terms are added to the bias, one operation less; of more, each would be rounded like the bias.
  constexpr bool few = sizeof...(Q) <= kernels::kFewTerms;
  Raw<T> y = few ? bias : Raw<T>{};
  ((y += term(std::integral_constant<int, Q>())), ...);
  return few ? y : y + bias;
}

/// The lanes Index::at(0), Index::at(1) … of v.
template <class Index, class T, int... I>
Raw<T> pick(Raw<T> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, Index::at(I)...);
}
template <class Index, class T>
Raw<T> pick(Raw<T> v) {
  return pick<Index, T>(v, std::make_integer_sequence<int, kLanes<T>>{});
}

/// Lane l of a vector of c[m, N] is of row l / N; it needs element P of that row of a[m, K], whose vector
/// begins `Before` rows earlier.
template <int N, int K, int P, int Before>
struct SpreadElement {
  static constexpr int at(int lane) { return (Before + lane / N) * K + P; }
};

/// c[m, N] = a[m, K] · b, K ≤ N, a and c dense: a vector of c is K products of spread elements of a with a
/// pattern of b.
template <class T, int N, int K>
void tall_spread(const Product<T>& p) {
  // Where K divides N, a vector of a holds the rows of N / K vectors of c.
  constexpr int L = kLanes<T>, kRowsOfC = L / N, kShare = N % K == 0 ? N / K : 1,
                kRowsAtOnce = kShare * kRowsOfC;
  Raw<T> bias, pattern[K];
  for (int lane = 0; lane < L; lane++) {
    const int j = lane % N;
    bias[lane] = bias_of(p, j);
    for (int q = 0; q < K; q++) pattern[q][lane] = p.b.data[q * p.b.row + j * p.b.col];
  }
  const auto multiply = [&]<int S>(Raw<T> x) {
    return Vec<T>(add_terms<T>(bias, std::make_integer_sequence<int, K>{}, [&](auto q) {
      return pick<SpreadElement<N, K, q, S * kRowsOfC>, T>(x) * pattern[q];
    }));
  };
  const auto multiply_all = [&](Raw<T> x, auto store) {
    [&]<int... S>(std::integer_sequence<int, S...>) {
      (store(S * L, multiply.template operator()<S>(x)), ...);
    }
    (std::make_integer_sequence<int, kShare>{});
  };
  const T* a = p.a.data;
  T* c = p.c.data;
  int64_t left = p.m;
  for (; left * K >= L; left -= kRowsAtOnce, a += kRowsAtOnce * K, c += kRowsAtOnce * N)
    multiply_all(Vec<T>::load(a).raw, [&](int at, Vec<T> y) { y.store(c + at); });
  for (; left > 0; left -= kRowsAtOnce, a += kRowsAtOnce * K, c += kRowsAtOnce * N)
    multiply_all(load_from(a, 0, left * K), [&](int at, Vec<T> y) { store_from(c, y.raw, at, left * N); });
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
  const Raw<T> bias = bias_of(p, 0) - Raw<T>{};
  const auto multiply = [&](const T* a) {
    Raw<T> x[K];
    GRADUS_UNROLL for (int q = 0; q < K; q++) x[q] = Vec<T>::load(a + q * L).raw;
    to_columns<T>(x, std::make_integer_sequence<int, L>{});
    return Vec<T>(
        add_terms<T>(bias, std::make_integer_sequence<int, K>{}, [&](auto q) { return x[q] * b[q]; }));
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
      bias[lane] = bias_of(p, j + lane);
      for (int q = 0; q < K; q++) bs[q][lane] = p.b.data[q * p.b.row + (j + lane) * p.b.col];
    }
    const T* a = p.a.data;
    T* c = p.c.data + j;
    for (int64_t i = 0; i < p.m; i++, a += p.a.row, c += p.c.row) {
      const Raw<T> y =
          add_terms<T>(bias, std::make_integer_sequence<int, K>{}, [&](auto q) { return a[q] * bs[q]; });
      store_from(c, y, 0, cols);
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

/// Up to so many rows are summed in T, each lane at most 256 of them, and their totals in double, pairwise: a
/// long sum would lose digits.
constexpr int64_t kOuterBlock = 1024;

/// The V lanes of every row of a vector of rows, summed over the rows.
template <class T, int V, int N, int... I>
void sum_rows(T* y, typename Vec<T, N>::Raw v, std::integer_sequence<int, I...>) {
  if constexpr (N == V)
    for (int i = 0; i < V; i++) y[i] = v[i];
  else
    sum_rows<T, V, N / 2>(y,
                          __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + N / 2)...),
                          std::make_integer_sequence<int, N / 4>{});
}
template <class T, int V>
void sum_rows(T* y, Raw<T> v) {
  if constexpr (V == 1)
    *y = sum_lanes<T>(v);
  else
    sum_rows<T, V, kLanes<T>>(y, v, std::make_integer_sequence<int, kLanes<T> / 2>{});
}

/// What is summed besides products.
enum class Alone { none, x, y };
/// Of x[k, V] and y[k, S]: products[s][v] = Σ y[k, s] x[k, v] over k, and alone = Σ x, or Σ y in its first S.
template <class T, int V, int S>
struct OuterSums {
  T products[S][V], alone[V];
};

/// k ≤ kOuterBlock, S ≤ V. x is read as it lies; each element of y is spread over its row of x.
template <int V, int S, Alone kAlone, class T>
OuterSums<T, V, S> outer_sums(int64_t k, const T* x, const T* y) {
  // A vector of y holds the rows of V / S vectors of x; four of these are added at a time, each to its own
  // sums.
  constexpr int L = kLanes<T>, kRowsOfX = L / V, kShare = V / S, kAlones = kAlone == Alone::y ? S : 1;
  struct Sums {
    Raw<T> products[S] = {}, alone[kAlones] = {};
  } sums[4];
  const auto add = [&]<int C, int... P>(std::integer_sequence<int, P...>, Raw<T> xs, Raw<T> ys) {
    if constexpr (kAlone == Alone::x) sums[C].alone[0] += xs;
    const Raw<T> spread[] = {pick<SpreadElement<V, S, P, C % kShare * kRowsOfX>, T>(ys)...};
    GRADUS_UNROLL for (int s = 0; s < S; s++) {
      sums[C].products[s] += xs * spread[s];
      if constexpr (kAlone == Alone::y) sums[C].alone[s] += spread[s];
    }
  };
  const auto add_four = [&]<int... C>(std::integer_sequence<int, C...>, auto load) {
    Raw<T> ys[4 / kShare];
    GRADUS_UNROLL for (int i = 0; i < 4 / kShare; i++) ys[i] = load(y, i * L, k * S);
    (add.template operator()<C>(std::make_integer_sequence<int, S>{}, load(x, C * L, k * V), ys[C / kShare]),
     ...);
  };
  constexpr std::make_integer_sequence<int, 4> four;
  for (; k >= 4 * kRowsOfX; k -= 4 * kRowsOfX, x += 4 * L, y += 4 / kShare * L)
    add_four(four, [](const T* p, int at, int64_t) { return Vec<T>::load(p + at).raw; });
  if (k > 0) add_four(four, load_from<T>);
  OuterSums<T, V, S> found;
  const auto total = [&](T* to, auto part) {
    sum_rows<T, V>(to, (part(sums[0]) + part(sums[1])) + (part(sums[2]) + part(sums[3])));
  };
  GRADUS_UNROLL for (int s = 0; s < S; s++) {
    total(found.products[s], [s](const Sums& c) { return c.products[s]; });
    if constexpr (kAlone == Alone::y) {
      T spread[V];
      total(spread, [s](const Sums& c) { return c.alone[s]; });
      found.alone[s] = spread[0];
    }
  }
  if constexpr (kAlone == Alone::x) total(found.alone, [](const Sums& c) { return c.alone[0]; });
  return found;
}

/// The same for any k.
template <int V, int S, Alone kAlone, class T>
OuterSums<double, V, S> outer_totals(int64_t k, const T* x, const T* y) {
  OuterSums<double, V, S> totals = {};
  const auto add = [&](const auto& sums) {
    constexpr int kAlones = kAlone == Alone::x ? V : kAlone == Alone::y ? S : 0;
    for (int s = 0; s < S; s++)
      for (int v = 0; v < V; v++) totals.products[s][v] += sums.products[s][v];
    for (int i = 0; i < kAlones; i++) totals.alone[i] += sums.alone[i];
  };
  if (k <= kOuterBlock) {
    add(outer_sums<V, S, kAlone>(k, x, y));
  } else {
    const int64_t half = (k / 2 + kOuterBlock - 1) / kOuterBlock * kOuterBlock;
    add(outer_totals<V, S, kAlone>(half, x, y));
    add(outer_totals<V, S, kAlone>(k - half, x + half * V, y + half * S));
  }
  return totals;
}

template <class T, int M, int N, bool kSums>
void outer(const Product<T>& p, T* sums) {
  constexpr bool turned = M < N;
  constexpr int V = turned ? N : M, S = turned ? M : N;
  constexpr Alone alone = !kSums ? Alone::none : turned ? Alone::y : Alone::x;
  const T *const x = turned ? p.b.data : p.a.data, *const y = turned ? p.a.data : p.b.data;
  const OuterSums<double, V, S> totals = outer_totals<V, S, alone>(p.k, x, y);
  for (int i = 0; i < M; i++) {
    for (int j = 0; j < N; j++)
      p.c.data[i * p.c.row + j] = bias_of(p, j) + T(totals.products[turned ? i : j][turned ? j : i]);
    if (kSums) sums[i] = T(totals.alone[i]);
  }
}

template <class T, int M, int N>
bool outer(const Product<T>& p, T* sums) {
  if constexpr (M > kLanes<T> || N > kLanes<T>)
    return false;
  else
    return sums ? outer<T, M, N, true>(p, sums) : outer<T, M, N, false>(p, sums), true;
}
template <class T, int M>
bool outer(const Product<T>& p, T* sums) {
  return p.n == 1   ? outer<T, M, 1>(p, sums)
         : p.n == 2 ? outer<T, M, 2>(p, sums)
                    : p.n == 4 && outer<T, M, 4>(p, sums);
}

template <class T>
bool outer(const Product<T>& p, T* sums) {
  const bool dense =
      p.a.col == p.m && (p.a.row == 1 || p.m == 1) && p.b.row == p.n && (p.b.col == 1 || p.n == 1);
  if (!dense || p.k < 16) return false;
  return p.m == 1 ? outer<T, 1>(p, sums) : p.m == 2 ? outer<T, 2>(p, sums) : p.m == 4 && outer<T, 4>(p, sums);
}

template <class T>
constexpr kernels::GemmPaths<T> kPaths = {outer<T>, tall<T>, dot<T>, wide<T>, panel<T>, kRows + 1, kWideRows};

}  // namespace

const kernels::GemmTable gemm_table = {kPaths<float>, kPaths<double>};

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
