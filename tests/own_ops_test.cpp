// Ops that users write: what is wrong with one is refused, not lost; and what a recorded step may not do.
#include <gradus/gradus.h>

#include "core_support.h"
#include "program.h"

namespace gradus::own_ops {
namespace {

/// f throws an E that says `text`.
template <class E>
void expect_error(const std::function<void()>& f, const std::string& text) {
  const std::string message = error_of<E>(f);
  EXPECT_TRUE(contains(message, text)) << "'" << message << "'";
}

// ---- rules that are missing

struct Named {
  static constexpr auto name = "own";
};

/// y = a b without a rule for b.
struct HalfProduct : Named {
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const { return a * b; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.in(1); }
};

TEST(OwnOps, AWantedGradientWithoutARuleIsAnError) {
  const Tensor a = leaf({2, 3}), b = leaf({4, 5});
  const Tensor y = apply(HalfProduct{}, a, b).sum();
  expect_error<GradError>([&] { y.backward(); },
                          "'own' has no rule for input 1, whose gradient is wanted: write vjp(In<1>");
  EXPECT_FALSE(a.grad().defined() || b.grad().defined());
  // Nobody wants it here.
  EXPECT_TRUE(equals(grad({y}, {a})[0], {4, 5}));
  expect_error<GradError>([&] { grad({y}, {b}); }, "no rule for input 1");
  apply(HalfProduct{}, a, b.detach()).sum().backward();
  EXPECT_TRUE(equals(a.grad(), {4, 5}));
}

struct WithoutRules : Named {
  Tensor value(const Tensor& x) const { return x * 2; }
};
struct DeclaredConstant : WithoutRules {
  static constexpr uint32_t differentiable = 0;
};

TEST(OwnOps, AnOpWithoutRulesIsNotSilentlyAConstant) {
  const Tensor x = leaf({1, 2});
  expect_error<GradError>([&] { apply(WithoutRules{}, x).sum().backward(); }, "no rule for input 0");
  expect_error<GradError>([&] { (x + apply(WithoutRules{}, x)).sum().backward(); }, "no rule for input 0");
  EXPECT_TRUE(equals(apply(WithoutRules{}, x.detach()), {2, 4}));
  // Unless it says so.
  EXPECT_FALSE(apply(DeclaredConstant{}, x).requires_grad());
  (x + apply(DeclaredConstant{}, x)).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

/// y = Σ x_i of eight inputs, with rules for the last four alone.
struct LateRules : Named {
  template <class... X>
  Tensor value(const X&... x) const {
    return (x + ...);
  }
  template <int I>
  requires(I >= 4 && I < 8) Tensor vjp(In<I>, const Back& b)
  const { return b.g() * I; }
};

TEST(OwnOps, RulesOfLateInputsAreFound) {
  const Tensor c = values({1}, {1}), x = leaf({1}), z = leaf({1});
  apply(LateRules{}, c, c, c, c, x, c, c, z).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {4}));
  EXPECT_TRUE(equals(z.grad(), {7}));
  expect_error<GradError>([&] { apply(LateRules{}, c, x, c, c, x, c, c, z).sum().backward(); },
                          "no rule for input 1");
}

struct SumOfList : Named {
  Tensor value(std::span<const Tensor> x) const {
    Tensor y = x[0];
    for (size_t i = 1; i < x.size(); i++) y = y + x[i];
    return y;
  }
};
struct SumWithRule : SumOfList {
  Tensor vjp(int, const Back& b) const { return b.g(); }
};
/// Rules for single inputs in an op on a list: the third has none.
struct SumWithTwoRules : SumOfList {
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<1>, const Back& b) const { return b.g(); }
};

TEST(OwnOps, OpsOnAListNeedTheirRule) {
  const Tensors x(40, leaf({1, 2}));
  const std::span<const Tensor> all(x);
  expect_error<GradError>([&] { gradus::apply(SumOfList{}, all).sum().backward(); }, "no rule for input 0");
  expect_error<GradError>([&] { gradus::apply(SumWithTwoRules{}, all).sum().backward(); },
                          "no rule for input 2");
  gradus::apply(SumWithRule{}, all).sum().backward();
  EXPECT_TRUE(equals(x[0].grad(), {40, 40}));
  const Tensor one = leaf({1, 2});
  gradus::apply(SumWithRule{}, std::span<const Tensor>(&one, 1)).sum().backward();
  EXPECT_TRUE(equals(one.grad(), {1, 1}));
}

struct InPlaceHalf : HalfProduct {
  void write(const Tensor& x, const Tensor& old, const Tensor& b) const {
    const Tensor y = old * b;
    Tensor(x).copy_(y);
  }
};
struct ViewWithoutRule : Named {
  Layout of(const Layout& l) const { return l; }
};

