#pragma once
#include <gradus/autograd/kernels/formulas.h>
#include <gradus/autograd/kernels/math.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// Computes one row of n elements. Operand k has element k at in[k] + i * in_strides[k]; operands that the
/// kernel does not read may be null. `op` points to the op's attributes. `out` may be one of the inputs,
/// element for element; it must not overlap one otherwise.
template <class T>
using Row = void (*)(const void* op, int64_t n, T* out, int64_t out_stride, const T* const* in,
                     const int64_t* in_strides);

/// The kernels of a pointwise op of N inputs: [0] the value (operands x0 ..), [1 + i] the gradient of input i
/// (operands x0 .., y, g). Null where there is nothing to compute: a gradient that is g itself or zero,
/// integer kernels of an op without them.
template <int N>
struct PointwiseKernels {
  Row<float> f32[1 + N];
  Row<double> f64[1 + N];
  Row<int64_t> i64;
  Row<uint8_t> u8;
};

/// The kernels of formulas::All at a level that the library was built with, in the order of the list.
using PointwiseTable = const void* const*;
PointwiseTable pointwise_table(Level level);

}  // namespace gradus::kernels

#pragma GCC visibility pop

namespace gradus::GRADUS_LEVEL_NAMESPACE {

namespace detail {

constexpr int kMaxOperands = 10;

/// What a kernel evaluates: the value of Op, or the gradient of its input I.
template <class Op, int I>
struct Formula {
  static constexpr int operands = I < 0 ? arity<Op> : arity<Op> + 2;
  static constexpr unsigned reads = [] {
    if constexpr (I < 0)
      return reads_of_value(Op{});
    else
      return probe_vjp<Op, I>().reads | 1u << (arity<Op> + 1);
  }();
  static_assert(operands <= kMaxOperands);

  template <class V, class... X>
  static V run(const Op& op, X... x) {
    if constexpr (I < 0)
      return op.value(x...);
    else
      return op.vjp(In<I>{}, x...);
  }
};

/// Any strides: packs the strided operands piece by piece and has the dense kernel compute each piece.
template <class T>
[[gnu::noinline]] void strided_row(kernels::Row<T> dense, int operands, unsigned reads, const void* op,
                                   int64_t n, T* out, int64_t out_stride, const T* const* in,
                                   const int64_t* in_strides) {
  constexpr int64_t piece = 64;
  alignas(64) T packed[kMaxOperands + 1][piece];
  const T* x[kMaxOperands];
  int64_t strides[kMaxOperands];
  for (int64_t begin = 0; begin < n; begin += piece) {
    const int64_t m = n - begin < piece ? n - begin : piece;
    for (int k = 0; k < operands; ++k) {
      if (!(reads >> k & 1)) continue;
      x[k] = in[k] + begin * in_strides[k];
      strides[k] = in_strides[k];
      if (strides[k] == 0 || strides[k] == 1) continue;
      for (int64_t i = 0; i < m; ++i) packed[k][i] = x[k][i * strides[k]];
      x[k] = packed[k];
      strides[k] = 1;
    }
    T* y = out + begin * out_stride;
    if (out_stride == 1) {
      dense(op, m, y, 1, x, strides);
    } else {
      dense(op, m, packed[kMaxOperands], 1, x, strides);
      for (int64_t i = 0; i < m; ++i) y[i * out_stride] = packed[kMaxOperands][i];
    }
  }
}

template <class F, class Op, class T>
void row(const void* op_, int64_t n, T* out, int64_t out_stride, const T* const* in,
         const int64_t* in_strides) {
  using V = Vec<T>;
  constexpr int N = V::size;
  [&]<int... K>(std::integer_sequence<int, K...>) {
    constexpr auto reads = [](int k) { return (F::reads >> k & 1) != 0; };
    const Op op = *static_cast<const Op*>(op_);
    // One element alone needs no masks.
    if (n == 0) return;
    if (n == 1) return static_cast<void>(*out = F::template run<V>(op, reads(K) ? V(*in[K]) : V(0)...)[0]);
    const bool dense = out_stride == 1 && (... && (!reads(K) || uint64_t(in_strides[K]) <= 1));
    if (!dense)
      return strided_row<T>(row<F, Op, T>, F::operands, F::reads, op_, n, out, out_stride, in, in_strides);
    // A stride-0 operand becomes a vector in memory that every step loads again, so that one loop serves all.
    alignas(64) T splat[F::operands][N];
    const T* x[F::operands];
    int64_t step[F::operands];
    const auto start = [&](int k) {
      x[k] = in[k];
      step[k] = N;
      if (in_strides[k] != 0) return;
      V(*in[k]).store(splat[k]);
      x[k] = splat[k];
      step[k] = 0;
    };
    (..., (reads(K) ? start(K) : void()));

    for (; n >= N; n -= N, out += N) {
      F::template run<V>(op, reads(K) ? V::load(x[K]) : V(0)...).store(out);
      (..., (reads(K) ? void(x[K] += step[K]) : void()));
    }
    // The lanes beyond n repeat the first element: at 0 some functions would take their slow path.
    if (n > 0) F::template run<V>(op, reads(K) ? V::load(x[K], n, *x[K]) : V(0)...).store(out, n);
  }
  (std::make_integer_sequence<int, F::operands>{});
}

template <class Op>
constexpr auto make_kernels() {
  kernels::PointwiseKernels<arity<Op>> k{};
  k.f32[0] = row<Formula<Op, -1>, Op, float>;
  k.f64[0] = row<Formula<Op, -1>, Op, double>;
  if constexpr (requires { requires Op::integers; }) {
    k.i64 = row<Formula<Op, -1>, Op, int64_t>;
    k.u8 = row<Formula<Op, -1>, Op, uint8_t>;
  }
  [&]<int... I>(std::integer_sequence<int, I...>) {
    const auto gradient = [&]<int J>(In<J>) {
      if constexpr (!passes_gradient<Op, J> && !zero_gradient<Op, J>) {
        k.f32[1 + J] = row<Formula<Op, J>, Op, float>;
        k.f64[1 + J] = row<Formula<Op, J>, Op, double>;
      }
    };
    (..., gradient(In<I>{}));
  }
  (std::make_integer_sequence<int, arity<Op>>{});
  return k;
}

template <class Op>
inline constexpr auto kKernels = make_kernels<Op>();

template <class Op, class... Ops>
constexpr int index_in(formulas::List<Ops...>) {
  int index = 0;
  return ((std::is_same_v<Op, Ops> || (++index, false)) || ...) ? index : -1;
}

}  // namespace detail

/// The kernels of `Op`: the library's own at `level` for the ops of formulas::All; for any other formula they
/// are compiled here, with this translation unit's flags.
template <class Op>
const kernels::PointwiseKernels<arity<Op>>& pointwise_kernels(
    kernels::Level level = kernels::level_in_use()) {
  static_assert(std::is_trivially_copyable_v<Op>, "a pointwise op is a trivially copyable struct");
  constexpr int index = detail::index_in<Op>(formulas::All{});
  if constexpr (index >= 0)
    return *static_cast<const kernels::PointwiseKernels<arity<Op>>*>(kernels::pointwise_table(level)[index]);
  else
    return detail::kKernels<Op>;
}

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE

namespace gradus::kernels {
using GRADUS_LEVEL_NAMESPACE::pointwise_kernels;
}
