#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/table.h>

#include <limits>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

template <Tensor (*f)(const Tensor&)>
Tensors unary(const Tensors& x, const Attrs&) {
  return {f(x[0])};
}
template <Tensor (*f)(const Tensor&, const Tensor&)>
Tensors binary(const Tensors& x, const Attrs&) {
  return {f(x[0], x[1])};
}
template <Tensor (*f)(const Tensor&, Scalar)>
Tensors with_scalar(const Tensors& x, const Attrs& attrs) {
  return {f(x[0], attrs.number("s"))};
}
template <Tensor (*f)(Scalar, const Tensor&)>
Tensors scalar_first(const Tensors& x, const Attrs& attrs) {
  return {f(attrs.number("s"), x[0])};
}
template <Tensor& (Tensor::*f)(const Tensor&)>
Tensors inplace(const Tensors& x, const Attrs&) {
  Tensor y = x[0];
  return {(y.*f)(x[1])};
}
template <Tensor& (Tensor::*f)(Scalar)>
Tensors inplace_scalar(const Tensors& x, const Attrs& attrs) {
  Tensor y = x[0];
  return {(y.*f)(attrs.number("s"))};
}

Samples real() { return {{{scattered({2, 5})}, {}}}; }
Samples positive() { return {{{scattered({2, 5}, 0.25, 3)}, {}}}; }
Samples above_minus_one() { return {{{scattered({2, 5}, -0.75, 2)}, {}}}; }
Samples pairs() {
  return {{{scattered({3, 4}), scattered({3, 4}, -2, 2, 1)}, {}},
          {{scattered({3, 1}), scattered({2, 1, 4}, -2, 2, 1)}, {}}};
}
Samples quotients() {
  return {{{scattered({3, 4}), scattered({3, 4}, 0.5, 2, 1)}, {}},
          {{scattered({2, 1, 4}), scattered({3, 1}, -2, -0.5, 1)}, {}}};
}
Samples powers() { return {{{scattered({2, 3}, 0.25, 2), scattered({3}, -2, 3, 1)}, {}}}; }
Samples scalars() { return {{{scattered({2, 5})}, {{"s", 1.75}}}}; }
Samples nonzero_with_scalar() { return {{{scattered({2, 5}, 0.5, 2)}, {{"s", -1.75}}}}; }
/// In place: the other operand broadcasts to the first, never the other way.
Samples into() {
  return {{{scattered({3, 4}), scattered({3, 4}, 0.5, 2, 1)}, {}},
          {{scattered({2, 3}), scattered({1}, 0.5, 2, 1)}, {}}};
}

Samples undefined() { return {{{Tensor()}, {}}}; }
Samples undefined_with_scalar() { return {{{Tensor()}, {{"s", 2.0}}}}; }
Samples bool_operand() { return {{{Tensor()}, {}}, {{ones({2}, kBool)}, {}}}; }
Samples misfits() {
  return {{{scattered({2, 3}), scattered({4})}, {}},
          {{scattered({2, 3}), scattered({3, 2})}, {}},
          {{scattered({2, 3}), Tensor()}, {}},
          {{Tensor(), scattered({2, 3})}, {}}};
}
Samples misfits_inplace() {
  return {{{scattered({3}), scattered({2, 3})}, {}},
          {{scattered({2, 3}), scattered({4})}, {}},
          {{scattered({3, 1}).expand({3, 2}), scattered({2})}, {}},
          {{tensor({1, 2, 3}), scattered({3})}, {}},
          {{scattered({2, 3}), Tensor()}, {}}};
}
Samples expanded_inplace() { return {{{scattered({3, 1}).expand({3, 2})}, {{"s", 2.0}, {"value", 2.0}}}}; }
Samples integers_inplace() {
  return {{{scattered({3, 1}).expand({3, 2})}, {{"s", 2.0}}}, {{tensor({1, 2, 3})}, {{"s", 2.5}}}};
}

Tensors where_scalar(const Tensors& x, const Attrs& attrs) {
  if (attrs.has("a") && attrs.has("b")) return {where(x[0], attrs.number("a"), attrs.number("b"))};
  if (attrs.has("a")) return {where(x[0], attrs.number("a"), x[1])};
  return {where(x[0], x[1], attrs.number("b"))};
}

}  // namespace

