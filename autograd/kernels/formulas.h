#pragma once
#include <gradus/autograd/kernels/probe.h>

#include <limits>

/// Pointwise rules. A rule is a struct whose data members are its attributes: `value(x...)` is the op and
/// `vjp(In<i>, x..., y, g)` its gradient for input i. The same text runs on SIMD vectors, on tensors (which
/// makes it differentiable again) and on `Probe`, so it is written in operators, comparisons,
/// `where(mask, a, b)` and the functions listed in `Probe`, with plain literals, and never
/// branches on a value. What `where` leaves out must be finite too: its own gradient would be 0 * inf
/// otherwise. At kinks and extremes the conventions are PyTorch's; at infinite inputs losses and activations
/// have their limits.
namespace gradus::formulas {

/// weight · x, and 0 for a weight of 0 even where x is infinite. For values alone: where it is 0 it has no
/// gradient.
template <class T>
constexpr T weighted(T weight, T x) {
  return where(weight == 0, 0, weight * x);
}

// A rule reads best as one line for the value and one for each gradient.
// clang-format off

/// y = a + b        da = g        db = g
struct Add {
  static constexpr auto name = "add";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T a, T b) const { return a + b; }
  template <class T> constexpr T vjp(In<0>, T, T, T, T g) const { return g; }
  template <class T> constexpr T vjp(In<1>, T, T, T, T g) const { return g; }
};

/// y = a - b        da = g        db = -g
struct Sub {
  static constexpr auto name = "sub";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T a, T b) const { return a - b; }
  template <class T> constexpr T vjp(In<0>, T, T, T, T g) const { return g; }
  template <class T> constexpr T vjp(In<1>, T, T, T, T g) const { return -g; }
};

/// y = a b        da = g b        db = g a
struct Mul {
  static constexpr auto name = "mul";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T a, T b) const { return a * b; }
  template <class T> constexpr T vjp(In<0>, T, T b, T, T g) const { return g * b; }
  template <class T> constexpr T vjp(In<1>, T a, T, T, T g) const { return g * a; }
};

/// y = a / b        da = g / b        db = -g y / b
struct Div {
  static constexpr auto name = "div";
  template <class T> constexpr T value(T a, T b) const { return a / b; }
  template <class T> constexpr T vjp(In<0>, T, T b, T, T g) const { return g / b; }
  template <class T> constexpr T vjp(In<1>, T, T b, T y, T g) const { return -g * (y / b); }
};

/// y = -x        dx = -g
struct Neg {
  static constexpr auto name = "neg";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T x) const { return -x; }
  template <class T> constexpr T vjp(In<0>, T, T, T g) const { return -g; }
};

/// y = |x|        dx = g sign(x), 0 at 0
struct Abs {
  static constexpr auto name = "abs";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T x) const { return abs(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return g * sign(x); }
};

/// y = x^2        dx = 2 g x
struct Square {
  static constexpr auto name = "square";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T x) const { return x * x; }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return 2 * g * x; }
};

/// y = 1 / x        dx = -g y^2
struct Reciprocal {
  static constexpr auto name = "reciprocal";
  template <class T> constexpr T value(T x) const { return 1 / x; }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return -g * (y * y); }
};

