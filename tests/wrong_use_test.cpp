// What is wrong is refused where it is given, and the message says by whom, what, and what to do.
#include <gmock/gmock.h>

#include <limits>
#include <map>
#include <thread>
#include <tuple>

#include "core_support.h"
#include "program.h"
#include "table_support.h"

namespace gradus {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// ---- undefined operands

/// What errors of a row call it: "operator+" of tensors is "add", "Tensor::operator==" is "==".
testing::Matcher<const std::string&> named_by(const OpRow& row) {
  std::string function = row.function, name = row.name;
  if (function.starts_with("Tensor::")) function = function.substr(8);
  if (function.starts_with("operator")) function = function.substr(8);
  for (const char* suffix : {"_scalar_", "_scalar"})
    if (name.ends_with(suffix)) name.resize(name.size() - std::string(suffix).size());
  if (name[0] == 'r' && function.size() == 1) name = name.substr(1);  // rsub_scalar
  if (name.ends_with('_')) name.pop_back();
  if (name == "row") name = "select";
  return AnyOf(StartsWith(function + ": "), StartsWith(name + ": "));
}

TEST(Undefined, OperandsAreNamedByEveryOp) {
  int64_t refused = 0;
  table::for_each_sample(table::any_row, [&](const OpRow& row, const OpSample& sample, size_t k) {
    for (size_t i = 0; i < sample.inputs.size(); i++) {
      SCOPED_TRACE(table::place(row, k, "input " + std::to_string(i)));
      Tensors x = sample.inputs;
      x[i] = Tensor();
      const bool is_optional =
          i >= 2 && testing::Matches(AnyOf("linear", "bce_loss", "bce_with_logits", "nll_loss",
                                           "cross_entropy"))(std::string(row.name));
      if (is_optional) {
        EXPECT_TRUE(row.call(x, sample.attrs)[0].defined());
        continue;
      }
      const std::string error = error_of([&] { row.call(x, sample.attrs); });
      EXPECT_THAT(error, AllOf(named_by(row), HasSubstr(" is undefined: it was default-constructed")));
      // Which of them it is, where there are several.
      const bool says_which = x.size() > 1 && !std::string(row.function).starts_with("Tensor::") &&
                              row.name != std::string("where_scalar");  // the number is an input, too
      EXPECT_TRUE(!says_which || error.find(fmt::format(": input {} is", i)) != std::string::npos) << error;
      refused++;
    }
  });
  EXPECT_GT(refused, 150);
}

TEST(Undefined, TensorsAreNamedByEveryMember) {
  Tensor none;
  const auto expect = [](const char* op, const std::function<void()>& f) {
    EXPECT_THAT(error_of(f),
                StartsWith(std::string(op) + ": the tensor is undefined: it was default-constr"));
  };
  expect("shape", [&] { none.shape(); });
  expect("size", [&] { none.size(0); });
  expect("dim", [&] { none.dim(); });
  expect("numel", [&] { none.numel(); });
  expect("dtype", [&] { none.dtype(); });
  expect("is_contiguous", [&] { none.is_contiguous(); });
  expect("layout", [&] { none.layout(); });
  expect("item", [&] { none.item(); });
  expect("at", [&] { none.at({0}); });
  expect("to_vector", [&] { none.to_vector(); });
  expect("data", [&] { none.data<float>(); });
  expect("mutable_data", [&] { none.mutable_data<float>(); });
  expect("contiguous", [&] { none.contiguous(); });
  expect("requires_grad", [&] { none.requires_grad(); });
  expect("requires_grad_", [&] { none.requires_grad_(); });
  expect("is_leaf", [&] { none.is_leaf(); });
  expect("grad", [&] { none.grad(); });
  expect("set_grad", [&] { none.set_grad({}); });
  expect("retain_grad", [&] { none.retain_grad(); });
  expect("detach", [&] { none.detach(); });
  expect("backward", [&] { none.backward(); });
  expect("register_hook", [&] { none.register_hook([](const Tensor&) {}); });
  expect("remove_hook", [&] { none.remove_hook(1); });
  expect("op_name", [&] { none.op_name(); });
  expect("select", [&] { none[0]; });
  expect("in place", [&] { Tensor() += none; });
  expect("in place", [&] { Tensor() = 2; });
}

TEST(Undefined, TensorsAreNamedByWhateverTakesThem) {
  const Tensor none, x = ones({2, 3});
  const auto expect = [](const std::string& text, const std::function<void()>& f) {
    EXPECT_THAT(error_of(f), StartsWith(text + " is undefined"));
  };
  Tensor w = ones({2, 3}).requires_grad_();
  const Tensor y = w.sum();
  expect("backward: output 1", [&] { backward({y, none}); });
  expect("grad: output 0", [&] { grad({none}, {w}); });
  expect("grad: input 1", [&] { grad({y}, {w, none}); });
  const auto f = [](const Tensor& at) { return at.sum(); };
  expect("jacobian: the input", [&] { jacobian(f, none); });
  expect("hessian: the input", [&] { hessian(f, none); });
  expect("set_grad: the tensor", [&] { Tensor().set_grad(x); });
  EXPECT_THAT(gradcheck(f, {none}).reason, HasSubstr("no floating input"));
  expect("explain: the input", [&] { explain(none); });
  expect("to_dot: the input", [&] { to_dot(none); });
  expect("backward_frames: the input", [&] { backward_frames(none); });

  expect("Param: the input", [&] { nn::Param{none}; });
  expect("forgotten: the input", [&] {
    nn::Linear layer(1, 1);
    nn::forgotten(none, layer);
  });
  expect("linear: input 0", [&] { nn::Linear(3, 2)(none); });
  expect("tanh: the input", [&] { nn::Tanh()(none); });
  expect("relu: the input", [&] { nn::ReLU()(none); });
  expect("sigmoid: the input", [&] { nn::Sigmoid()(none); });
  for (const double p : {0., 0.5, 1.}) {
    nn::Dropout dropout(p);
    expect("Dropout: the input", [&] { dropout(none); });
    dropout.training = false;
    expect("Dropout: the input", [&] { dropout(none); });
  }
  expect("mse_loss: input 1", [&] { nn::MSELoss()(x, none); });
  expect("binary_cross_entropy: input 0", [&] { nn::BCELoss()(none, x); });
  expect("binary_cross_entropy_with_logits: input 0", [&] { nn::BCEWithLogitsLoss()(none, x); });
  for (const auto& initialise : {nn::init::zeros_, nn::init::ones_, nn::init::lecun_normal_})
    EXPECT_THAT(error_of([&] { initialise(none); }), HasSubstr("_: the input is undefined"));
  expect("uniform_: the input", [&] { nn::init::uniform_(none); });
  expect("normal_: the input", [&] { nn::init::normal_(none); });
  expect("xavier_uniform_: the input", [&] { nn::init::xavier_uniform_(none); });
  expect("kaiming_normal_: the input", [&] { nn::init::kaiming_normal_(none); });
  expect("constant_: the input", [&] { nn::init::constant_(none, 1); });

  expect("SGD: parameter 1", [&] { optim::SGD({w, none}, {.lr = 0.1}); });
  expect("Adam: parameter 0", [&] { optim::Adam({none}); });
  expect("RMSprop: parameter 0", [&] { optim::RMSprop({none}); });
  optim::Adam adam({w});
  expect("Adam: load_state_dict: 'lr'", [&] { adam.load_state_dict({{"lr", none}}); });
  expect("save: 'a'", [&] { nn::save("/nowhere/a.safetensors", {{"a", none}}); });
}

TEST(Undefined, GradientsSayWhyTheyAreNotThere) {
  const auto of = [](const std::function<void()>& f) {
    const std::string error = error_of(f), start = ", or is the gradient that grad() did not find of ";
    const size_t at = error.find(start);
    return at == std::string::npos ? error : error.substr(at + start.size());
  };
  // w = w - lr g makes a result of the parameter.
  Tensor w = leaf({1, 2}), x = values({3, 4}, {2});
  (w * x).sum().backward();
  w = w - 0.1 * w.grad();
  (w * x).sum().backward();
  EXPECT_FALSE(w.grad().defined());
  const std::string result =
      "the result of 'sub', such as w = w - lr * g makes of a parameter: backward() leaves gradients in "
      "leaves; write w -= lr * g under NoGrad, or w = w.detach().requires_grad_() afterwards";
  EXPECT_EQ(of([&] { 0.1 * w.grad(); }), result);
  EXPECT_EQ(error_of([&] { w.grad().sum(); }),
            "sum: the input is undefined: it was default-constructed or moved from, or is the gradient that "
            "grad() did not find of " +
                result);
  EXPECT_EQ(of([&] { w.grad().item(); }), result);
  // What is said there is right.
  w = w.detach().requires_grad_();
  (w * x).sum().backward();
  EXPECT_TRUE(equals(w.grad(), {3, 4}));
  // The note is of one grad(): the next undefined tensor is another.
  EXPECT_EQ(error_of([&] { tanh(Tensor()); }),
            "tanh: the input is undefined: it was default-constructed or moved from");

  const Tensor fresh = leaf({1});
  const std::string unreached =
      "a leaf that no backward() has reached, or none since its gradient was dropped";
  EXPECT_EQ(of([&] { fresh.grad() + 1; }), unreached);
  fresh.sum().backward();
  EXPECT_NO_THROW(fresh.grad() + 1);
  Tensor(fresh).set_grad({});
  EXPECT_EQ(of([&] { fresh.grad() + 1; }), unreached);
  const Tensor plain = values({1}, {1});
  EXPECT_EQ(of([&] { plain.grad() * 2; }),
            "a tensor that does not require grad: call requires_grad_() before it is computed with");
  Tensor retained = leaf({1}) * 2;
  retained.retain_grad();
  EXPECT_EQ(of([&] { retained.grad() * 2; }), unreached);
  // It is this thread's, and needs no graph that is still alive.
  { static_cast<void>(log1pexp(leaf({1})).grad()); }
  std::string elsewhere;
  std::thread([&] { elsewhere = error_of([] { tanh(Tensor()); }); }).join();
  EXPECT_THAT(elsewhere, testing::EndsWith("moved from"));
  EXPECT_THAT(of([] { tanh(Tensor()); }), StartsWith("the result of 'log1pexp'"));
}

// ---- shapes

TEST(WrongShapes, AreRefusedInTheNameOfTheOp) {
  constexpr int64_t kHuge = int64_t(1) << 40;
  const Tensor x = ones({3});
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"tensor: a size is negative: [-1, 2] for 2 values; reshape() infers one that is -1",
       [] {
         tensor(std::vector<double>{1, 2}, {-1, 2});
       }},
      {"tensor: the number of elements does not fit into 63 bits: [1099511627776, 1099511627776]",
       [] {
         tensor(std::vector<double>{1, 2}, {kHuge, kHuge});
       }},
      {"zeros: a size is negative: [-1]", [] { zeros({-1}); }},
      {"ones: a size is negative: [2, -3]",
       [] {
         ones({2, -3});
       }},
      {"full: a size is negative: [-1]", [] { full({-1}, 2); }},
      {"empty: a size is negative: [-1]", [] { empty({-1}); }},
      {"rand: a size is negative: [-1]", [] { rand({-1}); }},
      {"randn: a size is negative: [-1]", [] { randn({-1}); }},
      {"eye: a size is negative: [-1, -1]", [] { eye(-1); }},
      {"eye: the number of elements does not fit into 63 bits: [1099511627776, 1099511627776]",
       [] { eye(kHuge); }},
      {"linspace: the size in bytes does not fit into 63 bits: [9223372036854775807] of float32",
       [] { linspace(0, 1, kMost); }},
      {"arange: the size in bytes does not fit into 63 bits: [9223372036854775807] of int64",
       [] { arange(kMost); }},
      {"zeros: the number of elements does not fit into 63 bits: [1099511627776, 1099511627776]",
       [] {
         zeros({kHuge, kHuge});
       }},
      {"expand: the number of elements does not fit into 63 bits: [1099511627776, 1099511627776, 3]",
       [&] {
         x.expand({kHuge, kHuge, 3});
       }},
      {"reshape: the number of elements does not fit into 63 bits: [1099511627776, 1099511627776]",
       [&] {
         x.reshape({kHuge, kHuge});
       }},
      {"unsqueeze: [1, 1, 1, 1, 1, 1, 1, 1] has 8 dims, as many as there can be",
       [] {
         ones({1, 1, 1, 1, 1, 1, 1, 1}).unsqueeze(0);
       }},
      {"stack: [1, 1, 1, 1, 1, 1, 1, 1] has 8 dims, as many as there can be",
       [] {
         stack({ones({1, 1, 1, 1, 1, 1, 1, 1})});
       }},
      {"jacobian: f gives [1, 1, 1, 1, 1], x is [1, 1, 1, 1]: together they have more than 8 dims",
       [] {
         jacobian([](const Tensor& at) { return at.unsqueeze(0); }, ones({1, 1, 1, 1}));
       }},
      {"hessian: f gives [1, 1, 1, 1, 1], x is [1, 1, 1, 1, 1]: together they have more than 8 dims",
       [] {
         hessian([](const Tensor& at) { return square(at).sum(); }, ones({1, 1, 1, 1, 1}));
       }},
      {"Linear: the number of elements does not fit into 63 bits: [2, 9223372036854775807]",
       [] { nn::Linear(kMost, 2); }},
      {"Linear: the dtype must be floating, not int64", [] { nn::Linear(3, 2, true, kInt64); }},
  };
  for (const auto& [text, call] : calls) EXPECT_EQ(error_of(call), text);
}

