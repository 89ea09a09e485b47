#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/reduce.h>
#include <gradus/nn/activation.h>
#include <gradus/nn/dropout.h>
#include <gradus/nn/init.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/loss.h>
#include <gradus/nn/module.h>
#include <gradus/nn/sequential.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "text_support.h"

namespace gradus {
namespace {

using Values = std::vector<double>;

Values values(const Tensor& x) { return x.to_vector(); }

void expect_near(const Tensor& x, const Values& expected, double tolerance = 1e-12) {
  const Values got = values(x);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); i++) EXPECT_NEAR(got[i], expected[i], tolerance) << "element " << i;
}

std::vector<std::string> names(const nn::NamedTensors& named) {
  std::vector<std::string> list;
  for (const auto& [name, x] : named) list.push_back(name);
  return list;
}

struct Residual {
  nn::Linear up, down;
  Residual(int64_t width, int64_t hidden) : up{width, hidden}, down{hidden, width} {}
  Tensor operator()(const Tensor& x) const { return x + down(relu(up(x))); }
  void visit(nn::Visitor& v) {
    v("up", up);
    v("down", down);
  }
};

TEST(Param, IsALeafWithElementsOfItsOwn) {
  const Tensor x = tensor({1.0, 2.0});
  nn::Param w(x);
  EXPECT_TRUE(w.is_leaf() && w.requires_grad());
  EXPECT_NE(w.impl(), x.impl());
  nn::init::constant_(w, 5);
  EXPECT_EQ(values(x), (Values{1, 2}));
  EXPECT_NE(error_of([] { nn::Param(tensor({1, 2})); }), "");
  EXPECT_FALSE(nn::Param().defined());
}

TEST(Param, CopyClonesMoveMovesHandleShares) {
  nn::Param a(tensor({1.0, 2.0}));
  const TensorImpl* impl = a.impl();
  nn::Param b = std::as_const(a);
  EXPECT_NE(b.impl(), impl);
  EXPECT_TRUE(b.is_leaf() && b.requires_grad());
  const Tensor handle = a;
  EXPECT_EQ(handle.impl(), impl);
  const nn::Param c = std::move(a);
  EXPECT_EQ(c.impl(), impl);

  nn::Param frozen(tensor({1.0}));
  frozen.requires_grad_(false);
  EXPECT_FALSE(nn::Param(std::as_const(frozen)).requires_grad());
}

TEST(Param, AssignmentKeepsTheLeafWhereItFits) {
  nn::Param a(tensor({1.0, 2.0})), b(tensor({3.0, 4.0})), c(tensor({5.0}));
  const TensorImpl* impl = a.impl();
  a = b;
  EXPECT_EQ(a.impl(), impl);
  EXPECT_EQ(values(a), (Values{3, 4}));
  EXPECT_TRUE(a.is_leaf() && a.requires_grad());
  nn::init::constant_(b, 9);
  EXPECT_EQ(values(a), (Values{3, 4}));
  a = c;
  EXPECT_EQ(values(a), (Values{5}));
  EXPECT_NE(a.impl(), c.impl());
}

TEST(Visitor, NamesPartsInOrderAsPyTorchDoes) {
  Residual model(2, 8);
  EXPECT_EQ(names(nn::named_parameters(model)),
            (std::vector<std::string>{"up.weight", "up.bias", "down.weight", "down.bias"}));
  EXPECT_EQ(nn::parameters(model)[2].shape(), (Shape{2, 8}));
  EXPECT_EQ(nn::parameters(model)[0].impl(), model.up.weight.impl());
  EXPECT_EQ(nn::count(model), 16 + 8 + 16 + 2);
}

TEST(Visitor, LocalClassesWork) {
  struct Model {
    nn::Param w{ones({3})};
    void visit(nn::Visitor& v) { v("w", w); }
  } model;
  EXPECT_EQ(names(nn::state_dict(model)), (std::vector<std::string>{"w"}));
}