TEST(OwnOps, InPlaceAndViewsNeedTheirRules) {
  const Tensor x = leaf({1, 2}), b = leaf({3, 4});
  Tensor y = x * 1;
  apply_inplace(InPlaceHalf{}, y, b);
  EXPECT_TRUE(equals(y, {3, 8}));
  expect_error<GradError>([&] { y.sum().backward(); }, "no rule for input 1");
  expect_error<GradError>([&] { apply_view(ViewWithoutRule{}, x).sum().backward(); }, "no rule for input 0");
}

/// Rules for both inputs by number, where the number of inputs is fixed.
struct ByNumber : Named {
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const { return a * b; }
  Tensor vjp(int i, const Back& b) const { return b.g() * b.in(1 - static_cast<uint32_t>(i)); }
};

TEST(OwnOps, ARuleByNumberServesAFixedOp) {
  EXPECT_LT(gradient_error([](const Tensors& x) { return apply(ByNumber{}, x[0], x[1]); },
                           {noise({3}), noise({3}, 2)}, 2),
            1e-7);
}

/// `together` gives gradients that nobody wants.
struct Together : Named {
  Tensor value(const Tensor& a, const Tensor& b) const { return a + b; }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<1>, const Back& b) const { return b.g(); }
  bool together(Back& b) const {
    b.give(0, b.g());
    b.give(1, b.g());
    return true;
  }
};

TEST(OwnOps, WhatNobodyWantsIsDropped) {
  const Tensor a = leaf({1, 2});
  apply(Together{}, a, values({1, 1}, {2})).sum().backward();
  apply(Together{}, values({1, 1}, {2}), a).sum().backward();
  EXPECT_TRUE(equals(a.grad(), {2, 2}));
}

// ---- rules that can't be called

/// What the compiler says of a program that applies each of these ops: Op0, Op1 …
Outcome compile_ops(const std::vector<std::string>& ops) {
  std::string source =
      "#include <gradus/autograd/core/apply.h>\nusing namespace gradus;\nstruct Base {\n"
      "static constexpr auto name = \"op\";\n"
      "Tensor value(const Tensor& a, const Tensor&) const { return a; }\n};\n";
  for (size_t i = 0; i < ops.size(); i++)
    source += fmt::format(
        "struct Op{0} : Base {{\n{1}\n}};\nTensor f{0}(const Tensor& x) {{ return apply(Op{0}{{}}, x, x); "
        "}}\n",
        i, ops[i]);
  return compile(source);
}

const std::string first_rule = "Tensor vjp(In<0>, const Back& b) const { return b.g(); }\n";

TEST(OwnOps, ARuleThatCannotBeCalledDoesNotCompileSlow) {
  const std::vector<std::string> bad{
      first_rule + "Tensor vjp(In<1>, Back& b) const { return b.g(); }",
      first_rule + "Tensor vjp(In<1>, const Back& b) { return b.g(); }",
      first_rule + "void vjp(In<1>, const Back&) const {}",
      first_rule + "Tensors vjp(In<1>, const Back& b) const { return {b.g()}; }",
      first_rule + "Tensor vjp(In<1>&, const Back& b) const { return b.g(); }",
      first_rule + "Tensor vjp(In<1>) const { return {}; }",
      first_rule + "Tensor vjp(In<1>, const Tensor& g) const { return g; }",
      first_rule + "Tensor vjp(In<6>, Back& b) const { return b.g(); }",
      "Tensor vjp(In<0>, Back& b) const { return b.g(); }",
      "Tensor vjp(In<0>, const Back& b) { return b.g(); }",
      "void vjp(In<0>, const Back&) const {}",
      "Tensor vjp(int, Back& b) const { return b.g(); }",
      "Tensor vjp(const Back& b) const { return b.g(); }",
      "Tensor vjp(Tensor, Tensor, Tensor g) const { return g; }",
      "private: Tensor vjp(In<0>, const Back& b) const { return b.g(); }",
  };
  std::vector<std::string> all = bad;
  all.push_back(first_rule + "Tensor vjp(int, const Back& b) const { return b.g(); }");
  all.push_back(first_rule + "static constexpr Needs needs = in(0);");
  all.push_back("std::vector<int> more;");
  const Outcome outcome = compile_ops(all);
  EXPECT_NE(outcome.code, 0);
  EXPECT_EQ(count_of(outcome.text, "this op's vjp can't be called so"), bad.size()) << outcome.text;
  for (size_t i = 0; i < bad.size(); i++)
    EXPECT_TRUE(contains(outcome.text, "Rule<Op" + std::to_string(i))) << bad[i];
  EXPECT_TRUE(contains(outcome.text, "or one for int, not both"));
  EXPECT_TRUE(contains(outcome.text, "needs is an array"));
  EXPECT_TRUE(contains(outcome.text, "copying an op must not throw"));
}