// ---- numbers

TEST(WrongNumbers, AreRefusedAsBounds) {
  for (const Dtype dtype : {kBool, kUInt8, kInt64}) {
    const Tensor x = ones({2}, dtype);
    EXPECT_EQ(error_of([&] { clamp(x, kNan, {}); }),
              "clamp: a bound of integers is not a number: nan and inf");
    EXPECT_EQ(error_of([&] { clamp(x, 0, kNan); }), "clamp: a bound of integers is not a number: 0 and nan");
  }
  EXPECT_TRUE(equals(clamp(ones({1}), 0, kNan), {kNan})) << "a floating one holds it";
  EXPECT_EQ(error_of([] { softplus(ones({1}), 1, kNan); }), "softplus: the threshold is not a number: nan");
  const auto f = [](const Tensor& x) { return square(x).sum(); };
  const Tensor x = values({1, 2}, {2});
  for (const GradcheckOptions& bad : {GradcheckOptions{.eps = kInf},
                                      {.eps = kNan},
                                      {.eps = 0},
                                      {.atol = kInf},
                                      {.atol = kNan},
                                      {.atol = -1},
                                      {.rtol = kInf},
                                      {.rtol = kNan},
                                      {.rtol = -1}}) {
    EXPECT_THAT(error_of([&] { gradcheck(f, {x}, bad); }), HasSubstr("none of them infinite"));
    EXPECT_THAT(error_of([&] { check_gradient(f, {x}, {x}, bad); }), HasSubstr("none of them infinite"));
  }
}

