#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/pointwise.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus {

using namespace formulas;

namespace {

/// Whether an extreme of x and the number is uint8: a number beyond the end that it cannot win from becomes
/// that end.
bool is_uint8(const Tensor& x, Scalar number) { return number.promoted(x.dtype()) == kUInt8; }

}  // namespace

Tensor abs(const Tensor& x) { return pointwise(Abs{}, x); }
Tensor square(const Tensor& x) { return pointwise(Square{}, x); }
Tensor reciprocal(const Tensor& x) { return pointwise(Reciprocal{}, x); }
Tensor sqrt(const Tensor& x) { return pointwise(Sqrt{}, x); }
Tensor rsqrt(const Tensor& x) { return pointwise(Rsqrt{}, x); }
Tensor exp(const Tensor& x) { return pointwise(Exp{}, x); }
Tensor expm1(const Tensor& x) { return pointwise(Expm1{}, x); }
Tensor log(const Tensor& x) { return pointwise(Log{}, x); }
Tensor log1p(const Tensor& x) { return pointwise(Log1p{}, x); }
Tensor sin(const Tensor& x) { return pointwise(Sin{}, x); }
Tensor cos(const Tensor& x) { return pointwise(Cos{}, x); }
Tensor tanh(const Tensor& x) { return pointwise(Tanh{}, x); }
Tensor sigmoid(const Tensor& x) { return pointwise(Sigmoid{}, x); }
Tensor logsigmoid(const Tensor& x) { return pointwise(LogSigmoid{}, x); }
Tensor softplus(const Tensor& x, double beta, double threshold) {
  detail::check_defined("softplus", x);
  if (std::isnan(threshold)) fail("softplus: the threshold is not a number: {}", threshold);
  const double held = x.dtype() == kFloat64 ? beta : static_cast<double>(static_cast<float>(beta));
  if (!std::isfinite(held) || held == 0)
    fail("softplus: beta must be finite and not 0, as a number of x's dtype, too: {} for {}", beta,
         x.dtype());
  return pointwise(Softplus{beta, threshold}, x);
}
Tensor relu(const Tensor& x) { return pointwise(Relu{}, x); }
Tensor sign(const Tensor& x) { return pointwise(Sign{}, x); }
Tensor floor(const Tensor& x) { return pointwise(Floor{}, x); }
Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max) {
  detail::check_defined("clamp", x);
  Clamp op;
  if (min) op.min = *min;
  if (max) op.max = *max;
  if (!is_floating(x.dtype()))
    dispatch(x.dtype(), [&]<class T>(T) {
      using Limits = std::numeric_limits<T>;
      if (std::isnan(op.min) || std::isnan(op.max))
        fail("clamp: a bound of integers is not a number: {} and {}", op.min, op.max);
      if (!(op.min < std::ldexp(1, Limits::digits) && op.max >= static_cast<double>(Limits::min())))
        fail("clamp: no {} lies within the bounds: {} and {}", x.dtype(), op.min, op.max);
    });
  return pointwise(op, x);
}
Tensor pow(const Tensor& x, Scalar exponent) {
  detail::check_defined("pow", x);
  // The square is what most powers are, and far cheaper.
  if (exponent.to<double>() == 2 && is_floating(x.dtype())) return square(x);
  return pointwise(PowScalar{exponent.to<double>()}, x);
}