TEST(Visitor, EntersContainersOptionalsTuplesAndPointers) {
  struct Model {
    std::vector<std::vector<nn::Linear>> grid{{nn::Linear(1, 1, false), nn::Linear(1, 1, false)},
                                              {nn::Linear(1, 1, false)}};
    std::optional<nn::Linear> head = nn::Linear(1, 1, false), none;
    std::tuple<nn::Linear, nn::Tanh, nn::Param> mixed{nn::Linear(1, 1, false), {}, nn::Param(ones({1}))};
    std::array<nn::Param, 2> pair{nn::Param(ones({1})), nn::Param(ones({1}))};
    std::unique_ptr<nn::Linear> owned = std::make_unique<nn::Linear>(1, 1, false), null;
    Tensor (*function)(const Tensor&) = relu;
    void visit(nn::Visitor& v) {
      v("grid", grid);
      v("head", head);
      v("none", none);
      v("mixed", mixed);
      v("pair", pair);
      v("owned", owned);
      v("null", null);
      v("function", function);
    }
  } model;
  EXPECT_EQ(names(nn::named_parameters(model)),
            (std::vector<std::string>{"grid.0.0.weight", "grid.0.1.weight", "grid.1.0.weight", "head.weight",
                                      "mixed.0.weight", "mixed.2", "pair.0", "pair.1", "owned.weight"}));
  std::vector<Residual> blocks(2, Residual(1, 1));
  EXPECT_EQ(nn::named_parameters(blocks)[4].first, "1.up.weight");
}

TEST(Visitor, TiedWeightsCountOnce) {
  struct Tied {
    nn::Linear embed{4, 4, false};
    Tensor operator()(const Tensor& x) const { return linear(tanh(embed(x)), embed.weight.t()); }
    void visit(nn::Visitor& v) {
      v("embed", embed);
      v("head", embed);
    }
  } model;
  EXPECT_EQ(names(nn::state_dict(model)), (std::vector<std::string>{"embed.weight"}));
  EXPECT_EQ(nn::count(model), 16);
  EXPECT_EQ(nn::parameters(model).size(), 1u);
}

TEST(Visitor, RefusesAmbiguousNamesAndOtherBools) {
  struct Twice {
    nn::Param a{ones({1})}, b{ones({1})};
    void visit(nn::Visitor& v) {
      v("w", a);
      v("w", b);
    }
  } twice;
  EXPECT_EQ(error_of([&] { nn::parameters(twice); }), "visit: two different tensors are named 'w'");
  struct Flag {
    bool use_bias = true;
    void visit(nn::Visitor& v) { v("use_bias", use_bias); }
  } flag;
  EXPECT_EQ(error_of([&] { nn::eval(flag); }),
            "visit: a bool is the mode and must be named 'training', not 'use_bias'");
  EXPECT_TRUE(flag.use_bias);
}

// What a Visitor and a Sequential accept without a visit() are things that cannot hold a parameter.
[[maybe_unused]] auto capturing = [w = Tensor()](const Tensor& x) { return x * w; };
[[maybe_unused]] auto captureless = [](const Tensor& x) { return x; };
static_assert(!nn::HasNoParts<decltype(capturing)> && !nn::HasVisit<decltype(capturing)>);
static_assert(nn::HasNoParts<decltype(captureless)> && nn::HasNoParts<Tensor (*)(const Tensor&)>);
static_assert(nn::HasVisit<nn::Sequential> && nn::HasNoParts<nn::Tanh>);

TEST(Module, CopyingAModelCopiesItMovingMovesIt) {
  Residual model(2, 3);
  Residual copy = model;
  for (const Tensor& w : nn::parameters(copy)) nn::init::zeros_(w);
  const Tensor x = ones({1, 2});
  EXPECT_EQ(values(copy(x)), (Values{1, 1}));
  EXPECT_NE(values(model(x)), (Values{1, 1}));
  const TensorImpl* impl = model.up.weight.impl();
  Residual moved = std::move(model);
  EXPECT_EQ(moved.up.weight.impl(), impl);
  copy = moved;
  EXPECT_EQ(values(copy(x)), values(moved(x)));
  std::vector<Residual> blocks(5, moved);
  EXPECT_EQ(nn::count(blocks), 5 * nn::count(moved));
}

struct WithBuffers {
  nn::Linear layer{2, 2};
  nn::Buffer mean = zeros({2}), steps = tensor(0);
  nn::Dropout dropout{0.5};
  void visit(nn::Visitor& v) {
    v("layer", layer);
    v("mean", mean);
    v("steps", steps);
    v("dropout", dropout);
  }
};