TEST(OwnOps, RulesThatCanBeCalledCompileSlow) {
  const Outcome outcome = compile_ops({
      first_rule,
      first_rule + "Tensor vjp(In<1>, const Back& b, const Tensor& g) const { return b.g() + g; }",
      first_rule + "template <int I, class B> requires(I == 1) auto vjp(In<I>, B& b) const { return b.g(); }",
      "template <int I> Tensor vjp(In<I>, Back b) const { return b.g(); }",
      "Tensor vjp(size_t, const Back& b) const { return b.g(); }",
      "Part vjp(In<0>, const Back& b) const { return {b.g(), Layout(b.shape(0))}; }",
      "Parts vjp(In<0>, const Back& b) const { return {{b.g(), Layout(b.shape(0))}}; }",
      "static Tensor vjp(In<1>, const auto& b) { return b.g(); }",
      "",
  });
  EXPECT_EQ(outcome.code, 0) << outcome.text;
}

// ---- results that have no gradient

/// y = x s, s = Σ x: s is kept for the rule.
template <class Base>
struct TimesSum : Base {
  static constexpr auto name = "times_sum";
  static constexpr Needs needs[] = {in(0) | out(1)};
  std::tuple<Tensor, Tensor> value(const Tensor& x) const {
    const Tensor s = x.sum();
    return {x * s, s};
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.out(1) + (b.g() * b.in(0)).sum(); }
};
struct Undeclared {};
struct OneDifferentiable {
  static constexpr uint32_t differentiable = 1;
};

template <class Op>
void expect_hidden_result_is_refused() {
  const Tensor x = leaf({1, 2});
  const auto f = [&] { return std::get<0>(apply(Op{}, x)).sum(); };
  // The first order is exact, with and without create_graph.
  f().backward();
  EXPECT_TRUE(equals(x.grad(), {6, 6}));
  const auto first = [&] { return grad({f()}, {x}, {}, {.create_graph = true})[0]; };
  EXPECT_TRUE(equals(first(), {6, 6}));
  expect_error<GradError>([&] { first().sum().backward(); },
                          "a gradient arrived at result 1 of 'times_sum', of which only the first 1");
  expect_error<GradError>([&] { grad({first().sum()}, {x}); }, "result 1 of 'times_sum'");
}

TEST(OwnOps, AHiddenResultHasNoSecondDerivative) {
  expect_hidden_result_is_refused<TimesSum<Undeclared>>();
  expect_hidden_result_is_refused<TimesSum<OneDifferentiable>>();
}

/// The same with a gradient for s.
struct BothResults : TimesSum<Undeclared> {
  static constexpr uint32_t differentiable = 2;
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.out(1) + (b.g() * b.in(0)).sum() + b.g(1); }
};
/// The same with s as a constant, where the derivative of the rule does not matter.
struct DetachedResult : TimesSum<Undeclared> {
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.out(1).detach(); }
};

TEST(OwnOps, AResultMadeDifferentiableIsExact) {
  const auto f = [](const Tensors& x) {
    const auto [y, s] = apply(BothResults{}, x[0]);
    return y * s;
  };
  EXPECT_LT(gradient_error(f, {noise({3})}, 2), 1e-7);
  const Tensor x = leaf({1, 2});
  const Tensor first =
      grad({std::get<0>(apply(DetachedResult{}, x)).sum()}, {x}, {}, {.create_graph = true})[0];
  EXPECT_FALSE(first.requires_grad());
}

TEST(OwnOps, ALossOfAResultWithoutAGradientIsRefused) {
  const Tensor x = leaf({1, 2});
  const auto [y, s] = apply(TimesSum<Undeclared>{}, x);
  expect_error<GradError>([&, &y = y, &s = s] { (y.sum() + s).backward(); }, "result 1 of 'times_sum'");
  EXPECT_FALSE(x.grad().defined());
  // Said to have none, it is a constant.
  const auto [z, t] = apply(TimesSum<OneDifferentiable>{}, x);
  EXPECT_FALSE(t.requires_grad());
  (z.sum() + t).backward();
  EXPECT_TRUE(equals(x.grad(), {6, 6}));
}

TEST(OwnOps, TheLossesStayDifferentiable) {
  const Tensor target = tensor({0, 2});
  EXPECT_LT(gradient_error([&](const Tensors& x) { return cross_entropy(x[0], target); }, {noise({2, 3})}, 2),
            1e-7);
}

// ---- results that are somebody's

struct Same : Named {
  Tensor value(const Tensor& x) const { return x; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * 3; }
};
struct Flipped : Named {
  Tensor value(const Tensor& x) const { return x.t(); }
  Tensor vjp(In<0>, const Back& b) const { return b.g().t() * 3; }
};
struct Alias : Same {
  Tensor value(const Tensor& x) const { return x.detach(); }
};
struct Recorded : Named {
  Tensor value(const Tensor& x) const {
    EnableGrad recording;
    return x * 2;
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * 3; }
};
Tensor kept;
struct Cached : Same {
  Tensor value(const Tensor& x) const {
    if (!kept.defined()) kept = x * 2;
    return kept;
  }
};
struct CachedView : Same {
  Tensor value(const Tensor&) const { return kept.reshape({-1}); }
};
struct Twice : Named {
  std::tuple<Tensor, Tensor> value(const Tensor& x) const {
    const Tensor y = x * 2;
    return {y, y};
  }
  static constexpr uint32_t differentiable = 2;
  Tensor vjp(In<0>, const Back& b) const { return b.g(0) * 2 + b.g(1) * 2; }
};