TEST(WrongNumbers, AreRefusedByInitialisers) {
  const Tensor w = full({2, 3}, 7.);
  for (const double gain : {-1., kNan, kInf}) {
    const std::string text = fmt::format(": the gain must be finite and at least 0: {}", gain);
    EXPECT_EQ(error_of([&] { nn::init::xavier_uniform_(w, gain); }), "xavier_uniform_" + text);
    EXPECT_EQ(error_of([&] { nn::init::xavier_normal_(w, gain); }), "xavier_normal_" + text);
  }
  for (const double slope : {kNan, kInf, -kInf}) {
    const std::string text = fmt::format("calculate_gain: the slope must be finite: {}", slope);
    EXPECT_EQ(error_of([&] { nn::init::calculate_gain("leaky_relu", slope); }), text);
    EXPECT_EQ(error_of([&] { nn::init::kaiming_uniform_(w, slope); }), text);
    EXPECT_EQ(error_of([&] { nn::init::kaiming_normal_(w, slope); }), text);
  }
  EXPECT_TRUE(equals(w, {7, 7, 7, 7, 7, 7}));
  EXPECT_TRUE(equals(nn::init::xavier_uniform_(w, 0), {0, 0, 0, 0, 0, 0}));
}

// ---- options of optimizers

TEST(WrongOptions, OfOptimizersAreRefused) {
  const Tensors f32{ones({1}).requires_grad_()}, f64{ones({1}, kFloat64).requires_grad_()};
  const auto sgd = [](optim::SGDOptions o, const Tensors& p) { return error_of([&] { optim::SGD(p, o); }); };
  const auto adam = [](optim::AdamOptions o, const Tensors& p) {
    return error_of([&] { optim::Adam(p, o); });
  };
  const auto rms = [](optim::RMSpropOptions o, const Tensors& p) {
    return error_of([&] { optim::RMSprop(p, o); });
  };
  for (const double x : {kInf, kNan, -1.}) {
    const std::string text = fmt::format(" must be at least 0 and finite in float64: {}", x);
    if (!std::isnan(x)) {
      EXPECT_EQ(sgd({.lr = x}, f64), "SGD: lr" + text);
    }
    EXPECT_EQ(sgd({.lr = 1, .momentum = x}, f64), "SGD: momentum" + text);
    EXPECT_EQ(sgd({.lr = 1, .weight_decay = x}, f64), "SGD: weight_decay" + text);
    EXPECT_EQ(adam({.lr = x}, f64), "Adam: lr" + text);
    EXPECT_EQ(adam({.eps = x}, f64), "Adam: eps" + text);
    EXPECT_EQ(adam({.weight_decay = x}, f64), "Adam: weight_decay" + text);
    EXPECT_EQ(rms({.lr = x}, f64), "RMSprop: lr" + text);
    EXPECT_EQ(rms({.eps = x}, f64), "RMSprop: eps" + text);
    EXPECT_EQ(rms({.weight_decay = x}, f64), "RMSprop: weight_decay" + text);
    EXPECT_EQ(rms({.momentum = x}, f64), "RMSprop: momentum" + text);
  }
  for (const double x : {kInf, kNan, -0.5, 1.5})
    EXPECT_EQ(sgd({.lr = 1, .momentum = 0.9, .dampening = x}, f64),
              fmt::format("SGD: dampening must lie in [0, 1]: {}", x));
  for (const double x : {1., 1.5, kInf, kNan, -0.5}) {
    const std::string text = fmt::format(" must lie in [0, 1), in float64, too: {}", x);
    EXPECT_EQ(rms({.alpha = x}, f64), "RMSprop: alpha" + text);
    EXPECT_EQ(adam({.betas = {x, 0.9}}, f64), "Adam: betas[0]" + text);
    EXPECT_EQ(adam({.betas = {0.9, x}}, f64), "Adam: betas[1]" + text);
  }
}