TEST(Module, BuffersAreSavedAndNotTrained) {
  WithBuffers model;
  EXPECT_EQ(nn::parameters(model).size(), 2u);
  EXPECT_EQ(nn::buffers(model).size(), 2u);
  EXPECT_EQ(names(nn::named_buffers(model)), (std::vector<std::string>{"mean", "steps"}));
  EXPECT_EQ(names(nn::state_dict(model)),
            (std::vector<std::string>{"layer.weight", "layer.bias", "mean", "steps"}));
}

TEST(Module, TrainAndEvalReachEveryMode) {
  struct Model {
    std::vector<WithBuffers> parts{WithBuffers(), WithBuffers()};
    nn::Sequential layers{nn::Dropout(0.1), nn::Sequential{nn::Dropout(0.2), nn::Tanh()}};
    void visit(nn::Visitor& v) {
      v("parts", parts);
      v("layers", layers);
    }
  } model;
  nn::eval(model);
  EXPECT_FALSE(model.parts[1].dropout.training || model.layers.get<nn::Dropout>(0).training ||
               model.layers.get<nn::Sequential>(1).get<nn::Dropout>(0).training);
  nn::train(model);
  EXPECT_TRUE(model.parts[0].dropout.training &&
              model.layers.get<nn::Sequential>(1).get<nn::Dropout>(0).training);
}

TEST(Module, ToConvertsFloatingTensors) {
  WithBuffers model;
  model.layer.bias.requires_grad_(false);
  const Values before = values(model.layer.weight);
  nn::to(model, kFloat64);
  EXPECT_EQ(model.layer.weight.dtype(), kFloat64);
  EXPECT_TRUE(model.layer.weight.is_leaf() && model.layer.weight.requires_grad());
  EXPECT_FALSE(model.layer.bias.requires_grad());
  EXPECT_EQ(model.mean.dtype(), kFloat64);
  EXPECT_EQ(model.steps.dtype(), kInt64);
  EXPECT_EQ(values(model.layer.weight), before);
  EXPECT_NE(error_of([&] { nn::to(model, kInt64); }), "");
}

TEST(Module, ZeroGradDropsGradients) {
  nn::Linear layer(2, 1);
  layer(ones({3, 2})).sum().backward();
  EXPECT_EQ(values(layer.weight.grad()), (Values{3, 3}));
  nn::zero_grad(layer);
  EXPECT_FALSE(layer.weight.grad().defined() || layer.bias.grad().defined());
}

TEST(Module, SummaryIsATable) {
  Residual model(2, 8);
  EXPECT_EQ(nn::summary(model),
            "name         shape   parameters\n"
            "up.weight    [8, 2]          16\n"
            "up.bias      [8]              8\n"
            "down.weight  [2, 8]          16\n"
            "down.bias    [2]              2\n"
            "total                        42\n");
}

TEST(Module, ForgottenFindsAMemberThatVisitLeavesOut) {
  struct Model {
    nn::Linear named{2, 2}, left_out{2, 1};
    Tensor operator()(const Tensor& x) const { return left_out(tanh(named(x))); }
    void visit(nn::Visitor& v) { v("named", named); }
  } model;
  const Tensor x = ones({3, 2});
  const Tensors found = nn::forgotten(model(x).sum(), model);
  ASSERT_EQ(found.size(), 2u);
  for (const Tensor& w : {Tensor(model.left_out.weight), Tensor(model.left_out.bias)})
    EXPECT_TRUE(
        std::any_of(found.begin(), found.end(), [&](const Tensor& f) { return f.impl() == w.impl(); }));

  Residual complete(2, 2);
  EXPECT_TRUE(nn::forgotten(complete(x).sum(), complete).empty());
  Tensor input = ones({3, 2}).requires_grad_();
  EXPECT_EQ(nn::forgotten(complete(input).sum(), complete).at(0).impl(), input.impl());
  NoGrad no_grad;
  EXPECT_NE(error_of([&] { nn::forgotten(complete(x).sum(), complete); }), "");
}

TEST(LoadStateDict, CopiesIntoTheSameLeaves) {
  Residual from(2, 3), to(2, 3);
  const TensorImpl* impl = to.up.weight.impl();
  nn::load_state_dict(to, nn::state_dict(from));
  EXPECT_EQ(to.up.weight.impl(), impl);
  EXPECT_TRUE(to.up.weight.is_leaf() && to.up.weight.requires_grad());
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(values(nn::parameters(to)[i]), values(nn::parameters(from)[i]));
  nn::init::zeros_(from.up.weight);
  EXPECT_NE(values(to.up.weight), values(from.up.weight));
}

