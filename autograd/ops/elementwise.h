#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

// ---- one operand. Integer and bool tensors are converted to float32 where the op has no integer kernel.

/// y = |x|, dy/dx = sign(x), 0 at 0. Keeps integer dtypes.
Tensor abs(const Tensor& x);
/// y = x². Keeps integer dtypes.
Tensor square(const Tensor& x);
/// y = 1 / x
Tensor reciprocal(const Tensor& x);
/// y = √x; NaN below 0, infinite gradient at 0.
Tensor sqrt(const Tensor& x);
/// y = 1 / √x
Tensor rsqrt(const Tensor& x);
/// y = eˣ
Tensor exp(const Tensor& x);
/// y = eˣ - 1, exact near 0.
Tensor expm1(const Tensor& x);
/// y = ln x; NaN below 0 (the gradient is 1 / x there, too), -inf at 0.
Tensor log(const Tensor& x);
/// y = ln(1 + x), exact near 0.
Tensor log1p(const Tensor& x);
/// y = sin x, x in radians.
Tensor sin(const Tensor& x);
/// y = cos x, x in radians.
Tensor cos(const Tensor& x);
/// y = tanh x, dy/dx = (1 - y)(1 + y)
Tensor tanh(const Tensor& x);
/// y = 1 / (1 + e⁻ˣ), dy/dx = y (1 - y)
Tensor sigmoid(const Tensor& x);
/// y = ln sigmoid(x), without overflow.
Tensor logsigmoid(const Tensor& x);
/// y = ln(1 + e^(beta x)) / beta; x itself where beta x > threshold. An Error unless beta is finite and not
/// 0, also as a number of x's dtype.
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
/// y = max(x, 0), gradient 0 at 0. Keeps integer dtypes.
Tensor relu(const Tensor& x);
/// y = -1, 0 or 1; gradient 0. Keeps integer dtypes.
Tensor sign(const Tensor& x);
/// y = the largest integer ≤ x; gradient 0.
Tensor floor(const Tensor& x);
/// y = min(max(x, min), max); the gradient passes between the bounds and at them. Keeps integer dtypes.
/// A missing bound does not bound. A bound of an integer tensor is cut to an integer; an Error where its
/// dtype has no number within the bounds.
Tensor clamp(const Tensor& x, std::optional<double> min, std::optional<double> max);
/// y = x^exponent, as C's pow; gradient exponent · x^(exponent - 1), 0 for exponent 0.
Tensor pow(const Tensor& x, Scalar exponent);

// ---- two or three operands, which broadcast and promote

/// y = x^exponent. d/dexponent is x^exponent ln x, and 0 where x is 0 and the exponent not negative.
Tensor pow(const Tensor& x, const Tensor& exponent);
/// y = max(a, b), NaN if either is; at a tie each gets half the gradient. Keeps integer dtypes, the widest of
/// them; an Error for a number that could be the result and does not fit into it.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, Scalar b);
/// y = min(a, b), NaN if either is; at a tie each gets half the gradient. Keeps integer dtypes, as maximum.
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, Scalar b);
/// y = condition ? a : b, element by element; condition is bool. The branch not taken gets gradient 0. Of
/// integers the dtype is the widest; an Error for a number that does not fit into it.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
Tensor where(const Tensor& condition, Scalar a, Scalar b);

/// x = max(x, 0), in place.
Tensor& relu_(Tensor& x);

}  // namespace gradus

#pragma GCC visibility pop