TEST(WrongOptions, OfOptimizersAreThoseOfTheParametersDtype) {
  const Tensors f32{ones({1}).requires_grad_()}, f64{ones({1}, kFloat64).requires_grad_()},
      both{f64[0], f32[0]};
  const double close = 1 - 1e-9;  // 1 as a float
  for (const Tensors& p : {f32, both}) {
    EXPECT_EQ(error_of([&] { optim::SGD(p, {.lr = 1e39}); }),
              "SGD: lr must be at least 0 and finite in float32: 1e+39");
    EXPECT_EQ(error_of([&] { optim::RMSprop(p, {.alpha = close}); }),
              "RMSprop: alpha must lie in [0, 1), in float32, too: 0.999999999");
    EXPECT_THAT(error_of([&] {
                  optim::Adam(p, {.betas = {0.9, close}});
                }),
                StartsWith("Adam: betas[1] must lie in [0, 1), in float32, too"));
    EXPECT_THAT(error_of([&] { optim::Adam(p, {.eps = 1e-50}); }),
                StartsWith("Adam: eps counts as 0 in float32: 1e-50; at least 3.7"));
    EXPECT_THAT(error_of([&] { optim::RMSprop(p, {.eps = 1e-39}); }),
                StartsWith("RMSprop: eps counts as 0 in float32: 1e-39; at least 1.17"))
        << "denormal numbers count as 0";
  }
  EXPECT_NO_THROW(optim::SGD(f64, {.lr = 1e39}));
  EXPECT_NO_THROW(optim::RMSprop(f64, {.alpha = close, .eps = 1e-50}));
  EXPECT_NO_THROW(optim::Adam(f64, {.betas = {0.9, close}, .eps = 1e-50}));
  EXPECT_NO_THROW(optim::Adam(f32, {.eps = 0})) << "as in PyTorch";
  // The least eps that is taken keeps a step finite where the gradient is 0, in the first step, too.
  for (const double eps : {4e-37, 1e-8}) {
    Tensor x = ones({1}).requires_grad_();
    optim::Adam adam({x}, {.eps = eps});
    x.set_grad(zeros({1}));
    adam.step();
    EXPECT_TRUE(equals(x.detach(), {1})) << eps;
  }
}