/// y = sqrt(x)        dx = g / (2 y), infinite at 0
struct Sqrt {
  static constexpr auto name = "sqrt";
  template <class T> constexpr T value(T x) const { return sqrt(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return g / (2 * y); }
};

/// y = 1 / sqrt(x)        dx = -g y^3 / 2
struct Rsqrt {
  static constexpr auto name = "rsqrt";
  template <class T> constexpr T value(T x) const { return 1 / sqrt(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return -0.5 * g * y * y * y; }
};

/// y = e^x        dx = g y
struct Exp {
  static constexpr auto name = "exp";
  template <class T> constexpr T value(T x) const { return exp(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return g * y; }
};

/// y = e^x - 1        dx = g (y + 1)
struct Expm1 {
  static constexpr auto name = "expm1";
  template <class T> constexpr T value(T x) const { return expm1(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return g * (y + 1); }
};

/// y = log(x)        dx = g / x; for x < 0 the value is NaN and the gradient still 1 / x
struct Log {
  static constexpr auto name = "log";
  template <class T> constexpr T value(T x) const { return log(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return g / x; }
};

/// y = log(1 + x)        dx = g / (1 + x)
struct Log1p {
  static constexpr auto name = "log1p";
  template <class T> constexpr T value(T x) const { return log1p(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return g / (1 + x); }
};

/// y = erf(x) = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x        dx = g 2/sqrt(pi) e^(-x^2)
struct Erf {
  static constexpr auto name = "erf";
  template <class T> constexpr T value(T x) const { return erf(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    return 1.1283791670955126 * g * exp(-(x * x));
  }
};

/// y = sin(x)        dx = g cos(x)
struct Sin {
  static constexpr auto name = "sin";
  template <class T> constexpr T value(T x) const { return sin(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return g * cos(x); }
};

/// y = cos(x)        dx = -g sin(x)
struct Cos {
  static constexpr auto name = "cos";
  template <class T> constexpr T value(T x) const { return cos(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return -g * sin(x); }
};

/// y = tanh(x)        dx = g (1 - y)(1 + y)
struct Tanh {
  static constexpr auto name = "tanh";
  template <class T> constexpr T value(T x) const { return tanh(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return g * (1 - y) * (1 + y); }
};

/// y = 1 / (1 + e^-x)        dx = g y (1 - y)
struct Sigmoid {
  static constexpr auto name = "sigmoid";
  template <class T> constexpr T value(T x) const { return sigmoid(x); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return g * y * (1 - y); }
};

/// y = log(sigmoid(x))        dx = g sigmoid(-x)
struct LogSigmoid {
  static constexpr auto name = "logsigmoid";
  template <class T> constexpr T value(T x) const { return logsigmoid(x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return g * sigmoid(-x); }
};

/// y = log(1 + e^(beta x)) / beta, and x where beta x > threshold        dx = g sigmoid(beta x), and g there
struct Softplus {
  static constexpr auto name = "softplus";
  double beta = 1, threshold = 20;
  void describe(auto& d) const { d("beta", beta), d("threshold", threshold); }
  template <class T> constexpr T value(T x) const {
    return where(beta * x > threshold, x, (maximum(beta * x, 0) - logsigmoid(abs(beta * x))) / beta);
  }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    return where(beta * x > threshold, g, g * sigmoid(beta * x));
  }
};

/// y = max(x, 0)        dx = g where y > 0, 0 at 0
struct Relu {
  static constexpr auto name = "relu";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T x) const { return maximum(x, 0); }
  template <class T> constexpr T vjp(In<0>, T, T y, T g) const { return where(y <= 0, 0, g); }
};

/// y = x where x > 0, negative_slope x elsewhere        dx = g, negative_slope g
struct LeakyRelu {
  static constexpr auto name = "leaky_relu";
  double negative_slope = 0.01;
  void describe(auto& d) const { d("negative_slope", negative_slope); }
  template <class T> constexpr T value(T x) const { return where(x > 0, x, negative_slope * x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const { return where(x > 0, g, negative_slope * g); }
};

/// y = x where x > 0, alpha (e^x - 1) elsewhere        dx = g, g alpha e^x
struct Elu {
  static constexpr auto name = "elu";
  double alpha = 1;
  void describe(auto& d) const { d("alpha", alpha); }
  template <class T> constexpr T value(T x) const {
    return where(x > 0, x, alpha * expm1(where(x > 0, 0, x)));
  }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    return where(x > 0, g, g * (alpha * exp(where(x > 0, 0, x))));
  }
};

/// y = x s with s = sigmoid(x)        dx = g s (1 + x (1 - s))
struct Silu {
  static constexpr auto name = "silu";
  template <class T> constexpr T value(T x) const { return weighted(sigmoid(x), x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    const T s = sigmoid(x), near = maximum(minimum(x, 1000), -1000);
    return g * (s * (1 + near * (1 - s)));
  }
};

/// y = x P(x) with P(x) = (1 + erf(x / sqrt(2))) / 2        dx = g (P(x) + x e^(-x^2 / 2) / sqrt(2 pi))
struct Gelu {
  static constexpr auto name = "gelu";
  template <class T> constexpr T value(T x) const { return weighted(1 + erf(0.7071067811865476 * x), 0.5 * x); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    const T near = maximum(minimum(x, 1000), -1000);
    return g * (0.5 * (1 + erf(0.7071067811865476 * x)) + 0.3989422804014327 * near * exp(-0.5 * x * x));
  }
};

/// y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3)
/// dx = g (1 + t + x (1 - t)(1 + t) u') / 2
struct GeluTanh {
  static constexpr auto name = "gelu_tanh";
  template <class T> constexpr T value(T x) const {
    return weighted(1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)), 0.5 * x);
  }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    const T near = maximum(minimum(x, 1000), -1000);
    const T t = tanh(0.7978845608028654 * (near + 0.044715 * near * near * near));
    return 0.5 * g * (1 + t + near * (1 - t) * (1 + t) * (0.7978845608028654 * (1 + 0.134145 * near * near)));
  }
};

/// y = x^exponent, both tensors        dx = g exponent x^(exponent - 1)        dexponent = g y log(x)
/// x^0 has gradient 0 everywhere, and 0^exponent has gradient 0 for exponent >= 0.
struct Pow {
  static constexpr auto name = "pow";
  template <class T> constexpr T value(T x, T exponent) const { return pow(x, exponent); }
  template <class T> constexpr T vjp(In<0>, T x, T exponent, T, T g) const {
    return g * (exponent * pow(where(exponent == 0, where(abs(x) > 0, x, 1), x), exponent - 1));
  }
  template <class T> constexpr T vjp(In<1>, T x, T exponent, T y, T g) const {
    return g * (y * log(where(x == 0, where(exponent >= 0, 1, x), x)));
  }
};

/// y = x^exponent for one number        dx = g exponent x^(exponent - 1), 0 for exponent 0
struct PowScalar {
  static constexpr auto name = "pow_scalar";
  double exponent = 2;
  void describe(auto& d) const { d("exponent", exponent); }
  template <class T> constexpr T value(T x) const { return pow(x, exponent); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    if (exponent == 0) return zeros_like(g);
    return g * (exponent * pow(x, exponent - 1));
  }
};

/// y = max(a, b); NaN if either is        da = g where a > b, g / 2 where equal; db likewise
struct Maximum {
  static constexpr auto name = "maximum";
  static constexpr bool integers = true;
  static constexpr bool chooses = true;
  template <class T> constexpr T value(T a, T b) const { return maximum(a, b); }
  template <class T> constexpr T vjp(In<0>, T a, T b, T, T g) const {
    return where(a < b, 0, where(a == b, g / 2, g));
  }
  template <class T> constexpr T vjp(In<1>, T a, T b, T, T g) const {
    return where(a > b, 0, where(a == b, g / 2, g));
  }
};

/// y = min(a, b); NaN if either is        da = g where a < b, g / 2 where equal; db likewise
struct Minimum {
  static constexpr auto name = "minimum";
  static constexpr bool integers = true;
  static constexpr bool chooses = true;
  template <class T> constexpr T value(T a, T b) const { return minimum(a, b); }
  template <class T> constexpr T vjp(In<0>, T a, T b, T, T g) const {
    return where(a > b, 0, where(a == b, g / 2, g));
  }
  template <class T> constexpr T vjp(In<1>, T a, T b, T, T g) const {
    return where(a < b, 0, where(a == b, g / 2, g));
  }
};

/// y = min(max(x, min), max)        dx = g where min <= x <= max, the bounds included; 0 elsewhere
struct Clamp {
  static constexpr auto name = "clamp";
  static constexpr bool integers = true;
  double min = -std::numeric_limits<double>::infinity(), max = std::numeric_limits<double>::infinity();
  void describe(auto& d) const { d("min", min), d("max", max); }
  template <class T> constexpr T value(T x) const { return minimum(maximum(x, min), max); }
  template <class T> constexpr T vjp(In<0>, T x, T, T g) const {
    return where(x >= min, where(x <= max, g, 0), 0);
  }
};

/// y = -1, 0 or 1        dx = 0
struct Sign {
  static constexpr auto name = "sign";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T x) const { return sign(x); }
  template <class T> constexpr T vjp(In<0>, T, T, T g) const { return zeros_like(g); }
};

/// y = the largest integer <= x        dx = 0
struct Floor {
  static constexpr auto name = "floor";
  template <class T> constexpr T value(T x) const { return floor(x); }
  template <class T> constexpr T vjp(In<0>, T, T, T g) const { return zeros_like(g); }
};

/// y = b: the value written into a        da = 0        db = g
struct Copy {
  static constexpr auto name = "copy";
  static constexpr bool integers = true;
  template <class T> constexpr T value(T, T b) const { return b; }
  template <class T> constexpr T vjp(In<0>, T, T, T, T g) const { return zeros_like(g); }
  template <class T> constexpr T vjp(In<1>, T, T, T, T g) const { return g; }
};

/// y = (x - t)^2        dx = 2 g (x - t)        dt = 2 g (t - x)
struct Mse {
  static constexpr auto name = "mse_loss";
  template <class T> constexpr T value(T x, T t) const { return (x - t) * (x - t); }
  template <class T> constexpr T vjp(In<0>, T x, T t, T, T g) const { return 2 * g * (x - t); }
  template <class T> constexpr T vjp(In<1>, T x, T t, T, T g) const { return 2 * g * (t - x); }
};

/// y = -t log(p) - (1 - t) log(1 - p) with logarithms of at least -100, p in [0, 1]
/// dp = g (p - t) / max(p (1 - p), 1e-12), the bound being PyTorch's float        dt = g (log(1 - p) - log(p))
struct Bce {
  static constexpr auto name = "bce_loss";
  template <class T> constexpr T value(T p, T t) const {
    return (t - 1) * maximum(log1p(-p), -100) - t * maximum(log(p), -100);
  }
  template <class T> constexpr T vjp(In<0>, T p, T t, T, T g) const {
    return g * (p - t) / maximum(p * (1 - p), 9.999999960041972e-13);
  }
  template <class T> constexpr T vjp(In<1>, T p, T, T, T g) const {
    return g * (maximum(log1p(-p), -100) - maximum(log(p), -100));
  }
};

/// y = -t log(s) - (1 - t) log(1 - s) with s = sigmoid(z)        dz = g (s - t)        dt = -g z
struct BceWithLogits {
  static constexpr auto name = "bce_with_logits";
  template <class T> constexpr T value(T z, T t) const {
    return weighted(where(z > 0, 1 - t, -t), z) - logsigmoid(abs(z));
  }
  template <class T> constexpr T vjp(In<0>, T z, T t, T, T g) const { return g * (sigmoid(z) - t); }
  template <class T> constexpr T vjp(In<1>, T z, T, T, T g) const { return -g * z; }
};

/// y = -w t log(s) - (1 - t) log(1 - s) with s = sigmoid(z), w the weight of positive examples
/// dz = g ((1 - t) s - w t (1 - s))        dt = g (log(1 - s) - w log(s))        dw = -g t log(s)
struct BceWithPosWeight {
  static constexpr auto name = "bce_with_pos_weight";
  template <class T> constexpr T value(T z, T t, T w) const {
    return weighted(t - 1, logsigmoid(-z)) - weighted(w * t, logsigmoid(z));
  }
  template <class T> constexpr T vjp(In<0>, T z, T t, T w, T, T g) const {
    return g * ((1 - t) * sigmoid(z) - w * t * sigmoid(-z));
  }
  template <class T> constexpr T vjp(In<1>, T z, T, T w, T, T g) const {
    return g * (logsigmoid(-z) - w * logsigmoid(where(w == 0, maximum(z, -1e30), z)));
  }
  template <class T> constexpr T vjp(In<2>, T z, T t, T, T, T g) const {
    return -g * t * logsigmoid(where(t == 0, maximum(z, -1e30), z));
  }
};
// clang-format on

template <class... Op>
struct List {};

/// The formulas whose kernels the library holds. Others are instantiated where they are used.
using All =
    List<Add, Sub, Mul, Div, Neg, Abs, Square, Reciprocal, Sqrt, Rsqrt, Exp, Expm1, Log, Log1p, Erf, Sin, Cos,
         Tanh, Sigmoid, LogSigmoid, Softplus, Relu, LeakyRelu, Elu, Silu, Gelu, GeluTanh, Pow, PowScalar,
         Maximum, Minimum, Clamp, Sign, Floor, Copy, Mse, Bce, BceWithLogits, BceWithPosWeight>;

}  // namespace gradus::formulas
