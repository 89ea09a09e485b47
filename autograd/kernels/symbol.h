#pragma once
#include <gradus/autograd/kernels/probe.h>

#include <string>

#pragma GCC visibility push(default)

namespace gradus {

/// A stand-in for a number that writes down what is computed with it. A formula (formulas.h) run on symbols
/// gives its own text: 1 - x * x is "1 - x²".
class Symbol {
 public:
  /// An operand.
  Symbol(const char* name) : last_(name) {}
  template <class A>
  requires std::is_arithmetic_v<A> Symbol(A number) : Symbol(static_cast<double>(number)) {}
  Symbol(double number);

  std::string text() const;

  friend Symbol operator+(const Symbol& a, const Symbol& b);
  friend Symbol operator-(const Symbol& a, const Symbol& b);
  friend Symbol operator*(const Symbol& a, const Symbol& b);
  friend Symbol operator/(const Symbol& a, const Symbol& b);
  friend Symbol operator-(const Symbol& a);
  friend Symbol operator<(const Symbol& a, const Symbol& b) { return compared(a, "<", b); }
  friend Symbol operator<=(const Symbol& a, const Symbol& b) { return compared(a, "≤", b); }
  friend Symbol operator>(const Symbol& a, const Symbol& b) { return compared(a, ">", b); }
  friend Symbol operator>=(const Symbol& a, const Symbol& b) { return compared(a, "≥", b); }
  friend Symbol operator==(const Symbol& a, const Symbol& b) { return compared(a, "=", b); }
  friend Symbol operator!=(const Symbol& a, const Symbol& b) { return compared(a, "≠", b); }
  /// "a where mask, else b"
  friend Symbol where(const Symbol& mask, const Symbol& a, const Symbol& b);
  friend Symbol pow(const Symbol& a, const Symbol& b);
  friend Symbol abs(const Symbol& a);
  friend Symbol maximum(const Symbol& a, const Symbol& b) { return called("max", a, &b); }
  friend Symbol minimum(const Symbol& a, const Symbol& b) { return called("min", a, &b); }
  friend Symbol zeros_like(const Symbol&) { return 0; }
  friend Symbol weighted(const Symbol& weight, const Symbol& x) { return weight * x; }
#define GRADUS_NAMED(f) \
  friend Symbol f(const Symbol& a) { return called(#f, a); }
  GRADUS_NAMED(sign)
  GRADUS_NAMED(floor)
  GRADUS_NAMED(sqrt)
  GRADUS_NAMED(exp)
  GRADUS_NAMED(expm1)
  GRADUS_NAMED(log)
  GRADUS_NAMED(log1p)
  GRADUS_NAMED(sin)
  GRADUS_NAMED(cos)
  GRADUS_NAMED(tanh)
  GRADUS_NAMED(erf)
  GRADUS_NAMED(sigmoid)
  GRADUS_NAMED(logsigmoid)
#undef GRADUS_NAMED

 private:
  /// How tightly an expression holds together.
  enum Level { choice, comparison, sum, quotient, product, power, atom };

  Symbol(Level level, std::string text) : level_(level), last_(std::move(text)) {}
  static Symbol compared(const Symbol& a, const char* sign, const Symbol& b);
  static Symbol called(const char* function, const Symbol& a, const Symbol* b = nullptr);
  bool is(const char* text) const { return level_ == atom && last_ == text; }
  bool is_number() const;
  bool negative() const { return (first_.empty() ? last_ : first_)[0] == '-'; }
  /// The text, in parentheses where it would fall apart beside an operator of this level.
  std::string within(Level level, bool at_the_left = true) const;

  // A product is its factors before the last, and the last one, which is there `times_` times.
  Level level_ = atom;
  std::string first_, last_;
  int times_ = 1;
};

namespace detail {
/// What operand k of n is called: x, or a, b, c …
const char* operand_name(int k, int n);
/// Between a formula's value and its gradients.
inline constexpr const char* kGap = "        ";
/// The gap, and "dx = g (1 - y) (1 + y)".
std::string gradient_text(const Symbol& x, const Symbol& gradient);
}  // namespace detail

/// "y = tanh(x)        dx = g (1 - y) (1 + y)": a pointwise formula and its gradients.
template <class F>
std::string formula_of(const F& f) {
  return [&]<int... K>(std::integer_sequence<int, K...>) {
    const Symbol x[] = {detail::operand_name(K, sizeof...(K))...};
    std::string text = "y = " + f.value(x[K]...).text();
    ((text += detail::gradient_text(x[K], f.vjp(In<K>{}, x[K]..., Symbol("y"), Symbol("g")))), ...);
    return text;
  }
  (std::make_integer_sequence<int, arity<F>>{});
}

}  // namespace gradus

#pragma GCC visibility pop