TEST(WrongOptions, OfOptimizersAreRefusedLater) {
  Tensor x = ones({2}).requires_grad_();
  optim::SGD optimizer({x}, {.lr = 0.5});
  for (const double lr : {kInf, kNan, -1., 1e39}) {
    const std::string text = fmt::format("lr must be at least 0 and finite in float32: {}", lr);
    EXPECT_EQ(error_of([&] { optimizer.set_lr(lr); }), "SGD: " + text);
    EXPECT_EQ(error_of([&] {
                optimizer.load_state_dict({{"lr", tensor(lr, kFloat64)}});
              }),
              "SGD: load_state_dict: " + text);
  }
  EXPECT_EQ(optimizer.lr(), 0.5);
  // A model that is converted takes its options along.
  nn::Linear layer(2, 1, true, kFloat64);
  optim::Adam adam(nn::parameters(layer), {.eps = 1e-50});
  const auto step = [&] {
    adam.zero_grad();
    layer(ones({1, 2}, layer.weight.dtype())).sum().backward();
    adam.step();
  };
  step();
  nn::to(layer, kFloat32);
  const auto before = layer.weight.to_vector();
  for (int i = 0; i < 2; i++)
    EXPECT_THAT(error_of(step), StartsWith("Adam: eps counts as 0 in float32: 1e-50"));
  EXPECT_EQ(layer.weight.to_vector(), before);
  nn::to(layer, kFloat64);
  EXPECT_NO_THROW(step());
}