TEST(OwnOps, AResultBecomesATensorOfItsOwn) {
  const auto check = [](auto op, const Tensor& x) {
    Tensor y = apply(op, x);
    EXPECT_TRUE(x.is_leaf());
    EXPECT_EQ(y.op_name(), "own");
    const Tensor before = x.detach().clone();
    y.sum().backward();
    EXPECT_TRUE(equals(x.grad(), full(x.shape(), 3, kFloat64)));
    y.mul_(5);
    EXPECT_TRUE(equals(x, before));
    NoGrad no_grad;
    EXPECT_FALSE(apply(op, x).requires_grad());
  };
  check(Same{}, leaf({1, 2}));
  check(Alias{}, leaf({1, 2}));
  check(Recorded{}, leaf({1, 2}));
  check(Flipped{}, leaf({1, 2, 3, 4}, {2, 2}));

  const Tensor a = leaf({1, 2}), b = leaf({1, 2});
  const Tensor first = apply(Cached{}, a), second = apply(Cached{}, b);
  EXPECT_FALSE(kept.requires_grad());
  first.sum().backward();
  EXPECT_TRUE(equals(a.grad(), {3, 3}));
  EXPECT_FALSE(b.grad().defined());
  Tensor third = apply(CachedView{}, a);
  third.mul_(7);
  EXPECT_TRUE(equals(kept, {2, 4}));
  kept = {};

  const auto [y, z] = apply(Twice{}, a);
  a.impl()->grad = {};
  (y + 10 * z).sum().backward();
  EXPECT_TRUE(equals(a.grad(), {22, 22}));
}

TEST(OwnOps, AResultOfItsOwnIsNotCopied) {
  const Tensor x = leaf({1, 2});
  static std::byte* memory;
  struct Plain : Same {
    Tensor value(const Tensor& v) const {
      Tensor y = v * 2;
      memory = y.raw();
      return y;
    }
  };
  EXPECT_EQ(apply(Plain{}, x).raw(), memory);
  Tensor y;
  Replay replay = record([&] { y = apply(Plain{}, x); });
  EXPECT_EQ(y.raw(), memory);
  EXPECT_EQ(replay.kernels(), 2);  // the product and its constant
}

struct Nothing : Named {
  Tensor value(const Tensor&) const { return {}; }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
};
struct NothingSecond : Named {
  std::tuple<Tensor, Tensor> value(const Tensor& x) const { return {x * 2, Tensor()}; }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
};

TEST(OwnOps, AnUndefinedResultIsRefused) {
  for (const Tensor& x : {leaf({1, 2}), values({1, 2}, {2})}) {
    expect_error<Error>([&] { apply(Nothing{}, x); }, "own: value() gave an undefined tensor");
    expect_error<Error>([&] { apply(NothingSecond{}, x); }, "own: value() gave an undefined tensor");
  }
}

/// Writes into its first input.
struct Writing : Named {
  Tensor value(const Tensor& x, const Tensor&) const { return Tensor(x).mul_(2) + 1; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * 2; }
  Tensor vjp(In<1>, const Back& b) const { return b.g() * 0; }
};
struct WritingList : SumWithRule {
  Tensor value(std::span<const Tensor> x) const { return Tensor(x[0]).mul_(2) + 1; }
};

TEST(OwnOps, AnInputWithAGradientIsNotChanged) {
  const std::string text = "own: an input of shape [2] that requires grad was changed in place";
  const Tensor x = leaf({1, 2}), c = values({1, 2}, {2});
  expect_error<GradError>([&] { apply(Writing{}, x * 1, c); }, text);
  expect_error<GradError>([&] { apply(Writing{}, leaf({1, 2}), c); }, text);
  const Tensors list{x * 1, c};
  expect_error<GradError>([&] { gradus::apply(WritingList{}, std::span<const Tensor>(list)); }, text);
  const auto f = [](const Tensor& first, const Tensor& second) {
    return custom(
        "own", {first, second}, [](Context&, const Tensors& in) { return Tensor(in[0]).mul_(2) + 1; },
        [](const Context&, const Tensor& g) -> Tensors {
          return {g * 2, g};
        });
  };
  expect_error<GradError>([&] { f(x * 1, c); }, text);
  // What has none may: a mean that runs along, say.
  f(c, x).sum().backward();
  apply(Writing{}, c, x).sum().backward();
  EXPECT_TRUE(equals(c, {4, 8}));
  const NoGrad no_grad;
  apply(Writing{}, x, c);
  EXPECT_TRUE(equals(x, {2, 4}));
}