TEST(LoadStateDict, BuffersOfACopyStayItsOwn) {
  WithBuffers model, other;
  other.mean = ones({2});
  const WithBuffers copy = model;
  nn::load_state_dict(model, nn::state_dict(other));
  EXPECT_EQ(values(model.mean), (Values{1, 1}));
  EXPECT_EQ(values(copy.mean), (Values{0, 0}));
}

TEST(LoadStateDict, SaysEverythingThatIsWrongAndChangesNothing) {
  nn::Linear model(2, 4);
  const Values before = values(model.weight);
  const auto load = [&](const nn::NamedTensors& state) {
    return error_of([&] { nn::load_state_dict(model, state); });
  };
  const Tensor w = zeros({4, 2}), b = zeros({4});
  EXPECT_EQ(load({{"weight", w}}), "load_state_dict: 'bias' is missing");
  EXPECT_EQ(load({{"weight", w}, {"bias", b}, {"scale", b}}), "load_state_dict: 'scale' is not in the model");
  EXPECT_EQ(load({{"weight", w}, {"bias", b}, {"bias", b}}), "load_state_dict: 'bias' is given twice");
  EXPECT_EQ(load({{"weight", w}, {"bias", zeros({8})}}),
            "load_state_dict: 'bias' has shape [8], in the model [4]");
  EXPECT_EQ(load({{"weight", w}, {"bias", zeros({4}, kFloat64)}}),
            "load_state_dict: 'bias' is float64, in the model float32");
  EXPECT_EQ(load({{"w", w}, {"bias", zeros({1})}}),
            "load_state_dict: 'weight' is missing; 'bias' has shape [1], in the model [4]; "
            "'w' is not in the model");
  EXPECT_EQ(values(model.weight), before);
  EXPECT_EQ(load({{"bias", b}, {"weight", w}}), "");
  EXPECT_EQ(values(model.weight), Values(8));
}

TEST(Linear, ComputesXTimesWTransposedPlusB) {
  nn::Linear layer(3, 2, true, kFloat64);
  layer.weight.detach().copy_(tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, kFloat64));
  layer.bias.detach().copy_(tensor({0.5, -0.5}, kFloat64));
  const Tensor x = tensor({{1.0, 0.0, -1.0}, {2.0, 1.0, 0.0}}, kFloat64);
  const Tensor y = layer(x);
  EXPECT_EQ(y.dtype(), kFloat64);
  expect_near(y, {-1.5, -2.5, 4.5, 12.5});
  y.sum().backward();
  expect_near(layer.weight.grad(), {3, 1, -1, 3, 1, -1});
  expect_near(layer.bias.grad(), {2, 2});
  EXPECT_EQ(layer(x.reshape({2, 1, 3})).shape(), (Shape{2, 1, 2}));
  EXPECT_EQ(layer(zeros({0, 3}, kFloat64)).shape(), (Shape{0, 2}));
}

TEST(Linear, GradientsTogetherAndOneByOneAgree) {
  manual_seed(4);
  const int64_t sizes[][3] = {{400, 2, 4}, {37, 4, 1}, {5, 3, 2}, {64, 70, 33}, {0, 2, 4}};
  for (const auto& [n, in, out] : sizes)
    for (Dtype dtype : {kFloat32, kFloat64}) {
      nn::Linear layer(in, out, true, dtype);
      const Tensor x = randn({n, in}, dtype).requires_grad_(), g = randn({n, out}, dtype);
      const double tolerance = dtype == kFloat32 ? 1e-3 : 1e-11;
      layer(x).backward(g);
      // Asked for alone, each comes from a rule of its own; made from products and sums, from none of
      // Linear's.
      const Tensor parameters[] = {layer.weight, layer.bias};
      for (const Tensor& p : parameters)
        expect_near(p.grad(), values(grad({layer(x)}, {p}, {g})[0]), tolerance);
      expect_near(layer.weight.grad(), values(matmul(g.t(), x)), tolerance);
      expect_near(layer.bias.grad(), values(g.sum({0})), tolerance);
      expect_near(x.grad(), values(matmul(g, layer.weight)), tolerance);
    }
}