Tensor pow(const Tensor& x, const Tensor& exponent) { return pointwise(Pow{}, x, exponent); }
Tensor maximum(const Tensor& a, const Tensor& b) { return pointwise(Maximum{}, a, b); }
Tensor maximum(const Tensor& a, Scalar b) {
  detail::check_defined("maximum", a, b);
  if (is_uint8(a, b)) b = std::max<int64_t>(b.to<int64_t>(), 0);
  return pointwise(Maximum{}, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) { return pointwise(Minimum{}, a, b); }
Tensor minimum(const Tensor& a, Scalar b) {
  detail::check_defined("minimum", a, b);
  if (is_uint8(a, b)) b = std::min<int64_t>(b.to<int64_t>(), 255);
  return pointwise(Minimum{}, a, b);
}

Tensor Tensor::operator-() const {
  if (defined_impl("neg").dtype == kBool) fail<DtypeError>("neg: not defined for bool");
  return pointwise(Neg{}, *this);
}

// NOLINTBEGIN(bugprone-macro-parentheses): an operator and a name cannot stand in parentheses
#define GRADUS_OPERATOR(op, Formula)                                                          \
  Tensor operator op(const Tensor& a, const Tensor& b) { return pointwise(Formula{}, a, b); } \
  Tensor operator op(const Tensor& a, Scalar b) { return pointwise(Formula{}, a, b); }        \
  Tensor operator op(Scalar a, const Tensor& b) { return pointwise(Formula{}, a, b); }
GRADUS_OPERATOR(+, Add)
GRADUS_OPERATOR(-, Sub)
GRADUS_OPERATOR(*, Mul)
GRADUS_OPERATOR(/, Div)
#undef GRADUS_OPERATOR

#define GRADUS_INPLACE(name, Formula)                                                              \
  Tensor& Tensor::name(const Tensor& other) { return pointwise_inplace(Formula{}, *this, other); } \
  Tensor& Tensor::name(Scalar other) { return pointwise_inplace(Formula{}, *this, other); }
GRADUS_INPLACE(add_, Add)
GRADUS_INPLACE(sub_, Sub)
GRADUS_INPLACE(mul_, Mul)
GRADUS_INPLACE(div_, Div)
#undef GRADUS_INPLACE
// NOLINTEND(bugprone-macro-parentheses)

Tensor& Tensor::copy_(const Tensor& other) {
  detail::check_defined("copy_", *this, other);
  // Unlike arithmetic, a copy converts to any dtype.
  return pointwise_inplace(Copy{}, *this, other.to(dtype()));
}
Tensor& Tensor::fill_(Scalar value) {
  return pointwise_inplace(Copy{}, *this, detail::constant(value, defined_impl().dtype));
}
Tensor& Tensor::zero_() { return defined_impl(), fill_(0); }
Tensor& relu_(Tensor& x) { return pointwise_inplace(Relu{}, x); }

// ---- comparisons and where: a bool among their operands or results makes them no formulas

namespace {

const char* const kCompareNames[] = {"==", "!=", "<", "<=", ">", ">="};

/// x op y for operands of one dtype, or of int64 and a floating one.
struct Comparison {
  const char* name;
  kernels::Compare op;
  static constexpr uint32_t differentiable = 0;
  Tensor value(const Tensor& x, const Tensor& y) const {
    const Shape shape = broadcast(name, x.shape(), y.shape());
    Tensor out = make_empty(shape, kBool);
    launch(kernels::Compared{op, writes(out), reads(x, broadcast_to(x.layout(), shape)),
                             reads(y, broadcast_to(y.layout(), shape))});
    return out;
  }
};
Tensor compare_as_they_are(kernels::Compare op, const Tensor& x, const Tensor& y) {
  return apply(Comparison{kCompareNames[static_cast<int>(op)], op}, x, y);
}

Tensor compare(kernels::Compare op, const Tensor& a, const Tensor& b) {
  const Dtype dtype = detail::dtype_for(kCompareNames[static_cast<int>(op)], detail::Integers::Exact, a, b);
  // As a floating number an int64 may be rounded to what it is compared with.
  if (is_floating(dtype) && (a.dtype() == kInt64 || b.dtype() == kInt64))
    return compare_as_they_are(op, a, b);
  Tensor made[2];
  NoGrad no_grad;
  return compare_as_they_are(op, *detail::operand(a, dtype, made[0]), *detail::operand(b, dtype, made[1]));
}
Tensor compare(kernels::Compare op, const Tensor& a, Scalar b) {
  detail::check_defined(kCompareNames[static_cast<int>(op)], a, b);
  const auto [same, number] = kernels::comparable(op, b, a.dtype());
  return compare_as_they_are(same, a, detail::constant(number, a.dtype()));
}

struct Where {
  static constexpr auto name = "where";
  static constexpr auto formula =
      "y = condition ? a : b        da = condition ? g : 0        db = condition ? 0 : g";
  static constexpr Needs needs[] = {nothing, in(0), in(0)};
  Tensor value(const Tensor& c, const Tensor& a, const Tensor& b) const {
    const Shape shape = broadcast(name, c.shape(), broadcast(name, a.shape(), b.shape()));
    Tensor y = make_empty(shape, a.dtype());
    launch(kernels::Where{writes(y), reads(c, broadcast_to(c.layout(), shape)),
                          reads(a, broadcast_to(a.layout(), shape)),
                          reads(b, broadcast_to(b.layout(), shape))});
    return y;
  }
  Tensor vjp(In<1>, const Back& b) const { return where(b.in(0), b.g(), 0); }
  Tensor vjp(In<2>, const Back& b) const { return where(b.in(0), 0, b.g()); }
};

template <class A, class B>
Tensor where_of(const Tensor& condition, const A& a, const B& b) {
  detail::check_defined("where", condition, a, b);
  if (condition.dtype() != kBool)
    fail<DtypeError>("where: the condition must be bool, not {}", condition.dtype());
  const Dtype dtype = detail::dtype_for("where", detail::Integers::Exact, a, b);
  Tensor made[2];
  return apply(Where{}, condition, *detail::operand(a, dtype, made[0]), *detail::operand(b, dtype, made[1]));
}

}  // namespace

#define GRADUS_COMPARISON(op, Kind)                                                                      \
  Tensor operator op(const Tensor& a, const Tensor& b) { return compare(kernels::Compare::Kind, a, b); } \
  Tensor operator op(const Tensor& a, Scalar b) { return compare(kernels::Compare::Kind, a, b); }
GRADUS_COMPARISON(==, Equal)
GRADUS_COMPARISON(!=, NotEqual)
GRADUS_COMPARISON(<, Less)
GRADUS_COMPARISON(<=, LessEqual)
GRADUS_COMPARISON(>, Greater)
GRADUS_COMPARISON(>=, GreaterEqual)
#undef GRADUS_COMPARISON

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) { return where_of(condition, a, b); }
Tensor where(const Tensor& condition, const Tensor& a, Scalar b) { return where_of(condition, a, b); }
Tensor where(const Tensor& condition, Scalar a, const Tensor& b) { return where_of(condition, a, b); }
Tensor where(const Tensor& condition, Scalar a, Scalar b) { return where_of(condition, a, b); }

}  // namespace gradus