// ---- views and in-place writes

struct Far : Named {
  int64_t offset, size, stride;
  Layout of(const Layout& l) const {
    Layout y = l;
    y.offset += offset;
    y.shape[0] = size;
    y.strides[0] = stride;
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return zeros(b.shape(0), kFloat64); }
};

TEST(OwnOps, AViewStaysInItsMemory) {
  const Tensor x = values({1, 2, 3, 4}, {4});
  EXPECT_TRUE(equals(apply_view(Far{{}, 1, 2, 2}, x), {2, 4}));
  EXPECT_TRUE(equals(apply_view(Far{{}, 3, 4, -1}, x), {4, 3, 2, 1}));
  EXPECT_EQ(apply_view(Far{{}, 4, 0, 1}, x).numel(), 0);
  for (const Far& far : {Far{{}, 0, 5, 1}, Far{{}, 1, 4, 1}, Far{{}, 0, 3, 2}, Far{{}, -1, 1, 1},
                         Far{{}, 2, 4, -1}, Far{{}, 0, int64_t(1) << 62, 8}})
    expect_error<Error>([&] { apply_view(far, x); }, "leaves the memory of the tensor of shape [4]");
}

/// y = x (1 + x), a rule of a view that reads the view's input.
struct ReadingView : Named {
  static constexpr Needs needs[] = {in(0)};
  Layout of(const Layout& l) const { return l; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.in(0); }
};

TEST(OwnOps, AViewsRuleMayReadItsInput) {
  const Tensor x = leaf({2, 3});
  apply_view(ReadingView{}, x).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 3}));
}

/// x = x w, element by element, written while w is read.
struct Scale : Named {
  static constexpr Needs needs[] = {in(1), in(0)};
  void write(const Tensor& x, const Tensor& old, const Tensor& w) const {
    for (int64_t i = 0; i < x.numel(); i++)
      x.select(0, i).copy_(old.select(0, i) * (w.dim() ? w.select(0, i) : w));
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.in(1); }
  Tensor vjp(In<1>, const Back& b) const { return b.g() * b.in(0); }
};

TEST(OwnOps, AnOperandInTheTargetsMemoryIsReadAsItWas) {
  const Tensor x = leaf({2, 3, 4});
  Tensor y = x * 1;
  apply_inplace(Scale{}, y, y.select(0, 0));
  EXPECT_TRUE(equals(y, {4, 6, 8}));
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {11, 2, 2}));
  x.impl()->grad = {};
  Tensor z = x * 1;
  apply_inplace(Scale{}, z, z);
  z.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {4, 6, 8}));
}

struct Overwrite : Named {
  void write(const Tensor& x, const Tensor&, const Tensor& y) const { Tensor(x).copy_(y); }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * 0; }
  Tensor vjp(In<1>, const Back& b) const { return b.g(); }
};

TEST(OwnOps, AnIntegerTensorGetsNoHistory) {
  Tensor count = tensor({1, 2});
  apply_inplace(Overwrite{}, count, leaf({3.5, 4.5}));
  EXPECT_FALSE(count.requires_grad());
}

// ---- what a rule asks for

template <class Reads>
struct Reading : Named {
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor&) const { return a * 2; }
  Tensor vjp(In<0>, const Back& b) const { return Reads::from(b), b.g(); }
  Tensor vjp(In<1>, const Back& b) const { return b.g(); }
};

TEST(OwnOps, ErrorsOfRulesNameTheirCause) {
  const Tensor x = leaf({1, 2}), c = values({3, 4}, {2});
  const auto run = [&]<class Reads>(Reads, const Tensor& second) {
    return error_of<GradError>([&] { apply(Reading<Reads>{}, x, second).sum().backward(); });
  };
#define GRADUS_READS(expression)                                         \
  [] {                                                                   \
    struct Reads {                                                       \
      static void from(const Back& b) { static_cast<void>(expression); } \
    };                                                                   \
    return Reads{};                                                      \
  }()
  EXPECT_EQ(run(GRADUS_READS(b.in(1)), c), "");
  EXPECT_EQ(run(GRADUS_READS(b.in(7)), c), "backward: the rule of 'own' reads input 7, it has 2");
  EXPECT_EQ(run(GRADUS_READS(b.out(1)), c), "backward: the rule of 'own' reads output 1, it has 1");
  EXPECT_EQ(run(GRADUS_READS(b.out()), c),
            "backward: the rule of 'own' reads output 0, which its needs do not declare");
  EXPECT_EQ(run(GRADUS_READS(b.in(1)), Tensor()),
            "backward: the rule of 'own' reads input 1, which is undefined");
  EXPECT_EQ(
      run(GRADUS_READS(b.in(0)), c),
      "backward: the rule of 'own' reads input 0, which only needs[1] declares: the gradient of another "
      "input reads it, too");
  EXPECT_EQ(run(GRADUS_READS(b.g(1)), c), "backward: the rule of 'own' asks about output 1, it has 1");
  EXPECT_EQ(run(GRADUS_READS(b.out_shape(3)), c),
            "backward: the rule of 'own' asks about output 3, it has 1");
  EXPECT_EQ(run(GRADUS_READS(b.shape(2)), c), "backward: the rule of 'own' asks about input 2, it has 2");
  EXPECT_TRUE(contains(run(GRADUS_READS(b.shape(1)), c), "of input 1, whose gradient is not wanted; in(1)"));
  EXPECT_TRUE(contains(run(GRADUS_READS(b.dtype(1)), c), "of input 1, whose gradient is not wanted; in(1)"));
  EXPECT_EQ(run(GRADUS_READS(b.wanted(9)), c), "");
#undef GRADUS_READS
}

