#pragma once
#include <type_traits>
#include <utility>

namespace gradus {

/// Names the input whose gradient a rule computes: `vjp(In<0>, ...)`.
template <int I>
struct In {};

/// What a gradient reads besides the incoming one: bit k of `ins` is input k, bit k of `outs` is output k.
struct Needs {
  unsigned ins = 0;   // inputs
  unsigned outs = 0;  // outputs

  /// It reads both.
  friend constexpr Needs operator|(Needs a, Needs b) { return {a.ins | b.ins, a.outs | b.outs}; }
  friend constexpr bool operator==(Needs, Needs) = default;
};

/// A gradient that reads only the incoming one.
constexpr Needs nothing{};
/// All that was saved.
constexpr Needs everything{~0u, ~0u};
/// It reads all inputs of an op on a list.
constexpr Needs all_inputs{~0u, 0};
/// It reads input k.
constexpr Needs in(int k) { return {1u << k, 0}; }
/// It reads output k.
constexpr Needs out(int k) { return {0, 1u << k}; }

/// A stand-in for a number that records what it was computed from. Running a formula on probes at compile
/// time tells which operands the result depends on, and whether it is the incoming gradient unchanged, or
/// zero.
struct Probe {
  enum Kind { computed, operand, gradient, zero };

  unsigned reads = 0;  // bit k: operand k was read
  Kind kind = computed;

  constexpr Probe(unsigned reads_, Kind kind_) : reads(reads_), kind(kind_) {}
  template <class A>
  requires std::is_arithmetic_v<A>
  constexpr Probe(A) {}

  static constexpr Probe join(Probe a, Probe b) { return {a.reads | b.reads, computed}; }

#define GRADUS_UNARY(f) \
  friend constexpr Probe f(Probe a) { return {a.reads, computed}; }
#define GRADUS_BINARY(f) \
  friend constexpr Probe f(Probe a, Probe b) { return join(a, b); }
  GRADUS_BINARY(operator+)
  GRADUS_BINARY(operator-)
  GRADUS_BINARY(operator*)
  GRADUS_BINARY(operator/)
  GRADUS_BINARY(operator<)
  GRADUS_BINARY(operator<=)
  GRADUS_BINARY(operator>)
  GRADUS_BINARY(operator>=)
  GRADUS_BINARY(operator==)
  GRADUS_BINARY(operator!=)
  GRADUS_BINARY(pow)
  GRADUS_BINARY(maximum)
  GRADUS_BINARY(minimum)
  GRADUS_UNARY(operator-)
  GRADUS_UNARY(abs)
  GRADUS_UNARY(sign)
  GRADUS_UNARY(floor)
  GRADUS_UNARY(sqrt)
  GRADUS_UNARY(exp)
  GRADUS_UNARY(expm1)
  GRADUS_UNARY(log)
  GRADUS_UNARY(log1p)
  GRADUS_UNARY(sin)
  GRADUS_UNARY(cos)
  GRADUS_UNARY(tanh)
  GRADUS_UNARY(erf)
  GRADUS_UNARY(sigmoid)
  GRADUS_UNARY(logsigmoid)
#undef GRADUS_UNARY
#undef GRADUS_BINARY
  friend constexpr Probe where(Probe mask, Probe a, Probe b) { return join(mask, join(a, b)); }
  friend constexpr Probe zeros_like(Probe) { return {0, zero}; }
};

namespace detail {
template <int>
using ProbeAt = Probe;

template <class Op, int N, int... K>
constexpr bool takes(std::integer_sequence<int, K...>) {
  return requires(Op op) { op.value(std::declval<ProbeAt<K>>()...); };
}

template <class Op, int N = 1>
constexpr int count_inputs() {
  static_assert(N <= 8, "a pointwise op is a struct with `template <class T> T value(T x0, ...) const`");
  if constexpr (takes<Op, N>(std::make_integer_sequence<int, N>{}))
    return N;
  else
    return count_inputs<Op, N + 1>();
}
}  // namespace detail

/// How many inputs the pointwise formula `Op` has.
template <class Op>
constexpr int arity = detail::count_inputs<Op>();

/// The gradient of input I of `op`, run on probes: inputs are operands 0 .. N-1, the output is operand N.
template <int I, class Op>
constexpr Probe probe_vjp_of(const Op& op) {
  return [&op]<int... K>(std::integer_sequence<int, K...>) {
    return op.vjp(In<I>{}, Probe(1u << K, Probe::operand)..., Probe(1u << sizeof...(K), Probe::operand),
                  Probe(0, Probe::gradient));
  }
  (std::make_integer_sequence<int, arity<Op>>{});
}
/// The same of an `Op` whose attributes have their defaults: these must read whatever any others read.
template <class Op, int I>
constexpr Probe probe_vjp() {
  return probe_vjp_of<I>(Op{});
}

/// What the value of `op` reads.
template <class Op>
constexpr unsigned reads_of_value(const Op& op) {
  return [&op]<int... K>(std::integer_sequence<int, K...>) {
    return Probe(op.value(Probe(1u << K, Probe::operand)...)).reads;
  }
  (std::make_integer_sequence<int, arity<Op>>{});
}

/// What the gradient of input I of the pointwise formula `Op` reads.
template <class Op, int I>
constexpr Needs deduce() {
  constexpr unsigned reads = probe_vjp<Op, I>().reads;
  return {reads & ((1u << arity<Op>)-1), reads >> arity<Op>};
}

/// True where the gradient of input I is the incoming gradient itself (add, the first operand of sub ...).
template <class Op, int I>
constexpr bool passes_gradient = probe_vjp<Op, I>().kind == Probe::gradient;

/// True where the gradient of input I is zero everywhere (sign, floor, the overwritten operand of copy).
template <class Op, int I>
constexpr bool zero_gradient = probe_vjp<Op, I>().kind == Probe::zero;

/// Whether what the defaults of Op's attributes tell of its kernels holds for these, too. The compiler knows,
/// unless the formula branches on an attribute.
template <class Op>
constexpr bool reads_as_its_defaults(const Op& op) {
  return [&op]<int... I>(std::integer_sequence<int, I...>) {
    const auto vjp_does = [&op]<int J>(In<J>) {
      constexpr Probe known = probe_vjp<Op, J>();
      const Probe p = probe_vjp_of<J>(op);
      return !(p.reads & ~known.reads) &&
             (p.kind == known.kind || known.kind == Probe::computed || known.kind == Probe::operand);
    };
    constexpr unsigned known = reads_of_value(Op{});
    return !(reads_of_value(op) & ~known) && (vjp_does(In<I>{}) && ...);
  }
  (std::make_integer_sequence<int, arity<Op>>{});
}

}  // namespace gradus