TEST(Linear, BiasIsOptionalAndSizesAreChecked) {
  nn::Linear layer(3, 2, false);
  EXPECT_FALSE(layer.bias.defined());
  EXPECT_EQ(nn::count(layer), 6);
  EXPECT_EQ(layer(ones({1, 3})).shape(), (Shape{1, 2}));
  EXPECT_NE(error_of([&] { layer(ones({1, 4})); }), "");
  EXPECT_EQ(error_of([] { nn::Linear(-1, 2); }), "Linear: sizes must be at least 0: in -1, out 2");
  EXPECT_EQ(values(nn::Linear(0, 2)(zeros({1, 0}))), (Values{0, 0}));
}

TEST(Sequential, AppliesLayersInOrder) {
  nn::Sequential model{nn::Linear(1, 1), nn::Tanh(), relu, [](const Tensor& x) { return x * 2; }};
  model.get<nn::Linear>(0).weight.detach().fill_(3);
  model.get<nn::Linear>(0).bias.detach().fill_(-1);
  expect_near(model(tensor({{0.5}, {-1.0}})), {2 * std::tanh(0.5), 0}, 1e-6);
  EXPECT_EQ(names(nn::state_dict(model)), (std::vector<std::string>{"0.weight", "0.bias"}));
  EXPECT_EQ(nn::Sequential()(tensor(7.0)).item(), 7);
  EXPECT_EQ(error_of([&] { model.get<nn::Tanh>(0); }), "Sequential: layer 0 is of another type");
  EXPECT_EQ(error_of([&] { model.get<nn::Tanh>(4); }), "Sequential: layer 4 of 4");
}

TEST(Sequential, CopiesDeeply) {
  nn::Sequential model{nn::Linear(2, 2), nn::Sequential{nn::Linear(2, 1), nn::Sigmoid()}};
  nn::Sequential copy = model;
  EXPECT_EQ(names(nn::state_dict(copy)),
            (std::vector<std::string>{"0.weight", "0.bias", "1.0.weight", "1.0.bias"}));
  const Values before = values(model(ones({1, 2})));
  for (const Tensor& w : nn::parameters(copy)) nn::init::zeros_(w);
  EXPECT_EQ(values(model(ones({1, 2}))), before);
  EXPECT_EQ(values(copy(ones({1, 2}))), (Values{0.5}));
  copy = model;
  EXPECT_EQ(values(copy(ones({1, 2}))), before);
}

TEST(Activations, AreTheirFunctions) {
  const Tensor x = tensor({-2.0, 0.0, 3.0}, kFloat64);
  expect_near(nn::Tanh()(x), {std::tanh(-2.0), 0, std::tanh(3.0)});
  expect_near(nn::ReLU()(x), {0, 0, 3});
  expect_near(nn::Sigmoid()(x), {1 / (1 + std::exp(2.0)), 0.5, 1 / (1 + std::exp(-3.0))});
}

TEST(Losses, AreComputedAndReduced) {
  const Tensor p = tensor({0.25, 1.0}, kFloat64), t = tensor({1.0, 0.0}, kFloat64);
  expect_near(nn::MSELoss{}(p, t), {(0.5625 + 1) / 2});
  expect_near(nn::MSELoss{.reduction = Reduction::Sum}(p, t), {1.5625});
  expect_near(nn::MSELoss{.reduction = Reduction::None}(p, t), {0.5625, 1});
  // The logarithm of 1 - 1 is clamped at -100.
  expect_near(nn::BCELoss{}(p, t), {(-std::log(0.25) + 100) / 2});
  expect_near(nn::BCELoss{.weight = tensor({2.0, 0.0}, kFloat64), .reduction = Reduction::None}(p, t),
              {-2 * std::log(0.25), 0});
  const Tensor z = tensor({-1.0, 800.0}, kFloat64);
  expect_near(nn::BCEWithLogitsLoss{.reduction = Reduction::None}(z, t), {std::log(1 + std::exp(1.0)), 800});
  expect_near(
      nn::BCEWithLogitsLoss{.reduction = Reduction::Sum, .pos_weight = tensor({3.0, 3.0}, kFloat64)}(z, t),
      {3 * std::log(1 + std::exp(1.0)) + 800});
  EXPECT_NE(error_of([&] { nn::BCELoss{}(z, t); }), "");
}