// ---- losses and layers

TEST(WrongWeights, OfClassesAreRefused) {
  const Tensor x = noise({2, 3}), classes = tensor({0, 2}), p = softmax(noise({2, 3}, 2), 1);
  for (const Shape& shape : {Shape{1}, Shape{2}, Shape{1, 3}, Shape{3, 1}, Shape{}}) {
    const std::string text =
        fmt::format("cross_entropy: 3 classes take a weight of shape [3], not {}", shape.str());
    for (const double smoothing : {0., 0.1})
      for (const Tensor& target : {classes, p})
        EXPECT_EQ(error_of<ShapeError>(
                      [&] { cross_entropy(x, target, ones(shape), Reduction::Mean, -100, smoothing); }),
                  text);
    EXPECT_EQ(error_of<ShapeError>([&] { nll_loss(x, classes, ones(shape)); }),
              fmt::format("nll_loss: 3 classes take a weight of shape [3], not {}", shape.str()));
  }
  EXPECT_THROW(cross_entropy(x[0], p[0], ones({1})), ShapeError);
}

TEST(WrongTargets, AreRefusedByTheLossThatWasCalled) {
  const Tensor x = noise({2, 3}), trained = ones({3}).requires_grad_();
  for (const Tensor& weight : {Tensor(), trained})
    for (const double smoothing : {0., 0.1}) {
      const auto error = [&](const Tensor& target) {
        return error_of([&] { cross_entropy(x, target, weight, Reduction::Mean, -100, smoothing); });
      };
      EXPECT_EQ(error(tensor({0, 5})), "cross_entropy: target 5 is not one of 3 classes");
      EXPECT_EQ(error(tensor({0, 1, 2})), "cross_entropy: x [2, 3] takes a target of shape [2], not [3]");
      EXPECT_EQ(error(tensor({0.f, 1.f})), "cross_entropy: the classes must be int64, not float32");
    }
}

