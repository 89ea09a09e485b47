// What an op says of itself: its attributes, and to a tracer that it ran.
#include <gradus/autograd/check/dot.h>
#include <gradus/autograd/check/explain.h>
#include <gradus/autograd/check/graph.h>
#include <gradus/autograd/core/tracer.h>

#include <gmock/gmock.h>

#include "core_support.h"
#include "table_support.h"

namespace gradus::tracing {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Describe, EveryOpOfTheTableTellsItsAttributes) {
  table::for_each_sample(table::any_row, [](const OpRow& row, const OpSample& sample, size_t) {
    if (row.orders == 0) return;
    const Tensors x = table::leaves(sample.inputs);
    for (const Tensor& y : table::recorded_of(table::run(row, x, sample.attrs)))
      for (const Node* node : graph_nodes(y))
        EXPECT_TRUE(node->declared().described)
            << "'" << node->name() << "' has data members: write void describe(Describe& d) const, which "
            << "tells those that are attributes, d(\"dim\", dim)";
  });
}

TEST(Describe, WritesValuesOfEveryKind) {
  Describe d;
  d("keepdim", true), d("dim", 3), d("slope", 0.5), d("dtype", kFloat64), d("dims", Shape{1, -2});
  d("reduction", "mean");
  EXPECT_EQ(d.str(), "keepdim=true, dim=3, slope=0.5, dtype=float64, dims=[1, -2], reduction=mean");
  EXPECT_EQ(std::get<int64_t>(d.attributes()[1].value), 3);
  EXPECT_EQ(Describe().str(), "");
}

TEST(Describe, ExplainAndDotShowThem) {
  const Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  const Tensor y = sum(x, {1}, true);
  const Explanation e = explain(y, {{"x", x}}, ones({2, 1}, kFloat64));
  EXPECT_EQ(e.steps[0].attributes, "dim=[1], keepdim=true");
  EXPECT_THAT(e.str(), HasSubstr("sum(x, dim=[1], keepdim=true)"));
  EXPECT_THAT(to_dot(y), HasSubstr("dim=[1], keepdim=true"));
  EXPECT_EQ(explain(softplus(x, 2).sum()).steps[1].attributes, "beta=2, threshold=20");
  EXPECT_EQ(explain(tanh(x).sum()).steps[1].attributes, "");
  EXPECT_EQ(explain(x[1].sum()).steps[1].attributes, "dim=0, index=1");
  EXPECT_EQ(explain(x.slice(1, 0, {}, 2).sum()).steps[1].attributes, "dim=1, start=0, end=1, step=1");
}

/// Writes down what it is told.
struct Notes final : Tracer {
  void op(const Op& op) override {
    std::string line = op.name;
    if (const std::string text = op.attributes.str(); !text.empty()) line += "(" + text + ")";
    for (const Tensor* x : op.inputs) line += " " + (x->defined() ? x->shape().str() : "none");
    line += " ->";
    for (const Tensor* y : op.results) line += " " + y->shape().str();
    lines.push_back(line);
    // What it computes itself is not told.
    if (op.results[0]->defined()) (*op.results[0] * 2).sum();
  }
  std::vector<std::string> lines;
};

/// What `f` tells.
std::vector<std::string> told(const std::function<void()>& f) {
  Notes notes;
  f();
  return notes.lines;
}

TEST(Tracer, IsToldWithAndWithoutGradients) {
  const Tensor x = leaf({1, 2, 3, 4}, {2, 2}), w = values({1, 2}, {1, 2});
  const auto f = [&] { tanh(linear(x, w, Tensor())).sum({0}, true); };
  const std::vector<std::string> lines{"linear [2, 2] [1, 2] none -> [2, 1]", "tanh [2, 1] -> [2, 1]",
                                       "sum(dim=[0], keepdim=true) [2, 1] -> [1, 1]"};
  EXPECT_EQ(told(f), lines);
  NoGrad no_grad;
  EXPECT_EQ(told(f), lines);
}

TEST(Tracer, IsToldOfEveryKindOfOp) {
  const Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  Tensor h = x * 1;
  EXPECT_THAT(told([&] { h.mul_(2); }), ElementsAre("mul [2, 2] [] -> [2, 2]"));
  EXPECT_THAT(told([&] { h[1].zero_(); }),
              ElementsAre("select(dim=0, index=1) [2, 2] -> [2]", "copy [2] [] -> [2]"));
  EXPECT_THAT(told([&] { cat({h, h}); }), ElementsAre("cat(dim=0) [2, 2] [2, 2] -> [4, 2] [3]"));
  EXPECT_THAT(told([&] { h.unbind(); }), ElementsAre("unbind(dim=0) [2, 2] -> [2] [2]"));
  EXPECT_THAT(told([&] { max(h, 1); }), ElementsAre("max(dim=1, keepdim=false) [2, 2] -> [2] [2]"));
  EXPECT_THAT(told([&] { static_cast<void>(h > 1); }), ElementsAre("> [2, 2] [] -> [2, 2]"));
  EXPECT_THAT(told([&] { h.detach(); }), ElementsAre("detach [2, 2] -> [2, 2]"));
  EXPECT_THAT(told([&] { log1pexp(h); }), ElementsAre("log1pexp [2, 2] -> [2, 2]"));
  EXPECT_THAT(told([&] { mse_loss(h, h); }), ElementsAre("mse_loss(reduction=mean) [2, 2] [2, 2] -> []"));
}

TEST(Tracer, EveryOpOfTheTableTells) {
  table::for_each_sample(table::any_row, [](const OpRow& row, const OpSample& sample, size_t) {
    if (std::string_view(row.name).ends_with("_like")) return;  // of x, they read the shape alone
    const NoGrad no_grad;
    const Tensors x = table::leaves(sample.inputs);
    Tensors y;
    const std::vector<std::string> lines = told([&] { y = table::run(row, x, sample.attrs); });
    const bool is_its_input = !y.empty() && std::any_of(x.begin(), x.end(), [&](const Tensor& t) {
      return t.defined() && t.impl() == y[0].impl();
    });
    if (!is_its_input && !y.empty()) {
      EXPECT_FALSE(lines.empty()) << row.name;
    }
  });
}

TEST(Tracer, TheYoungestIsToldAndNobodyOfAFailure) {
  const Tensor x = leaf({1, 2});
  Notes outer;
  {
    Notes inner;
    exp(x);
    EXPECT_EQ(inner.lines.size(), 1u);
  }
  EXPECT_TRUE(outer.lines.empty());
  EXPECT_THROW(x.reshape({3}), ShapeError);
  EXPECT_THROW(matmul(x, values({1}, {1})), ShapeError);
  EXPECT_TRUE(outer.lines.empty());
  exp(x);
  EXPECT_EQ(outer.lines.size(), 1u);
}

}  // namespace
}  // namespace gradus::tracing