TEST(Dropout, ZeroesAShareAndScalesTheRest) {
  manual_seed(1);
  const nn::Dropout dropout(0.3);
  const int64_t n = 200'000;
  const Values y = values(dropout(full({n}, 2, kFloat64)));
  int64_t dropped = 0;
  for (const double v : y) {
    dropped += v == 0;
    EXPECT_TRUE(v == 0 || v == 2 * (1 / (1 - 0.3))) << v;
  }
  EXPECT_NEAR(static_cast<double>(dropped) / n, 0.3, 5 * std::sqrt(0.21 / n));
}

TEST(Dropout, IsIdentityInEvaluationAndForPOf0) {
  nn::Dropout dropout(0.5);
  const Tensor x = ones({100});
  EXPECT_NE(values(dropout(x)), values(x));
  nn::eval(dropout);
  EXPECT_EQ(dropout(x).impl(), x.impl());
  EXPECT_EQ(nn::Dropout(0)(x).impl(), x.impl());
}

TEST(Dropout, POf1GivesZerosAndOthersAreRefused) {
  Tensor x = ones({10}).requires_grad_();
  const Tensor y = nn::Dropout(1)(x);
  EXPECT_EQ(values(y), Values(10));
  y.sum().backward();
  EXPECT_EQ(values(x.grad()), Values(10));
  for (const double p : {-0.1, 1.1, std::nan("")}) EXPECT_NE(error_of([&] { nn::Dropout{p}; }), "") << p;
  EXPECT_NE(error_of([] { nn::Dropout{0.5}(tensor({1, 2})); }), "");
}

TEST(Dropout, GradientsOfBothOrdersUseTheSameMask) {
  Tensor x = full({1000}, 3, kFloat64).requires_grad_();
  const Tensor y = nn::Dropout(0.5)(x);
  const Tensor g = grad({(y * y).sum()}, {x}, {}, {.create_graph = true})[0];
  const Tensor h = grad({g.sum()}, {x})[0];
  const Values ys = values(y), gs = values(g), hs = values(h);
  for (size_t i = 0; i < ys.size(); i++) {
    const double mask = ys[i] / 3;
    EXPECT_EQ(gs[i], 2 * ys[i] * mask);
    EXPECT_EQ(hs[i], 2 * mask * mask);
  }
}