TEST(Dropout, WhatIsDroppedIsZero) {
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const double p : {0.5, 1.}) {
      manual_seed(3);
      Tensor x = full({64}, kInf, dtype);
      x[1] = kNan, x[2] = -kInf;
      x.requires_grad_();
      const Tensor y = nn::Dropout(p)(x);
      const Tensor g = grad({y}, {x}, {full({64}, kInf, dtype)}, {.retain_graph = true})[0];
      const Tensor differentiable = grad({y}, {x}, {ones({64}, dtype)}, {.create_graph = true})[0];
      manual_seed(3);
      const Tensor kept = nn::Dropout(p)(ones({64}, dtype));
      for (int64_t i = 0; i < 64; i++) {
        const bool dropped = kept.at({i}) == 0;
        EXPECT_TRUE(!dropped || (y.at({i}) == 0 && g.at({i}) == 0 && differentiable.at({i}) == 0)) << i;
        EXPECT_TRUE(dropped || (!std::isfinite(y.at({i})) && g.at({i}) == kInf)) << i;
      }
      EXPECT_EQ(kept.sum().item() == 0, p == 1);
    }
}

struct OwnError : ShapeError {
  using ShapeError::ShapeError;
  int detail = 7;
};
struct Refusing {
  nn::Linear inner{2, 2};
  Tensor operator()(const Tensor& x) const {
    if (x.size(0) == 5) throw OwnError("own: five rows");
    if (x.size(0) == 6) throw std::domain_error("not ours");
    return inner(x);
  }
  void visit(nn::Visitor& v) { v("inner", inner); }
};
Tensor refusing_function(const Tensor& x) { return x.reshape({7}); }

TEST(Sequential, NamesTheLayerThatRefuses) {
  nn::Sequential model{nn::Linear(3, 2), nn::Tanh(), nn::Linear(4, 1)};
  EXPECT_EQ(error_of<ShapeError>([&] {
              model(ones({5, 3}));
            }),
            "Sequential: layer 2 (Linear): linear: x [5, 2] does not end in the 4 features that the weight "
            "[1, 4] takes");
  EXPECT_EQ(error_of<DtypeError>([] {
              nn::Sequential{nn::Dropout(), nn::Tanh()}(tensor({1}));
            }),
            "Sequential: layer 0 (Dropout): Dropout: the input must be floating, not int64");
  EXPECT_THAT(error_of([&] { model(Tensor()); }),
              StartsWith("Sequential: layer 0 (Linear): linear: input 0 is undefined"));
  // Whatever it is, by its own name, and the error stays what it was.
  nn::Sequential other{Refusing(), nn::Sequential{nn::ReLU(), refusing_function}};
  EXPECT_THAT(error_of<ShapeError>([&] {
                other(ones({4, 2}));
              }),
              StartsWith("Sequential: layer 1 (Sequential): Sequential: layer 1 (function): reshape: "));
  try {
    other(ones({5, 2}));
    ADD_FAILURE() << "it was accepted";
  } catch (const OwnError& e) {
    EXPECT_STREQ(e.what(), "Sequential: layer 0 (Refusing): own: five rows");
    EXPECT_EQ(e.detail, 7);
  }
  EXPECT_THROW(other(ones({6, 2})), std::domain_error);
  nn::Sequential lambda{[](const Tensor& x) { return x.reshape({7}); }, nn::Tanh()};
  EXPECT_THAT(error_of<ShapeError>([&] {
                lambda(ones({5, 2}));
              }),
              StartsWith("Sequential: layer 0 (function): reshape: "));
}

