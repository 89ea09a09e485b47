#pragma once
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/pointwise.h>
#include <gradus/autograd/kernels/symbol.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>

#pragma GCC visibility push(default)

/// How a formula (kernels/formulas.h) becomes an op on tensors. A formula defined in a program works as well:
///
///   struct Gauss {                                    // y = e^(-x²)
///     static constexpr auto name = "gauss";
///     template <class T> constexpr T value(T x) const { return exp(-x * x); }
///     template <class T> constexpr T vjp(In<0>, T x, T y, T g) const { return -2 * x * y * g; }
///   };
///   Tensor gauss(const Tensor& x) { return pointwise(Gauss{}, x); }
///
/// Kernels are made for what is read with the attributes' defaults; pointwise() refuses others that read
/// more.
namespace gradus {

namespace detail {

/// What an op's attributes may take.
inline constexpr size_t kAttributeBytes = 64;
/// An op's kernel for each dtype, null where there is none.
struct RowKernel {
  const char* op;
  size_t attribute_bytes;
  kernels::Row<float> f32;
  kernels::Row<double> f64;
  kernels::Row<int64_t> i64 = nullptr;
  kernels::Row<uint8_t> u8 = nullptr;
  const char* gradient = nullptr;  // the input whose gradient it is
};
/// What an op makes of integers: float32; integers modulo 2^bits, as sums and products are; or one of its
/// operands' numbers, which must not wrap.
enum class Integers { None, Modular, Exact };
/// The dtype that an op computes in: operands with dims first, then 0-d ones, then numbers, each only raising
/// the category (bool, integer, floating), as in PyTorch. Where integers are exact it is the widest of
/// theirs, and an Error where a number does not fit into it.
Dtype result_dtype(const char* op, Integers integers, std::span<const Tensor* const> tensors,
                   std::span<const Scalar> numbers);
/// kernel(x…) as a new tensor of the operands' dtype and of the shape that all K broadcast to. x[k] is null
/// where the kernel does not read it.
template <int K>
Tensor run_rows(const RowKernel& kernel, const void* attributes, Dtype dtype, const Tensor* const* x);
/// The same into y, whose shape the operands must broadcast to.
template <int K>
void run_rows_into(const RowKernel& kernel, const void* attributes, const Tensor& y, const Tensor* const* x);
/// A 0-d tensor.
Tensor constant(Scalar value, Dtype dtype);
/// x as an operand of a write into y: copied where it shares y's memory, since it is read (and saved) as it
/// was before.
Tensor inplace_operand(const char* op, const Tensor& y, const Tensor& x);

template <class F>
constexpr Integers integers_of() {
  constexpr bool kept = requires { requires F::integers; };
  constexpr bool chosen = requires { requires F::chooses; };
  return !kept ? Integers::None : chosen ? Integers::Exact : Integers::Modular;
}

}  // namespace detail

/// A formula as an op.
template <class F>
struct Pointwise {
  static constexpr int N = arity<F>;
  static constexpr auto name = F::name;
  static constexpr auto needs = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<Needs, N>{deduce<F, I>()...};
  }
  (std::make_integer_sequence<int, N>{});

  F f;

  std::string formula() const { return formula_of(f); }
  void describe(Describe& d) const requires(std::is_empty_v<F> || requires(const F& g) { g.describe(d); }) {
    if constexpr (!std::is_empty_v<F>) f.describe(d);
  }
  template <class... X>
  Tensor value(const X&... x) const {
    const Tensor* operands[] = {&x...};
    return detail::run_rows<N>(value_kernel(), &f, operands[0]->dtype(), operands);
  }
  /// x = f(old, rest…)
  template <class... X>
  void write(const Tensor& x, const Tensor& old, const X&... rest) const {
    const Tensor* operands[] = {&old, &rest...};
    detail::run_rows_into<N>(value_kernel(), &f, x, operands);
  }
  template <int I>
  requires(I < N) Tensor vjp(In<I> i, const Back& b)
  const { return vjp(i, b, b.g()); }
  /// The same for g in place of b.g().
  template <int I>
  requires(I < N) Tensor vjp(In<I> i, const Back& b, const Tensor& g)
  const {
    if constexpr (passes_gradient<F, I>) {
      return g;
    } else if constexpr (zero_gradient<F, I>) {
      return zeros_like(g);
    } else {
      constexpr Needs need = deduce<F, I>();
      return [&]<int... K>(std::integer_sequence<int, K...>) {
        const Tensor x[] = {need.ins >> K & 1 ? b.in(K) : Tensor()...};
        const Tensor y = need.outs ? b.out() : Tensor();
        if (b.create_graph()) return Tensor(f.vjp(i, x[K]..., y, g));
        const Tensor* operands[] = {(x[K].defined() ? &x[K] : nullptr)..., y.defined() ? &y : nullptr, &g};
        static const detail::RowKernel kernel{
            name,    sizeof f, table().f32[1 + I],        table().f64[1 + I],
            nullptr, nullptr,  detail::operand_name(I, N)};
        return detail::run_rows<N + 2>(kernel, &f, g.dtype(), operands);
      }
      (std::make_integer_sequence<int, N>{});
    }
  }

  static_assert(sizeof(F) <= detail::kAttributeBytes);
  static const detail::RowKernel& value_kernel() {
    static const detail::RowKernel kernel = [] {
      const auto& k = table();
      return detail::RowKernel{name, sizeof(F), k.f32[0], k.f64[0], k.i64, k.u8, nullptr};
    }();
    return kernel;
  }

 private:
  static const kernels::PointwiseKernels<N>& table() { return kernels::pointwise_kernels<F>(); }
};