/// Declares another need.
struct ReadingList : SumOfList {
  static constexpr Needs needs[] = {out(0)};
  Tensor vjp(int i, const Back& b) const { return b.g() * b.in(static_cast<uint32_t>(i)); }
};
struct ReadingListUndeclared : SumOfList {
  Tensor vjp(int, const Back& b) const { return b.g() * b.in(0); }
};

TEST(OwnOps, AListsInputsAreNotSavedUndeclared) {
  const Tensors x{leaf({1, 2}), leaf({3, 4})};
  const std::string text =
      "backward: the rule of 'own' reads input 0: an op on a list of tensors saves none of them, unless it "
      "declares needs[] = {all_inputs}";
  EXPECT_EQ(
      error_of<GradError>([&] { gradus::apply(ReadingList{}, std::span<const Tensor>(x)).sum().backward(); }),
      text);
  EXPECT_EQ(error_of<GradError>(
                [&] { gradus::apply(ReadingListUndeclared{}, std::span<const Tensor>(x)).sum().backward(); }),
            text);
}

// ---- formulas

/// y = x (1 + w) where `on`, else x
struct Switched {
  static constexpr auto name = "switched";
  bool on = false;
  template <class T>
  constexpr T value(T x, T w) const {
    return on ? x * (1 + w) : x;
  }
  template <class T>
  constexpr T vjp(In<0>, T, T w, T, T g) const {
    return on ? g * (1 + w) : g;
  }
  template <class T>
  constexpr T vjp(In<1>, T x, T, T, T g) const {
    return on ? g * x : zeros_like(g);
  }
};
/// The same with defaults that read all.
struct SwitchedOn : Switched {
  constexpr SwitchedOn(bool on_ = true) : Switched{on_} {}
};

TEST(OwnOps, AttributesThatReadMoreThanTheirDefaultsAreRefused) {
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  const std::string text = "switched: with these attributes the formula reads more";
  EXPECT_TRUE(equals(pointwise(Switched{}, x, w), {1, 2}));
  expect_error<Error>([&] { pointwise(Switched{true}, x, w); }, text);
  Tensor y = x * 1;
  expect_error<Error>([&] { pointwise_inplace(Switched{true}, y, w); }, text);
  EXPECT_TRUE(equals(y, {1, 2}));
  for (const bool on : {false, true})
    EXPECT_LT(gradient_error([&](const Tensors& in) { return pointwise(SwitchedOn(on), in[0], in[1]); },
                             {noise({3}), noise({3}, 2)}, 2),
              1e-7);
}

// ---- functions with a backward pass

using Backward = Tensors (*)(const Context&, const Tensor&);

TEST(OwnOps, CustomKeepsAnUndefinedInput) {
  const auto affine = [](const Tensor& x, const Tensor& bias) {
    return custom(
        "affine", {x, bias},
        [](Context& ctx, const Tensors& in) {
          ctx.save(in[1]);
          ctx.save(in[0]);
          return in[1].defined() ? in[0] * in[0] + in[1] : in[0] * in[0];
        },
        [](const Context& ctx, const Tensor& g) -> Tensors {
          return {g * 2 * ctx[1], ctx[0].defined() ? g : Tensor()};
        });
  };
  const Tensor x = leaf({1, 2}), b = leaf({5, 6});
  affine(x, Tensor()).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 4}));
  affine(x, b).sum().backward();
  EXPECT_TRUE(equals(b.grad(), {1, 1}));
  EXPECT_LT(gradient_error([&](const Tensors& in) { return affine(in[0], Tensor()); }, {noise({3})}, 2),
            1e-7);
}

