#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/pointwise.h>

namespace gradus {

using namespace formulas;

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
  return pointwise(Softplus{beta, threshold}, x);
}
Tensor relu(const Tensor& x) { return pointwise(Relu{}, x); }
Tensor sign(const Tensor& x) { return pointwise(Sign{}, x); }
Tensor floor(const Tensor& x) { return pointwise(Floor{}, x); }
Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max) {
  Clamp op;
  if (min) op.min = *min;
  if (max) op.max = *max;
  return pointwise(op, x);
}
Tensor pow(const Tensor& x, Scalar exponent) {
  // The square is what most powers are, and far cheaper.
  if (exponent.to<double>() == 2 && is_floating(x.dtype())) return square(x);
  return pointwise(PowScalar{exponent.to<double>()}, x);
}

Tensor pow(const Tensor& x, const Tensor& exponent) { return pointwise(Pow{}, x, exponent); }
Tensor maximum(const Tensor& a, const Tensor& b) { return pointwise(Maximum{}, a, b); }
Tensor maximum(const Tensor& a, Scalar b) { return pointwise(Maximum{}, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return pointwise(Minimum{}, a, b); }
Tensor minimum(const Tensor& a, Scalar b) { return pointwise(Minimum{}, a, b); }

Tensor Tensor::operator-() const {
  if (dtype() == kBool) fail<DtypeError>("neg: not defined for bool");
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
  // Unlike arithmetic, a copy converts to any dtype.
  return pointwise_inplace(Copy{}, *this, other.to(dtype()));
}
Tensor& Tensor::fill_(Scalar value) {
  return pointwise_inplace(Copy{}, *this, detail::constant(value, dtype()));
}
Tensor& Tensor::zero_() { return fill_(0); }
Tensor& relu_(Tensor& x) { return pointwise_inplace(Relu{}, x); }

// ---- comparisons and where: a bool among their operands or results makes them no formulas

namespace {

const char* const kCompareNames[] = {"==", "!=", "<", "<=", ">", ">="};

template <class A, class B>
Tensor compare(kernels::Compare op, const A& a, const B& b) {
  const char* name = kCompareNames[static_cast<int>(op)];
  const Dtype dtype = detail::dtype_for(name, true, a, b);
  Tensor made[2];
  NoGrad no_grad;
  const Tensor& x = *detail::operand(a, dtype, made[0]);
  const Tensor& y = *detail::operand(b, dtype, made[1]);
  const Shape shape = broadcast(name, x.shape(), y.shape());
  Tensor out = make_empty(shape, kBool);
  launch({&out.storage(), &x.storage(), &y.storage()}, kernels::compare, op, dtype,
         reinterpret_cast<bool*>(out.raw()), shape, x.storage().data(), broadcast_to(x.layout(), shape),
         y.storage().data(), broadcast_to(y.layout(), shape));
  return out;
}

struct Where {
  static constexpr auto name = "where";
  static constexpr auto formula =
      "y = condition ? a : b        da = condition ? g : 0        db = condition ? 0 : g";
  static constexpr Needs needs[] = {nothing, in(0), in(0)};
  Tensor value(const Tensor& c, const Tensor& a, const Tensor& b) const {
    const Shape shape = broadcast(name, c.shape(), broadcast(name, a.shape(), b.shape()));
    Tensor y = make_empty(shape, a.dtype());
    launch({&y.storage(), &c.storage(), &a.storage(), &b.storage()}, kernels::where, y.dtype(), y.raw(),
           shape, reinterpret_cast<const bool*>(c.storage().data()), broadcast_to(c.layout(), shape),
           a.storage().data(), broadcast_to(a.layout(), shape), b.storage().data(),
           broadcast_to(b.layout(), shape));
    return y;
  }
  Tensor vjp(In<1>, const Back& b) const { return where(b.in(0), b.g(), 0); }
  Tensor vjp(In<2>, const Back& b) const { return where(b.in(0), 0, b.g()); }
};

template <class A, class B>
Tensor where_of(const Tensor& condition, const A& a, const B& b) {
  if (condition.dtype() != kBool)
    fail<DtypeError>("where: the condition must be bool, not {}", condition.dtype());
  const Dtype dtype = detail::dtype_for("where", true, a, b);
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