// ---- what does not compile says why

TEST(Visit, OfWhatIsNoPartSaysWhySlow) {
  const auto of_member = [](const std::string& member, const std::string& visit = "v(\"m\", m);") {
    return "struct M { " + member + " m; void visit(nn::Visitor& v) { " + visit +
           " } }; void f(M& m) { nn::parameters(m); }";
  };
  const std::string number = "a number or text is no part", map = "a map or set has no numbered elements",
                    access = "visit() can't be called: it is public, not const, and takes one",
                    constant = "this part is const", none = "this type is not a module yet";
  const std::tuple<std::string, std::string> programs[] = {
      {of_member("int"), number},
      {of_member("double"), number},
      {of_member("const int64_t", "v(\"m\", m);"), number},
      {of_member("std::string"), number},
      {of_member("Dtype"), number},
      {of_member("std::vector<int16_t>"), number},
      {of_member("std::vector<bool>"), number},
      {of_member("std::optional<float>"), number},
      {of_member("std::map<std::string, nn::Linear>"), map},
      {of_member("std::unordered_map<int, nn::Linear>"), map},
      {of_member("std::set<int>"), map},
      {"class P { nn::Linear a{1, 1}; void visit(nn::Visitor& v) { v(\"a\", a); } public: int k; };" +
           of_member("P"),
       access},
      {"class P { void visit(nn::Visitor&) {} };" + of_member("P"), access},
      {"struct P { nn::Linear a{1, 1}; void visit(nn::Visitor& v, int) { v(\"a\", a); } };" + of_member("P"),
       access},
      {"struct P { nn::Linear a{1, 1}; void visit(nn::Visitor&& v) { v(\"a\", a); } };" + of_member("P"),
       access},
      {"class P { nn::Linear a{1, 1}; void visit(nn::Visitor& v) { v(\"a\", a); } public: "
       "Tensor operator()(const Tensor& x) const { return x; } }; void f() { nn::Sequential{P(), "
       "nn::Tanh()}; }",
       access},
      {"struct P { nn::Linear a{1, 1}; void visit(nn::Visitor& v) const { v(\"a\", a); } };" + of_member("P"),
       constant},
      {"struct P { nn::Linear a{1, 1}; };" + of_member("P"), none},
  };
  std::string source =
      "#include <gradus/gradus.h>\n#include <map>\n#include <set>\n#include <unordered_map>\nusing namespace "
      "gradus;\n";
  std::map<std::string, size_t> wanted;
  for (size_t i = 0; i < std::size(programs); i++) {
    const auto& [program, text] = programs[i];
    source += fmt::format("namespace n{} {{\n{}\n}}\n", i, program);
    wanted[text]++;
  }
  const Outcome outcome = compile(source);
  EXPECT_NE(outcome.code, 0);
  for (const auto& [text, count] : wanted) EXPECT_EQ(count_of(outcome.text, text), count) << text;
  // One error each, which says it.
  EXPECT_EQ(count_of(outcome.text, " error: "), std::size(programs)) << outcome.text;
}

TEST(Visit, OfAMapIsWrittenPartByPart) {
  struct Model {
    std::map<std::string, nn::Linear> heads;
    void visit(nn::Visitor& v) {
      for (auto& [name, part] : heads) v(name, part);
    }
  } model;
  model.heads.emplace("a", nn::Linear(2, 1));
  model.heads.emplace("b", nn::Linear(2, 3, false));
  EXPECT_EQ(nn::count(model), 3 + 6);
  EXPECT_EQ(nn::named_parameters(model)[2].first, "b.weight");
}

}  // namespace
}  // namespace gradus
