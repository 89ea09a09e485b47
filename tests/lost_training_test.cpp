#include <gradus/gradus.h>
#include <gtest/gtest.h>

#include <array>

#include "program.h"
#include "text_support.h"

// Writes, parameters and buffers that would be trained, and lost.
namespace gradus {
namespace {

using Values = std::vector<double>;
Values values(const Tensor& x) { return x.to_vector(); }

// ---- what is assigned to a temporary

TEST(AssignToATemporary, WritesIntoTheTensorThatItIsAViewOf) {
  Tensor x = zeros({3, 2});
  const Tensor y = tensor({1., 2.});
  x[0] = y;
  x.slice(0, 1, 3) = tensor({{3., 4.}, {5., 6.}});
  EXPECT_EQ(values(x), (Values{1, 2, 3, 4, 5, 6}));
  x[2][1] = 7;
  x.select(1, 0) = y[0];
  EXPECT_EQ(values(x), (Values{1, 2, 1, 4, 1, 7}));
  x.t()[1] = -1.5;
  EXPECT_EQ(values(x), (Values{1, -1.5, 1, -1.5, 1, -1.5}));
  x[0] = x[2] * 2;
  EXPECT_EQ(values(x[0]), (Values{2, -3}));
  x[1] = x[0];  // a view into a view
  EXPECT_EQ(values(x), (Values{2, -3, 2, -3, 1, -1.5}));
}

TEST(AssignToATemporary, BroadcastsAndConvertsAsCopyDoes) {
  Tensor x = zeros({2, 3});
  x.slice(1, 0, 2) = tensor({1, 2});
  EXPECT_EQ(values(x), (Values{1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(error_of([&] { x[0] = zeros({2}); }),
            "copy: in place: an operand of shape [2] does not broadcast to [3]");
}

TEST(AssignToATemporary, IsRecorded) {
  Tensor w = tensor({1., 2.}, kFloat64).requires_grad_(), x = zeros({3, 2}, kFloat64);
  x[1] = w * w;
  (x * x).sum().backward();
  EXPECT_EQ(values(w.grad()), (Values{4, 32}));  // Σ w⁴
  EXPECT_NE(
      error_of([&] { w.slice(0, 0, 1) = zeros({1}, kFloat64); }).find("a view of a leaf that requires grad"),
      std::string::npos);
}

TEST(AssignToATemporary, WritesUnderNoGradToo) {
  Tensor x = zeros({2, 2}).requires_grad_();
  NoGrad no_grad;
  x[1] = ones({2});
  x.detach()[0] = 2;
  EXPECT_EQ(values(x), (Values{2, 2, 1, 1}));
}

TEST(AssignToATemporary, WritesIntoWhateverSomebodyElseHolds) {
  Tensor x = zeros({2, 2});
  x.detach() = ones({2, 2});
  EXPECT_EQ(values(x), (Values{1, 1, 1, 1}));
  const auto row = [&](int64_t i) { return x.detach()[i]; };
  row(1) = 3;
  x.contiguous()[0][0] = 4;
  x.reshape({4}) = x.flatten() + 1;
  EXPECT_EQ(values(x), (Values{5, 2, 4, 4}));
  x.to(kFloat32) = 0;
  EXPECT_EQ(values(x), (Values{0, 0, 0, 0}));
  Tensor w = ones({2}).requires_grad_();
  w.sum().backward();
  w.grad() = 5;
  EXPECT_EQ(values(w.grad()), (Values{5, 5}));
}

TEST(AssignToATemporary, IsRefusedWhereTheWriteWouldBeLost) {
  const Tensor x = tensor({{1., 2., 3.}, {4., 5., 6.}}), w = ones({2, 3}).requires_grad_(), y = zeros({2, 3});
  const auto refused = [&](auto write) {
    const std::string error = error_of<GradError>(write);
    EXPECT_NE(error.find("would be lost"), std::string::npos) << error;
  };
  refused([&] { exp(x) = y; });
  refused([&] { exp(w) = y; });
  refused([&] { x + 1 = y; });
  refused([&] { x.clone() = y; });
  refused([&] { x.to(kFloat64) = y; });
  refused([&] { x.t().reshape({6}) = 1; });
  refused([&] { w.t().flatten() = 1; });
  refused([&] { x.t().contiguous() = 0; });
  refused([&] { [&] { return exp(w)[0]; }() = 0; });
  refused([&] { exp(x) += y; });
  refused([&] { x.t().flatten() -= 1; });
  refused([&] { x.clone() *= y; });
  refused([&] { (x + y) /= 2; });
  NoGrad no_grad;
  refused([&] { exp(w) = y; });
  refused([&] { [&] { return exp(w)[0]; }() = 0; });
  refused([&] { x.t().reshape({6}) = 1; });
  EXPECT_EQ(
      error_of([&] { ones({2}).grad() = ones({2}); }),
      "in place: the tensor is undefined: it was default-constructed or moved from, or is the gradient "
      "that grad() did not find of a tensor that does not require grad: call requires_grad_() before it is "
      "computed with");
}

TEST(AssignToATemporary, GoesForCompoundAssignmentsToo) {
  Tensor x = ones({2, 2});
  x[0] += 1;
  x.t()[1] *= tensor({2., 3.});
  x.select(0, 1) -= x[0];
  x.slice(1, 0, 1) /= 2;
  EXPECT_EQ(values(x), (Values{1, 4, -0.5, -1}));
}

TEST(AssignToATemporary, IsRepeatedByAReplay) {
  Tensor x = zeros({2, 2}), y = ones({2});
  Replay step = record([&] { x[1] = y * 2; });
  y.fill_(4);
  step();
  EXPECT_EQ(values(x), (Values{0, 0, 8, 8}));
}

TEST(AssignToATemporary, LeavesAssignmentToANameAsItWas) {
  Tensor x = zeros({2}), y = ones({2});
  Tensor view = x.slice(0, 0, 1);
  view = y;
  EXPECT_EQ(view.impl(), y.impl());
  EXPECT_EQ(values(x), (Values{0, 0}));
  std::tie(x, y) = std::pair(y, x);
  EXPECT_EQ(values(x), (Values{1, 1}));
  static_assert(!std::is_assignable_v<Tensor&, double>);
}

// ---- optimizers and the parameters of their model

Tensor loss_of(nn::Sequential& model) {
  return square(model(ones({4, 2}, model.get<nn::Linear>(0).weight.dtype()))).mean();
}
nn::Sequential small_model() { return nn::Sequential{nn::Linear(2, 3), nn::Tanh(), nn::Linear(3, 1)}; }

/// An optimizer's step on the model's loss; returns by how much the loss fell.
template <class Model, class Loss>
double step(optim::Optimizer& optimizer, Model& model, Loss loss) {
  optimizer.zero_grad();
  const Tensor before = loss(model);
  before.backward();
  optimizer.step();
  return before.item() - loss(model).item();
}

TEST(OptimizersParameters, StayTheModelsWhenItIsConverted) {
  manual_seed(1);
  for (const double momentum : {0., 0.9}) {
    nn::Sequential model = small_model();
    optim::SGD optimizer(nn::parameters(model), {.lr = 0.02, .momentum = momentum});
    EXPECT_GT(step(optimizer, model, loss_of), 0);
    const TensorImpl* const leaf = model.get<nn::Linear>(0).weight.impl();
    nn::to(model, kFloat64);
    EXPECT_EQ(model.get<nn::Linear>(0).weight.impl(), leaf);
    EXPECT_EQ(model.get<nn::Linear>(0).weight.grad().dtype(), kFloat64);
    EXPECT_GT(step(optimizer, model, loss_of), 0);
    nn::to(model, kFloat32);
    EXPECT_GT(step(optimizer, model, loss_of), 0);
  }
  nn::Sequential model = small_model();
  optim::Adam adam(nn::parameters(model));
  step(adam, model, loss_of);
  nn::to(model, kFloat64);
  EXPECT_GT(step(adam, model, loss_of), 0);
  EXPECT_EQ(adam.state_dict()[2].second.dtype(), kFloat64);
}

TEST(OptimizersParameters, ConvertedAfterTheForwardPassGetTheirGradientAllTheSame) {
  nn::Linear model(2, 1, false);
  nn::init::ones_(model.weight);
  const Tensor loss = square(model(ones({1, 2}))).sum();
  nn::to(model, kFloat64);
  loss.backward();
  EXPECT_EQ(values(model.weight.grad()), (Values{4, 4}));
  EXPECT_EQ(model.weight.grad().dtype(), kFloat64);
}

TEST(OptimizersParameters, StayTheModelsWhenItIsAssigned) {
  manual_seed(2);
  nn::Sequential model = small_model();
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
  const nn::Sequential best = model;
  model = best;
  EXPECT_GT(step(optimizer, model, loss_of), 0);
  model = small_model();
  EXPECT_GT(step(optimizer, model, loss_of), 0);
  model.get<nn::Linear>(0) = nn::Linear(2, 3);
  EXPECT_GT(step(optimizer, model, loss_of), 0);

  struct Net {
    nn::Linear up{2, 3};
    std::array<nn::Param, 2> scale{nn::Param(ones({3})), nn::Param(ones({3}))};
    Tensor operator()(const Tensor& x) const { return up(x) * scale[0] * scale[1]; }
    void visit(nn::Visitor& v) { v("up", up), v("scale", scale); }
  } net;
  const auto net_loss = [](Net& n) { return square(n(ones({4, 2}))).mean(); };
  optim::SGD other(nn::parameters(net), {.lr = 0.01});
  Net kept = net;
  net = Net();
  EXPECT_GT(step(other, net, net_loss), 0);
  net = kept;
  EXPECT_GT(step(other, net, net_loss), 0);
}

TEST(OptimizersParameters, SequentialTakesOverWhatItCan) {
  nn::Sequential a = small_model(), b{nn::Linear(2, 3), nn::ReLU()};
  const TensorImpl* const first = a.get<nn::Linear>(0).weight.impl();
  a = b;
  EXPECT_EQ(a.size(), 2u);
  EXPECT_EQ(a.get<nn::Linear>(0).weight.impl(), first);
  EXPECT_EQ(values(a.get<nn::Linear>(0).weight), values(b.get<nn::Linear>(0).weight));
  EXPECT_NO_THROW(a.get<nn::ReLU>(1));
  const TensorImpl* const moved = b.get<nn::Linear>(0).weight.impl();
  nn::Sequential empty;
  empty = std::move(b);
  EXPECT_EQ(empty.get<nn::Linear>(0).weight.impl(), moved);
}

TEST(OptimizersParameters, ThatLeftTheirModelAreRefused) {
  const std::string gone = "SGD: step: parameter 0, of shape [3, 2], is not in its model any more";
  {
    nn::Sequential model = small_model();
    optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
    step(optimizer, model, loss_of);  // old gradients remain
    model = nn::Sequential{nn::Linear(2, 8), nn::Tanh(), nn::Linear(8, 1)};
    loss_of(model).backward();
    EXPECT_EQ(error_of<GradError>([&] { optimizer.step(); }).substr(0, gone.size()), gone);
  }
  {
    std::vector<nn::Linear> layers(1, nn::Linear(2, 3));
    optim::SGD optimizer(nn::parameters(layers), {.lr = 0.1});
    layers = std::vector<nn::Linear>(1, nn::Linear(2, 3));
    layers[0](ones({1, 2})).sum().backward();
    EXPECT_EQ(error_of<GradError>([&] { optimizer.step(); }).substr(0, gone.size()), gone);
  }
  {
    // One layer of many: the others still get gradients.
    nn::Sequential model = small_model();
    optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
    model.get<nn::Linear>(2) = nn::Linear(3, 5);
    loss_of(model).backward();
    EXPECT_NE(error_of<GradError>([&] { optimizer.step(); }).find("parameter 2, of shape [1, 3], is not"),
              std::string::npos);
  }
  {
    auto model = std::make_unique<nn::Linear>(2, 3);
    optim::Adam optimizer(nn::parameters(*model));
    model.reset();
    EXPECT_NE(error_of<GradError>([&] { optimizer.step(); }), "");
  }
}

TEST(OptimizersParameters, OfAnotherModelThanTheTrainedOneAreRefused) {
  const auto by_value = [](nn::Sequential model, optim::Optimizer& optimizer) {
    step(optimizer, model, loss_of);
  };
  const std::string error =
      "SGD: step: since the last one, backward() has given gradients to other tensors and to none of these 4 "
      "parameters: is another model trained, perhaps a copy of theirs that was taken by value?";
  nn::Sequential model = small_model();
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
  EXPECT_EQ(error_of<GradError>([&] { by_value(model, optimizer); }), error);
  step(optimizer, model, loss_of);
  nn::Sequential copy = model;
  nn::zero_grad(copy);  // the optimizer's own keep their old gradients
  const Values before = values(model.get<nn::Linear>(0).weight);
  loss_of(copy).backward();
  EXPECT_EQ(error_of<GradError>([&] { optimizer.step(); }), error);
  EXPECT_EQ(error_of<GradError>([&] { optimizer.step(); }), error) << "it was accepted when tried again";
  EXPECT_EQ(values(model.get<nn::Linear>(0).weight), before);
}

TEST(OptimizersParameters, MayWaitForAGradient) {
  nn::Linear model(2, 1), other(2, 1);
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
  optimizer.step();  // nothing has been trained yet
  model(ones({1, 2})).sum().backward();
  other(ones({1, 2})).sum().backward();
  optimizer.step();
  optimizer.step();  // the same gradient once more
  other(ones({1, 2})).sum().backward();
  model.weight.set_grad(ones({1, 2}));
  optimizer.step();
  model.weight.requires_grad_(false);
  model.bias.requires_grad_(false);
  other(ones({1, 2})).sum().backward();
  optimizer.step();  // a frozen model
}

TEST(OptimizersParameters, MayBeAnyLeaves) {
  const Tensor w = [] {
    nn::Linear layer(2, 1, false);
    return Tensor(layer.weight);
  }();
  optim::SGD optimizer({w}, {.lr = 1});
  const double before = w.sum().item();
  w.sum().backward();
  optimizer.step();
  EXPECT_FLOAT_EQ(static_cast<float>(w.sum().item()), static_cast<float>(before - 2));
}

TEST(OptimizersParameters, AreMovedByRecordedBackwardPassesToo) {
  nn::Linear model(2, 1), other(2, 1);
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.1});
  Replay backward = record([&] {
    optimizer.zero_grad();
    model(ones({1, 2})).sum().backward();
  });
  optimizer.step();
  other(ones({1, 2})).sum().backward();
  backward();
  const Values before = values(model.weight);
  optimizer.step();
  EXPECT_NE(values(model.weight), before);
}

TEST(OptimizersParameters, OfARecordedStepMustStay) {
  nn::Sequential model = small_model();
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.01});
  const auto whole = [&] {
    optimizer.zero_grad();
    loss_of(model).backward();
    optimizer.step();
  };
  Replay recorded = record(whole);
  const nn::Sequential best = model;
  recorded();
  model = best;
  recorded();
  EXPECT_NE(values(model.get<nn::Linear>(0).weight), values(nn::Sequential(best).get<nn::Linear>(0).weight));
  nn::to(model, kFloat64);
  EXPECT_EQ(
      error_of([&] { recorded(); }),
      "replay: a parameter of shape [1, 3] has left its model or was converted since the step was recorded: "
      "record() it anew");
  Replay again = record(whole);
  again();
  model = nn::Sequential{nn::Linear(2, 3, false)};
  EXPECT_NE(error_of([&] { again(); }), "");
}

// ---- what was not given, or not meant

TEST(Sgd, LrHasNoDefault) {
  const Tensor w = ones({2}).requires_grad_();
  const std::string error = "SGD: lr is not given, and has no default: {.lr = 0.1}, say";
  EXPECT_EQ(error_of([&] { optim::SGD({w}, {.momentum = 0.9}); }), error);
  EXPECT_EQ(error_of([&] { optim::SGD({w}, {}); }), error);
  EXPECT_NO_THROW(optim::SGD({w}, {.lr = 0}));
}

TEST(Losses, RefuseATargetOfAnotherShape) {
  const Tensor x = rand({4, 1}), t = rand({4});
  EXPECT_EQ(error_of<ShapeError>([&] { mse_loss(x, t); }),
            "mse_loss: x and target must have one shape: [4, 1] and [4]");
  EXPECT_NE(error_of<ShapeError>([&] { mse_loss(t, tensor(0.)); }), "");
  EXPECT_NE(error_of<ShapeError>([&] { nn::MSELoss{}(x, t); }), "");
  EXPECT_NE(error_of<ShapeError>([&] { binary_cross_entropy(x, t); }), "");
  EXPECT_NE(error_of<ShapeError>([&] { binary_cross_entropy_with_logits(x, t); }), "");
  EXPECT_NE(error_of<ShapeError>([&] { cross_entropy(rand({4, 3}), rand({4, 1})); }), "");
}

TEST(Losses, RefuseAWeightThatWouldMultiplyThem) {
  const Tensor x = rand({4}), w = rand({4, 1});
  EXPECT_EQ(error_of<ShapeError>([&] { binary_cross_entropy(x, x, w); }),
            "binary_cross_entropy: a weight of shape [4, 1] does not broadcast to x [4]");
  EXPECT_NE(error_of<ShapeError>([&] { binary_cross_entropy_with_logits(x, x, w); }), "");
  EXPECT_EQ(error_of<ShapeError>([&] { binary_cross_entropy_with_logits(x, x, {}, w); }),
            "binary_cross_entropy_with_logits: a pos_weight of shape [4, 1] does not broadcast to x [4]");
}

// ---- copies of parameters

TEST(ParamCopies, ThatAreGoneGetNoGradientSilently) {
  struct Layer {
    nn::Param w{ones({2})};
    Tensor operator()(const Tensor& x) const {
      auto w_here = w;
      return x * w_here;
    }
    void visit(nn::Visitor& v) { v("w", w); }
  } layer;
  const Tensor loss = layer(ones({2})).sum();
  EXPECT_EQ(
      error_of<GradError>([&] { loss.backward(); }),
      "backward: a copy of a parameter of shape [2] got the gradient, and is gone: `auto w = layer.weight`, "
      "or a model taken by value, copies; take `Tensor w`, or the model by reference");
  // NOLINTNEXTLINE(performance-unnecessary-value-param): the copy is the mistake
  const auto by_value = [](nn::Linear model) { return model(ones({1, 2})).sum(); };
  nn::Linear model(2, 1);
  const Tensor lost = by_value(model);
  EXPECT_NE(error_of<GradError>([&] { lost.backward(); }), "");
  EXPECT_FALSE(model.weight.grad().defined());
  nn::Linear copy = model;  // one that lives gets its gradient
  copy(ones({1, 2})).sum().backward();
  EXPECT_TRUE(copy.weight.grad().defined());
}

TEST(ParamCopies, OfArraysAndListsWork) {
  // NOLINTNEXTLINE(bugprone-reserved-identifier): of the compiler, which copies the array
  struct Model {
    std::array<nn::Param, 2> pair{nn::Param(ones({1})), nn::Param(zeros({1}))};
    nn::Param plain[2] = {nn::Param(ones({1})), nn::Param(zeros({1}))};
    std::vector<nn::Param> list{pair.begin(), pair.end()};
    std::tuple<nn::Param, nn::Linear> mixed{nn::Param(ones({1})), nn::Linear(1, 1)};
    std::optional<nn::Param> maybe{nn::Param(ones({1}))};
  } model;
  Model copy = model;
  nn::init::zeros_(model.pair[0]);
  nn::init::zeros_(model.plain[0]);
  nn::init::zeros_(model.list[0]);
  EXPECT_EQ(copy.pair[0].item() + copy.plain[0].item() + copy.list[0].item(), 3);
  copy = model;
  EXPECT_EQ(copy.pair[0].item(), 0);
  const Tensors both{model.pair[0], model.pair[1]};
  EXPECT_EQ(both[0].impl(), model.pair[0].impl());
}

TEST(ParamCopies, OfAParameterAloneAreWarnedOfSlow) {
  const auto warnings = [](const std::string& body) {
    const Outcome outcome = compile(
        "#include <gradus/nn/linear.h>\n#include <array>\nusing namespace gradus;\nstruct Model {\n"
        "nn::Linear layer{1, 1};\nstd::array<nn::Param, 2> pair;\nnn::Buffer mean;\n};\n"
        "void f(Model& model, const Model& fixed) {\n" +
        body + "\n}\n");
    EXPECT_EQ(outcome.code, 0) << outcome.text;
    size_t n = 0;
    for (size_t at = 0; (at = outcome.text.find("this copies the ", at)) != std::string::npos; at++) n++;
    return n;
  };
  EXPECT_GE(warnings("auto w = model.layer.weight; auto m = model.mean;"), 2u);
  EXPECT_GE(warnings("for (auto w : model.pair) w.zero_();"), 1u);
  EXPECT_GE(warnings("auto f = [w = model.layer.weight] { return w.sum(); };"), 1u);
  EXPECT_EQ(warnings("Tensor w = model.layer.weight; auto& v = model.layer.weight; Model copy = model;\n"
                     "copy = model; auto pair = model.pair; Tensors list{model.pair[0], model.pair[1]};\n"
                     "nn::Param p(model.layer.weight.detach()); nn::Linear layer = fixed.layer;\n"
                     "std::vector<nn::Linear> layers(2, model.layer); (void)v;"),
            0u);
}

// ---- buffers

/// A running mean of what it has seen.
struct Running {
  nn::Buffer mean{zeros({2})};
  nn::Param scale{ones({2})};
  Tensor operator()(const Tensor& x) {
    mean = 0.5 * mean + 0.5 * x.mean({0});
    return (x - mean) * scale;
  }
  void visit(nn::Visitor& v) { v("mean", mean), v("scale", scale); }
};

TEST(Buffer, IsAValue) {
  Running model, copy = model;
  EXPECT_NE(copy.mean.impl(), model.mean.impl());
  model.mean.fill_(3);
  EXPECT_EQ(values(copy.mean), (Values{0, 0}));
  const TensorImpl* const impl = copy.mean.impl();
  copy = model;
  EXPECT_EQ(copy.mean.impl(), impl);
  EXPECT_EQ(values(copy.mean), (Values{3, 3}));
  copy = Running();
  EXPECT_EQ(copy.mean.impl(), impl);
  const Tensor same = copy.mean;
  copy.mean = ones({2});
  EXPECT_EQ(values(same), (Values{1, 1}));
  copy.mean = ones({3}, kFloat64);
  EXPECT_EQ(copy.mean.shape(), Shape{3});
  EXPECT_EQ(values(same), (Values{1, 1}));
  EXPECT_FALSE(nn::Buffer().defined());
}

TEST(Buffer, HasNoHistory) {
  Running model;
  Tensor x = ones({3, 2}).requires_grad_();
  model(x).sum().backward();
  EXPECT_FALSE(model.mean.requires_grad());
  EXPECT_FALSE(nn::Buffer(x * 2).requires_grad());
}

TEST(Buffer, IsWrittenByReplays) {
  Running model;
  Tensor x = ones({3, 2}), y;
  const auto step = [&] { y = model(x); };
  Replay replay = record(step, 1);
  Running eager = model;
  x.fill_(5);
  replay();
  const Tensor expected = eager(x);
  EXPECT_EQ(values(model.mean), values(eager.mean));
  EXPECT_EQ(values(y), values(expected));
}

TEST(Buffer, ThatIsLoadedIsReadByReplays) {
  Running model;
  Tensor y;
  Replay replay = record([&] { y = model.mean * 2; });
  nn::load_state_dict(model, {{"mean", full({2}, -5)}, {"scale", ones({2})}});
  replay();
  EXPECT_EQ(values(y), (Values{-10, -10}));
  Running best = model;
  best.mean.fill_(7);
  model = best;
  replay();
  EXPECT_EQ(values(y), (Values{14, 14}));
}

TEST(Buffer, IsNamedSavedAndConverted) {
  Running model;
  EXPECT_EQ(nn::named_buffers(model).at(0).first, "mean");
  EXPECT_EQ(nn::parameters(model).size(), 1u);
  const TensorImpl* const impl = model.mean.impl();
  nn::to(model, kFloat64);
  EXPECT_EQ(model.mean.dtype(), kFloat64);
  EXPECT_EQ(model.mean.impl(), impl);
}

}  // namespace
}  // namespace gradus