namespace detail {

/// Throws where f's attributes make it read what their defaults don't.
template <class F>
void check_attributes(const F& f) {
  if constexpr (!std::is_empty_v<F>)
    if (!reads_as_its_defaults(f))
      fail(
          "{}: with these attributes the formula reads more, or gives gradients of another kind, than with "
          "their defaults, from which its kernels are made: choose defaults that read all",
          F::name);
}

template <class X>
constexpr bool is_operand = std::is_same_v<X, Tensor> || std::is_same_v<X, Scalar>;

/// x in the op's dtype; `made` holds it where it is not x itself.
inline const Tensor* operand(const Tensor& x, Dtype dtype, Tensor& made) {
  if (x.dtype() == dtype) return &x;
  made = x.to(dtype);
  return &made;
}
inline const Tensor* operand(const Scalar& x, Dtype dtype, Tensor& made) {
  made = constant(x, dtype);
  return &made;
}
inline void collect(const Tensor& x, const Tensor** tensors, int& n, Scalar*, int&) { tensors[n++] = &x; }
inline void collect(const Scalar& x, const Tensor**, int&, Scalar* numbers, int& n) { numbers[n++] = x; }

template <class X, class... Rest>
Dtype first_dtype(const X& x, const Rest&... rest) {
  if constexpr (std::is_same_v<X, Tensor>)
    return x.dtype();
  else
    return first_dtype(rest...);
}
inline bool has_dtype(const Tensor& x, Dtype dtype) { return x.dtype() == dtype; }
inline bool has_dtype(const Scalar&, Dtype) { return true; }
inline const Tensor& as_tensor(const Tensor& x, Dtype) { return x; }
inline Tensor as_tensor(const Scalar& x, Dtype dtype) { return constant(x, dtype); }

template <class... X>
Dtype dtype_for(const char* op, Integers integers, const X&... x) {
  check_defined(op, x...);
  const Tensor* tensors[sizeof...(X)];
  Scalar numbers[sizeof...(X)] = {(static_cast<void>(x), Scalar(false))...};
  int n = 0, m = 0;
  (collect(x, tensors, n, numbers, m), ...);
  return result_dtype(op, integers, {tensors, static_cast<size_t>(n)}, {numbers, static_cast<size_t>(m)});
}

/// f on tensors of one dtype that it has kernels for.
template <class F, class... X>
Tensor pointwise_alike(const F& f, Dtype dtype, const X&... x) {
  const Pointwise<F> op{f};
  const Tensor* operands[] = {&x...};
  Tensor y = run_rows<sizeof...(X)>(op.value_kernel(), &op.f, dtype, operands);
  if (is_grad_enabled()) record_if_wanted(op, y, x...);
  if (tracer) [[unlikely]] {
    const Tensor* results[] = {&y};
    tell(op, operands, results);
  }
  return y;
}

/// f on operands that may need a conversion first.
template <class F, class... X>
[[gnu::noinline]] Tensor pointwise_converted(const F& f, const X&... x) {
  const Dtype dtype = dtype_for(F::name, integers_of<F>(), x...);
  if (dtype == kBool && std::is_same_v<F, formulas::Sub>) fail<DtypeError>("sub: not defined for bool");
  // bool has no kernels: it is computed as 0 and 1.
  const Dtype computed = dtype == kBool ? kUInt8 : dtype;
  Tensor y = [&]<size_t... K>(std::index_sequence<K...>) {
    Tensor made[sizeof...(X)];
    const Tensor* operands[] = {operand(x, computed, made[K])...};
    return pointwise_alike(f, computed, *operands[K]...);
  }
  (std::index_sequence_for<X...>{});
  if (dtype == kBool) return y.to(kBool);
  return y;
}

}  // namespace detail

/// f applied element by element to tensors and numbers, which broadcast and promote.
template <class F, class... X>
requires(detail::is_operand<X>&&...) Tensor pointwise(const F& f, const X&... x) {
  static_assert(sizeof...(X) == arity<F>);
  detail::check_attributes(f);
  detail::check_defined(F::name, x...);
  // The everyday case: tensors of one floating dtype, which numbers don't change.
  if constexpr ((std::is_same_v<X, Tensor> || ...)) {
    const Dtype d = detail::first_dtype(x...);
    if (is_floating(d) && (detail::has_dtype(x, d) && ...))
      return detail::pointwise_alike(f, d, detail::as_tensor(x, d)...);
  }
  return detail::pointwise_converted(f, x...);
}

/// x = f(x, rest…) in place. The result must fit into x: its shape, and its category of dtype.
template <class F, class... X>
requires(detail::is_operand<X>&&...) Tensor& pointwise_inplace(const F& f, Tensor& x, const X&... rest) {
  static_assert(1 + sizeof...(X) == arity<F>);
  detail::check_attributes(f);
  const Dtype dtype = detail::dtype_for(F::name, detail::integers_of<F>(), x, rest...);
  const auto category = [](Dtype d) { return is_floating(d) ? 2 : d == kBool ? 0 : 1; };
  if (category(dtype) > category(x.dtype()))
    fail<DtypeError>("{}: in place: the {} result does not fit into a {} tensor", F::name, dtype, x.dtype());
  if (x.dtype() == kBool && !std::is_same_v<F, formulas::Copy>)
    fail<DtypeError>("{}: in place: not defined for bool", F::name);
  [&]<size_t... K>(std::index_sequence<K...>) {
    Tensor made[sizeof...(X) + 1];
    [[maybe_unused]] const Tensor* operands[] = {&x, detail::operand(rest, x.dtype(), made[K])...};
    ((made[K] = detail::inplace_operand(F::name, x, *operands[K + 1])), ...);
    apply_inplace(Pointwise<F>{f}, x, made[K]...);
  }
  (std::index_sequence_for<X...>{});
  return x;
}

}  // namespace gradus

#pragma GCC visibility pop