std::vector<OpRow> elementwise_rows() {
  return {
      {"add", "operator+", binary<(operator+)>, pairs, true, 2, misfits},
      {"sub", "operator-", binary<(operator-)>, pairs, true, 2, misfits},
      {"mul", "operator*", binary<(operator*)>, pairs, true, 2, misfits},
      {"div", "operator/", binary<(operator/)>, quotients, true, 2, misfits},
      {"add_scalar", "operator+", with_scalar<(operator+)>, scalars, true, 2, undefined_with_scalar},
      {"sub_scalar", "operator-", with_scalar<(operator-)>, scalars, true, 2, undefined_with_scalar},
      {"mul_scalar", "operator*", with_scalar<(operator*)>, scalars, true, 2, undefined_with_scalar},
      {"div_scalar", "operator/", with_scalar<(operator/)>, scalars, true, 2, undefined_with_scalar},
      {"radd_scalar", "operator+", scalar_first<(operator+)>, scalars, true, 2, undefined_with_scalar},
      {"rsub_scalar", "operator-", scalar_first<(operator-)>, scalars, true, 2, undefined_with_scalar},
      {"rmul_scalar", "operator*", scalar_first<(operator*)>, scalars, true, 2, undefined_with_scalar},
      {"rdiv_scalar", "operator/", scalar_first<(operator/)>, nonzero_with_scalar, true, 2,
       undefined_with_scalar},

      {"neg", "Tensor::operator-", [](const Tensors& x, const Attrs&) -> Tensors { return {-x[0]}; }, real,
       true, 2, bool_operand},
      {"abs", "abs", unary<abs>, real, true, 2, undefined},
      {"square", "square", unary<square>, real, true, 2, undefined},
      {"reciprocal", "reciprocal", unary<reciprocal>, positive, true, 2, undefined},
      {"sqrt", "sqrt", unary<sqrt>, positive, true, 2, undefined},
      {"rsqrt", "rsqrt", unary<rsqrt>, positive, true, 2, undefined},
      {"exp", "exp", unary<exp>, real, true, 2, undefined},
      {"expm1", "expm1", unary<expm1>, real, true, 2, undefined},
      {"log", "log", unary<log>, positive, true, 2, undefined},
      {"log1p", "log1p", unary<log1p>, above_minus_one, true, 2, undefined},
      {"sin", "sin", unary<sin>, real, true, 2, undefined},
      {"cos", "cos", unary<cos>, real, true, 2, undefined},
      {"tanh", "tanh", unary<tanh>, real, true, 2, undefined},
      {"sigmoid", "sigmoid", unary<sigmoid>, real, true, 2, undefined},
      {"logsigmoid", "logsigmoid", unary<logsigmoid>, real, true, 2, undefined},
      {"softplus", "softplus",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {softplus(x[0], attrs.number("beta", 1), attrs.number("threshold", 20))};
       },
       [] {
         return Samples{{{scattered({2, 5})}, {}},
                        {{scattered({2, 5})}, {{"beta", 2.5}, {"threshold", 2.0}}}};
       },
       true, 2, undefined},
      {"relu", "relu", unary<relu>, real, true, 2, undefined},
      {"sign", "sign", unary<sign>, real, true, 2, undefined},
      {"floor", "floor", unary<floor>, real, true, 2, undefined},
      {"clamp", "clamp",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         const auto bound = [&](const char* name) {
           return attrs.has(name) ? std::optional(attrs.number(name)) : std::nullopt;
         };
         return {clamp(x[0], bound("min"), bound("max"))};
       },
       [] {
         return Samples{{{scattered({2, 5})}, {{"min", -1.0}, {"max", 0.75}}},
                        {{scattered({2, 5})}, {{"min", 0.5}}}};
       },
       true, 2, undefined},
      {"pow", "pow", binary<pow>, powers, true, 2, misfits},
      {"pow_scalar", "pow",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {pow(x[0], attrs.number("exponent"))}; },
       [] {
         return Samples{{{scattered({2, 5}, 0.25, 2)}, {{"exponent", 1.5}}},
                        {{scattered({2, 5})}, {{"exponent", 3.0}}},
                        {{scattered({2, 5})}, {{"exponent", 2.0}}},
                        {{scattered({2, 5})}, {{"exponent", 0.0}}}};
       },
       true, 2,
       [] {
         return Samples{{{Tensor()}, {{"exponent", 2.0}}}};
       }},
      {"maximum", "maximum", binary<maximum>, pairs, true, 2, misfits},
      {"minimum", "minimum", binary<minimum>, pairs, true, 2, misfits},
      {"maximum_scalar", "maximum", with_scalar<maximum>,
       [] {
         return Samples{{{scattered({2, 5})}, {{"s", 0.25}}}};
       },
       true, 2, undefined_with_scalar},
      {"minimum_scalar", "minimum", with_scalar<minimum>,
       [] {
         return Samples{{{scattered({2, 5})}, {{"s", 0.25}}}};
       },
       true, 2, undefined_with_scalar},
      {"where", "where", [](const Tensors& x, const Attrs&) -> Tensors { return {where(x[0], x[1], x[2])}; },
       [] {
         return Samples{{{scattered({3, 4}) > 0, scattered({3, 4}), scattered({3, 4}, -2, 2, 1)}, {}},
                        {{scattered({4}) > 0, scattered({3, 1}), scattered({}, -2, 2, 1)}, {}}};
       },
       true, 2,
       [] {
         return Samples{{{scattered({2}) > 0, scattered({3}), scattered({3})}, {}},
                        {{scattered({3}), scattered({3}), scattered({3})}, {}},
                        {{scattered({3}) > 0, scattered({2}), scattered({3})}, {}},
                        {{Tensor(), scattered({3}), scattered({3})}, {}}};
       }},
      {"where_scalar", "where", where_scalar,
       [] {
         return Samples{{{scattered({3, 4}) > 0, scattered({4})}, {{"a", 1.5}}},
                        {{scattered({3, 1}) > 0, scattered({4})}, {{"b", -1.5}}}};
       },
       true, 2,
       [] {
         return Samples{{{scattered({3}), scattered({3})}, {{"a", 1.0}}},
                        {{scattered({2}) > 0, scattered({3})}, {{"b", 1.0}}}};
       }},
      {"where_scalars", "where", where_scalar,
       [] {
         return Samples{{{scattered({3, 4}) > 0}, {{"a", 1.5}, {"b", 2.5}}}};
       },
       true, 0,
       [] {
         return Samples{{{scattered({3})}, {{"a", 1.0}, {"b", 2.0}}}};
       }},

      {"eq", "operator==", binary<(operator==)>, pairs, true, 0, misfits},
      {"ne", "operator!=", binary<(operator!=)>, pairs, true, 0, misfits},
      {"lt", "operator<", binary<(operator<)>, pairs, true, 0, misfits},
      {"le", "operator<=", binary<(operator<=)>, pairs, true, 0, misfits},
      {"gt", "operator>", binary<(operator>)>, pairs, true, 0, misfits},
      {"ge", "operator>=", binary<(operator>=)>, pairs, true, 0, misfits},
      {"eq_scalar", "operator==", with_scalar<(operator==)>, scalars, true, 0, undefined_with_scalar},
      {"ne_scalar", "operator!=", with_scalar<(operator!=)>, scalars, true, 0, undefined_with_scalar},
      {"lt_scalar", "operator<", with_scalar<(operator<)>, scalars, true, 0, undefined_with_scalar},
      {"le_scalar", "operator<=", with_scalar<(operator<=)>, scalars, true, 0, undefined_with_scalar},
      {"gt_scalar", "operator>", with_scalar<(operator>)>, scalars, true, 0, undefined_with_scalar},
      {"ge_scalar", "operator>=", with_scalar<(operator>=)>, scalars, true, 0, undefined_with_scalar},

      {"add_", "Tensor::add_", inplace<&Tensor::add_>, into, true, 2, misfits_inplace},
      {"sub_", "Tensor::sub_", inplace<&Tensor::sub_>, into, true, 2, misfits_inplace},
      {"mul_", "Tensor::mul_", inplace<&Tensor::mul_>, into, true, 2, misfits_inplace},
      {"div_", "Tensor::div_", inplace<&Tensor::div_>, into, true, 2, misfits_inplace},
      {"add_scalar_", "Tensor::add_", inplace_scalar<&Tensor::add_>, scalars, true, 2, integers_inplace},
      {"sub_scalar_", "Tensor::sub_", inplace_scalar<&Tensor::sub_>, scalars, true, 2, integers_inplace},
      {"mul_scalar_", "Tensor::mul_", inplace_scalar<&Tensor::mul_>, scalars, true, 2, integers_inplace},
      {"div_scalar_", "Tensor::div_", inplace_scalar<&Tensor::div_>, scalars, true, 2, integers_inplace},
      {"copy_", "Tensor::copy_", inplace<&Tensor::copy_>, into, true, 2,
       [] {
         return Samples{{{scattered({3}), scattered({2, 3})}, {}},
                        {{scattered({3, 1}).expand({3, 2}), scattered({2})}, {}},
                        {{scattered({2, 3}), Tensor()}, {}}};
       }},
      {"fill_", "Tensor::fill_",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         Tensor y = x[0];
         return {y.fill_(attrs.number("value"))};
       },
       [] {
         return Samples{{{scattered({2, 5})}, {{"value", 1.5}}}};
       },
       true, 2, expanded_inplace},
      {"zero_", "Tensor::zero_",
       [](const Tensors& x, const Attrs&) -> Tensors {
         Tensor y = x[0];
         return {y.zero_()};
       },
       real, true, 2, expanded_inplace},
      {"relu_", "relu_",
       [](const Tensors& x, const Attrs&) -> Tensors {
         Tensor y = x[0];
         return {relu_(y)};
       },
       real, true, 2, expanded_inplace},

      {"zeros_like", "zeros_like", unary<zeros_like>, real, false, 0, undefined},
      {"ones_like", "ones_like", unary<ones_like>, real, false, 0, undefined},
  };
}

}  // namespace gradus