TEST(Dropout, DependsOnTheSeedAndNotOnThreads) {
  const nn::Dropout dropout(0.4);
  const Tensor x = ones({50'001});
  const int threads = num_threads();
  const auto drawn = [&](int n, uint64_t seed) {
    set_num_threads(n);
    manual_seed(seed);
    return values(dropout(x));
  };
  const Values one = drawn(1, 5);
  EXPECT_EQ(drawn(4, 5), one);
  EXPECT_NE(drawn(1, 6), one);
  set_num_threads(threads);
  EXPECT_NE(values(dropout(x)), values(dropout(x)));
}

struct Statistics {
  double mean = 0, std = 0, largest = 0, beyond_2std = 0;
  Statistics(const Tensor& x, double expected_std) {
    const Values v = values(x);
    const double n = static_cast<double>(v.size());
    for (const double e : v) mean += e / n;
    for (const double e : v) {
      std += (e - mean) * (e - mean) / (n - 1);
      largest = std::max(largest, std::abs(e));
      beyond_2std += (std::abs(e) > 2 * expected_std) / n;
    }
    std = std::sqrt(std);
  }
};

// Five standard deviations of each estimate, from n draws of variance s²: of the mean s / √n, of the standard
// deviation s √((kurtosis - 1) / 4n), of a share q √(q (1 - q) / n).
void expect_uniform(const Tensor& x, double bound) {
  const double n = static_cast<double>(x.numel()), std = bound / std::sqrt(3);
  const Statistics s(x, std);
  EXPECT_NEAR(s.mean, 0, 5 * std / std::sqrt(n));
  EXPECT_NEAR(s.std, std, 5 * std * std::sqrt(0.8 / (4 * n)));
  EXPECT_LE(s.largest, bound);
  EXPECT_GE(s.largest, bound * (1 - 20 / n));
}
void expect_normal(const Tensor& x, double std) {
  const double n = static_cast<double>(x.numel());
  const Statistics s(x, std);
  EXPECT_NEAR(s.mean, 0, 5 * std / std::sqrt(n));
  EXPECT_NEAR(s.std, std, 5 * std / std::sqrt(2 * n));
  EXPECT_NEAR(s.beyond_2std, 0.0455, 5 * std::sqrt(0.0455 * 0.9545 / n));
}

TEST(Init, DrawsFromTheStatedDistributions) {
  using namespace nn::init;
  manual_seed(3);
  const auto weight = [](const Shape& shape) { return empty(shape, kFloat64); };
  expect_uniform(xavier_uniform_(weight({200, 300})), std::sqrt(6.0 / 500));
  expect_uniform(xavier_uniform_(weight({300, 100}), 5.0 / 3), 5.0 / 3 * std::sqrt(6.0 / 400));
  expect_normal(xavier_normal_(weight({64, 32, 3, 3})), std::sqrt(2.0 / (9 * 96)));
  expect_uniform(kaiming_uniform_(weight({100, 400})), std::sqrt(2.0) * std::sqrt(3.0 / 400));
  expect_normal(kaiming_normal_(weight({100, 400}), 0, "fan_out", "relu"), std::sqrt(2.0 / 100));
  expect_normal(kaiming_normal_(weight({300, 200}), 0.2, "fan_in", "leaky_relu"), std::sqrt(2 / 1.04 / 200));
  expect_normal(normal_(weight({100, 200}), 0, 0.01), 0.01);
  expect_normal(lecun_normal_(weight({100, 400})), 0.05);
  expect_uniform(uniform_(weight({50'000}), -3, 3), 3);
  const nn::Linear layer(25, 20'000);
  expect_uniform(layer.weight, 0.2);
  expect_uniform(layer.bias, 0.2);
  EXPECT_EQ(values(constant_(weight({2}), 3)), (Values{3, 3}));
  EXPECT_EQ(values(ones_(zeros_(weight({2})))), (Values{1, 1}));
}

TEST(Init, GainsArePyTorchs) {
  using nn::init::calculate_gain;
  EXPECT_EQ(calculate_gain("linear"), 1);
  EXPECT_EQ(calculate_gain("sigmoid"), 1);
  EXPECT_EQ(calculate_gain("tanh"), 5.0 / 3);
  EXPECT_EQ(calculate_gain("relu"), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(calculate_gain("leaky_relu"), 1.4141428569978354);
  EXPECT_DOUBLE_EQ(calculate_gain("leaky_relu", 0.2), 1.3867504905630728);
  EXPECT_EQ(calculate_gain("selu"), 0.75);
  EXPECT_NE(error_of([] { calculate_gain("swish"); }), "");
}

TEST(Init, IsReproducibleUnrecordedAndTheSameInBothDtypes) {
  nn::Param a(zeros({3, 3})), b(zeros({3, 3}, kFloat64));
  manual_seed(7);
  nn::init::normal_(a);
  EXPECT_TRUE(a.is_leaf() && a.requires_grad());
  manual_seed(7);
  nn::init::normal_(b);
  EXPECT_EQ(values(a), values(b.to(kFloat32)));
  Tensor transposed = zeros({2, 3}, kFloat64).t();
  manual_seed(7);
  nn::init::normal_(transposed);
  EXPECT_EQ(values(transposed), values(b.flatten().slice(0, 0, 6)));
}

TEST(Init, RefusesWhatItCannotDo) {
  using namespace nn::init;
  const Tensor vector = zeros({3}), integers = zeros({2, 2}, kInt64);
  EXPECT_EQ(error_of([&] { xavier_uniform_(vector); }),
            "xavier_uniform_: a weight has at least two dims [out, in, …], not [3]");
  EXPECT_NE(error_of([&] { kaiming_normal_(zeros({2, 2}), 0, "fan"); }), "");
  EXPECT_NE(error_of([&] { normal_(integers); }), "");
  EXPECT_NE(error_of([&] { normal_(vector, 0, -1); }), "");
  EXPECT_NE(error_of([&] { uniform_(vector, 1, 0); }), "");
  EXPECT_NE(error_of([&] { uniform_(vector, 0, INFINITY); }), "");
  EXPECT_EQ(xavier_normal_(zeros({0, 3})).numel(), 0);
}

}  // namespace
}  // namespace gradus
