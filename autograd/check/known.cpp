#include <gradus/autograd/check/known.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/pointwise.h>

namespace gradus::detail {
namespace {

template <class F, int I>
Tensor derivative_at(std::span<const Tensor> x, const Tensor& y) {
  if constexpr (passes_gradient<F, I>) {
    return ones_like(y);
  } else {
    const auto& table = kernels::pointwise_kernels<F>();
    const RowKernel kernel{F::name, sizeof(F), table.f32[1 + I], table.f64[1 + I]};
    const F f;
    const Tensor g = ones_like(y);
    std::vector<const Tensor*> operands;
    for (const Tensor& operand : x) operands.push_back(&operand);
    operands.insert(operands.end(), {&y, &g});
    return run_rows<arity<F> + 2>(kernel, &f, y.dtype(), operands.data());
  }
}

template <class F, int I, int... K>
KnownFormula::Derivative derivative(std::integer_sequence<int, K...>) {
  const Symbol names[] = {operand_name(K, sizeof...(K))...};
  return {F{}.vjp(In<I>{}, names[K]..., Symbol("y"), Symbol(1)).text(), deduce<F, I>(), derivative_at<F, I>};
}

template <class F, int... K>
void add(std::vector<KnownFormula>& all, std::integer_sequence<int, K...> inputs) {
  if constexpr (!(zero_gradient<F, K> || ...))
    all.push_back({F::name,
                   [](std::span<const Tensor> x) { return Pointwise<F>{}.value(x[K]...); },
                   {derivative<F, K>(inputs)...}});
}

template <class... F>
std::vector<KnownFormula> known(formulas::List<F...>) {
  std::vector<KnownFormula> all;
  (add<F>(all, std::make_integer_sequence<int, arity<F>>{}), ...);
  return all;
}

/// f, which captures nothing, in symbols and on tensors.
template <class F>
Slip slip(F) {
  return {[](const char* u) { return F{}(Symbol(u)).text(); },
          [](const Tensor& u) { return Tensor(F{}(u)); }};
}

}  // namespace

const std::vector<KnownFormula>& known_formulas() {
  static const std::vector<KnownFormula> all = known(formulas::All{});
  return all;
}

const std::vector<Slip>& slips() {
  static const std::vector<Slip> all = {
      slip([](auto u) { return u; }),           slip([](auto u) { return 1 - u; }),
      slip([](auto u) { return 1 + u; }),       slip([](auto u) { return u * u; }),
      slip([](auto u) { return 1 - u * u; }),   slip([](auto u) { return u * (1 - u); }),
      slip([](auto u) { return u * (1 + u); }), slip([](auto u) { return 1 / u; }),
  };
  return all;
}

}  // namespace gradus::detail