TEST(OwnOps, CustomRefusesNullsBeforeItRuns) {
  const Tensor x = leaf({1, 2});
  int runs = 0;
  const auto forward = [&](Context&, const Tensors& in) {
    runs++;
    return in[0] * 2;
  };
  const Backward twice = [](const Context&, const Tensor& g) -> Tensors { return {g * 2}; };
  expect_error<Error>([&] { custom("own", {x}, forward, nullptr); }, "own: the backward function is null");
  expect_error<Error>([&] { custom(nullptr, {x}, forward, twice); }, "custom: the name is null");
  expect_error<Error>([&] { custom("own", Tensors(32, x), forward, twice); }, "at most 31 inputs, not 32");
  EXPECT_EQ(runs, 0);
  expect_error<Error>([&] { custom("own", {x}, std::function<Tensor(Context&, const Tensors&)>(), twice); },
                      "own: the function is null");
  Tensor (*none)(Context&, const Tensors&) = nullptr;
  expect_error<Error>([&] { custom("own", {x}, none, twice); }, "own: the function is null");
  expect_error<Error>(
      [&] {
        custom(
            "own", {x}, [](Context&, const Tensors&) { return Tensor(); }, twice);
      },
      "own: the forward function gave an undefined tensor");
}

TEST(OwnOps, CustomRefusesASavedInputThatItChanges) {
  const Tensor x = leaf({1, 2});
  expect_error<GradError>(
      [&] {
        custom(
            "own", {x, values({1, 2}, {2})},
            [](Context& ctx, const Tensors& in) {
              ctx.save(in[1]);
              Tensor y = in[0] * in[1];
              Tensor(in[1]).mul_(2);
              return y;
            },
            [](const Context& ctx, const Tensor& g) -> Tensors {
              return {g * ctx[0], {}};
            });
      },
      "own: an input that was saved was then changed in place");
}

TEST(OwnOps, CustomResultsAreTheirOwn) {
  const Tensor outside = values({3, 4}, {2}), x = leaf({1, 2});
  const auto f = [&](bool save) {
    return custom(
        "own", {x},
        [&, save](Context& ctx, const Tensors&) {
          Tensor y = outside.detach();
          if (save) ctx.save(y);
          return y;
        },
        [](const Context&, const Tensor& g) -> Tensors { return {g}; });
  };
  for (const bool save : {false, true}) {
    Tensor y = f(save);
    y.mul_(2);
    EXPECT_TRUE(equals(outside, {3, 4}));
  }
}

// ---- null functions

TEST(OwnOps, NullFunctionsAreRefused) {
  const Tensor x = leaf({1, 2});
  const std::function<Tensor(const Tensor&)> none;
  const std::function<Tensor(const Tensors&)> none_of_list;
  Tensor (*pointer)(const Tensor&) = nullptr;
  Tensor (*pair)(const Tensor&, const Tensor&) = nullptr;
  const auto null = [](const char* op) { return std::string(op) + ": the function is null"; };
  expect_error<Error>([&] { jacobian(none, x); }, null("jacobian"));
  expect_error<Error>([&] { jacobian(pointer, x); }, null("jacobian"));
  expect_error<Error>([&] { hessian(none, x); }, null("hessian"));
  expect_error<Error>([&] { hessian(nullptr, x); }, null("hessian"));
  expect_error<Error>([&] { record({}); }, null("record"));
  expect_error<Error>([&] { record(nullptr); }, null("record"));
  expect_error<Error>([&] { gradcheck(none, {x}); }, null("gradcheck"));
  expect_error<Error>([&] { gradcheck(pointer, {x}); }, null("gradcheck"));
  expect_error<Error>([&] { gradcheck(pair, {x, x}); }, null("gradcheck"));
  expect_error<Error>([&] { gradcheck(none_of_list, {x}); }, null("gradcheck"));
  expect_error<Error>(
      [&] {
        gradcheck(std::function<Tensor()>(), NamedTensors{{"x", x}});
      },
      null("gradcheck"));
  expect_error<Error>([&] { check_gradient(none, {x}, {x.detach()}); }, null("check_gradient"));
  expect_error<Error>([&] { check_gradient(pair, {x, x}, {x, x}); }, null("check_gradient"));
  expect_error<Error>([&] { check_gradient(none_of_list, {x}, {x.detach()}); }, null("check_gradient"));
  expect_error<Error>([&] { x.register_hook(none); }, null("register_hook"));
  expect_error<Error>([&] { x.register_hook(pointer); }, null("register_hook"));
  expect_error<Error>([&] { x.register_hook(std::function<void(const Tensor&)>()); }, null("register_hook"));
  expect_error<Error>([&] { nn::Sequential model(pointer, nn::Tanh()); }, null("nn::Sequential"));
  (x * 1).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

// ---- recorded steps

TEST(OwnOps, HostWorkInARecordedStepIsRefused) {
  const TemporaryFolder folder;
  const std::string file = folder / "state.safetensors", kept_file = folder / "kept.safetensors";
  Tensor w = leaf({1, 2}), loss;
  nn::save(kept_file, {{"w", w.detach()}});
  optim::SGD optimizer({w}, {.lr = 0.5});
  const auto state = optimizer.state_dict();
  Generator own_generator(3);
  NumpyRandom random = numpy_random(2);
  const auto refused = [&](const std::function<void()>& what, const std::string& op) {
    int steps = 0;
    expect_error<Error>(
        [&] {
          record([&] {
            optimizer.zero_grad();
            loss = square(w).sum();
            loss.backward();
            if (++steps == 3) what();
            optimizer.step();
          });
        },
        op + ": not while a step is recorded");
    EXPECT_EQ(steps, 3);
  };
  double number;
  refused([&] { nn::save(file, {{"w", w.detach()}}); }, "save");
  EXPECT_FALSE(std::filesystem::exists(file));
  refused([&] { nn::load(kept_file); }, "load");
  refused([&] { optimizer.set_lr(0.1); }, "set_lr");
  EXPECT_EQ(optimizer.lr(), 0.5);
  refused([&] { optimizer.state_dict(); }, "state_dict");
  refused([&] { optimizer.load_state_dict(state); }, "load_state_dict");
  refused([&] { optim::SGD second({w}, {.lr = 1}); }, "SGD");
  refused([&] { optim::Adam second({w}); }, "Adam");
  refused([&] { manual_seed(1); }, "manual_seed");
  refused([&] { own_generator.manual_seed(1); }, "manual_seed");
  refused([&] { own_generator.uniform(&number, 1); }, "Generator");
  refused([&] { default_generator().normal(&number, 1); }, "Generator");
  refused([&] { number = random.rand(); }, "numpy_random");
  EXPECT_EQ(random.rand(), numpy_random(2).rand());
}

TEST(OwnOps, BetweenReplaysHostWorkHasItsEffect) {
  const auto train = [](bool replayed) {
    const TemporaryFolder folder;
    Tensor w = leaf({1, 2}), loss;
    optim::Adam optimizer({w}, {.lr = 0.5});
    nn::Dropout dropout(0.5);
    manual_seed(1);
    const auto eager = [&] {
      optimizer.zero_grad();
      loss = (square(w) * dropout(ones({2}, kFloat64)) + rand({2}, kFloat64)).sum();
      loss.backward();
      optimizer.step();
    };
    std::function<void()> step = eager;
    if (replayed)
      step = record(eager);
    else
      eager(), eager(), eager();
    std::vector<double> seen;
    const auto look = [&] {
      step();
      seen.push_back(loss.item());
      seen.push_back(w.at({0}));
    };
    look();
    optimizer.set_lr(0.01);
    look();
    manual_seed(9);
    look();
    const auto state = optimizer.state_dict();
    nn::save(folder / "w", {{"w", w.detach()}});
    look();
    optimizer.load_state_dict(state);
    {
      NoGrad no_grad;
      w.copy_(nn::load(folder / "w")[0].second);
    }
    look();
    return seen;
  };
  EXPECT_EQ(train(true), train(false));
}

TEST(OwnOps, AGradientThatTheStepDropsStaysDropped) {
  const auto train = [](bool replayed) {
    const Tensor w = leaf({1, 2});
    optim::SGD optimizer({w}, {.lr = 0.125});
    const auto eager = [&] {
      square(w).sum().backward();
      optimizer.step();
      optimizer.zero_grad();
    };
    std::function<void()> step = eager;
    if (replayed)
      step = record(eager);
    else
      eager(), eager(), eager();
    step();
    EXPECT_FALSE(w.grad().defined());
    eager();
    step();
    return w.to_vector();
  };
  EXPECT_EQ(train(true), train(false));
}

TEST(OwnOps, AReplayThatThrewRunsAgain) {
  const Tensor target = values({0.5, 0.5}, {2});
  Tensor p = values({0.25, 0.5}, {2}), w = leaf({1, 1}), loss;
  optim::SGD optimizer({w}, {.lr = 0.1});
  const auto step = [&] {
    optimizer.zero_grad();
    loss = binary_cross_entropy(p * w, target);
    loss.backward();
    optimizer.step();
  };
  Replay replay = record(step);
  const Tensor before = w.detach().clone();
  p.copy_(values({0.25, 40}, {2}));
  const Tensor outside = (loss.detach() * leaf({1})).sum();
  expect_error<Error>([&] { replay(); }, "probabilities must lie in [0, 1]");
  // What follows the check did not run; what the step wrote does not count as it was.
  EXPECT_TRUE(equals(w, before));
  expect_error<GradError>([&] { outside.backward(); }, "changed in place");
  w.set_grad({});
  p.copy_(values({0.75, 0.125}, {2}));
  Tensor w_eager = before.clone().requires_grad_();
  const Tensor loss_eager = binary_cross_entropy(p * w_eager, target);
  loss_eager.backward();
  replay();
  EXPECT_TRUE(equals(loss, loss_eager));
  EXPECT_TRUE(equals(w.grad(), w_eager.grad()));
  EXPECT_TRUE(equals(w, before - 0.1 * w_eager.grad(), 1e-15));
}

}  // namespace
}  // namespace gradus::own_ops
