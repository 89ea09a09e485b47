#include "conformance_case.h"

#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/reduce.h>
#include <gradus/nn/init.h>
#include <gradus/nn/linear.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>

#include <fmt/format.h>
#include <cmath>
#include <cstdio>
#include <memory>
#include <set>

namespace gradus::conformance {
namespace {

/// Options by name. What was not asked for, Gradus has not.
class Args {
 public:
  Args(std::string owner, const Json& args) : owner_(std::move(owner)), args_(parse_attrs(args)) {}

  double number(const std::string& name, double otherwise) {
    known_.insert(name);
    return args_.number(name, otherwise);
  }
  bool flag(const std::string& name) { return number(name, 0) != 0; }
  std::string word(const std::string& name, const std::string& otherwise) {
    known_.insert(name);
    return args_.word(name, otherwise);
  }
  std::array<double, 2> pair(const std::string& name, std::array<double, 2> otherwise) {
    known_.insert(name);
    for (const auto& [key, value] : args_.values())
      if (key == name) {
        const auto& list = std::get<std::vector<double>>(value);
        return {list.at(0), list.at(1)};
      }
    return otherwise;
  }
  void check_all_known() const {
    for (const auto& [name, value] : args_.values())
      if (!known_.contains(name)) throw Skip{fmt::format("{}: no option '{}'", owner_, name)};
  }

 private:
  std::string owner_;
  Attrs args_;
  std::set<std::string> known_;
};

std::unique_ptr<optim::Optimizer> make_optimizer(const Json& spec, const Tensors& parameters) {
  const std::string name = spec.at("optimizer");
  Args args(name, spec.at("args"));
  if (name == "SGD") {
    const optim::SGDOptions o{.lr = args.number("lr", 1e-3),
                              .momentum = args.number("momentum", 0),
                              .dampening = args.number("dampening", 0),
                              .weight_decay = args.number("weight_decay", 0),
                              .nesterov = args.flag("nesterov")};
    args.check_all_known();
    return std::make_unique<optim::SGD>(parameters, o);
  }
  if (name == "Adam") {
    optim::AdamOptions o;
    o.lr = args.number("lr", o.lr);
    o.betas = args.pair("betas", o.betas);
    o.eps = args.number("eps", o.eps);
    o.weight_decay = args.number("weight_decay", o.weight_decay);
    o.amsgrad = args.flag("amsgrad");
    args.check_all_known();
    return std::make_unique<optim::Adam>(parameters, o);
  }
  if (name == "RMSprop") {
    optim::RMSpropOptions o;
    o.lr = args.number("lr", o.lr);
    o.alpha = args.number("alpha", o.alpha);
    o.eps = args.number("eps", o.eps);
    o.weight_decay = args.number("weight_decay", o.weight_decay);
    o.momentum = args.number("momentum", o.momentum);
    o.centered = args.flag("centered");
    args.check_all_known();
    return std::make_unique<optim::RMSprop>(parameters, o);
  }
  throw Skip{fmt::format("no optimizer '{}'", name)};
}

Tensor draw(const Json& spec) {
  manual_seed(1);
  if (spec.contains("module")) {
    const std::string module = spec.at("module"), param = spec.at("param");
    int in = 0, out = 0, end = 0;
    if (std::sscanf(module.c_str(), "Linear(%d,%d)%n", &in, &out, &end) != 2 ||
        end != static_cast<int>(module.size()))
      throw Skip{fmt::format("no module '{}'", module)};
    const nn::Linear linear(in, out, true, kFloat64);
    return param == "bias" ? linear.bias : linear.weight;
  }
  const std::string name = spec.at("init");
  Args args(name, spec.at("args"));
  Tensor x = empty(spec.at("shape").get<std::vector<int64_t>>(), kFloat64);
  if (name == "uniform_") {
    const double low = args.number("a", 0), high = args.number("b", 1);
    args.check_all_known();
    return nn::init::uniform_(x, low, high);
  }
  if (name == "normal_") {
    const double mean = args.number("mean", 0), std = args.number("std", 1);
    args.check_all_known();
    return nn::init::normal_(x, mean, std);
  }
  if (name == "xavier_uniform_" || name == "xavier_normal_") {
    const double gain = args.number("gain", 1);
    args.check_all_known();
    return name == "xavier_normal_" ? nn::init::xavier_normal_(x, gain) : nn::init::xavier_uniform_(x, gain);
  }
  if (name == "kaiming_uniform_" || name == "kaiming_normal_") {
    const double a = args.number("a", 0);
    const std::string mode = args.word("mode", "fan_in"),
                      nonlinearity = args.word("nonlinearity", "leaky_relu");
    args.check_all_known();
    return name == "kaiming_normal_" ? nn::init::kaiming_normal_(x, a, mode, nonlinearity)
                                     : nn::init::kaiming_uniform_(x, a, mode, nonlinearity);
  }
  throw Skip{fmt::format("no initialiser '{}'", name)};
}

/// The share of (output > 0.5) == Y; the output is the last sigmoid's.
double accuracy(const std::vector<Step>& program, Env& env) {
  std::string output;
  for (const Step& step : program)
    if (std::string(step.row->name) == "sigmoid") output = step.out.at(0);
  if (output.empty())
    throw CorpusError("the program has no sigmoid, whose output final_accuracy_band is about");
  const Tensor y = named(env, "Y"), right = (named(env, output) > 0.5).to(y.dtype()) == y;
  return mean(right).item();
}

}  // namespace

void run_optimizer(Case& c) {
  const Json& specs = c.spec.at("params");
  Tensors parameters, gradients;
  for (const Json& spec : specs) {
    parameters.push_back(c.read(spec.at("start")).requires_grad_());
    gradients.push_back(c.read(spec.at("grads")));
  }
  const auto optimizer = make_optimizer(c.spec, parameters);
  const auto without = c.spec.at("no_grad_for_param1_at_steps").get<std::set<int64_t>>();
  for (int64_t t = 0, steps = c.spec.at("steps"); t < steps; t++) {
    for (size_t i = 0; i < parameters.size(); i++)
      parameters[i].set_grad(i == 1 && without.contains(t) ? Tensor() : gradients[i][t].clone());
    optimizer->step();
    for (size_t i = 0; i < parameters.size(); i++)
      c.expect(fmt::format("parameter {} after step {}", i, t), parameters[i].detach(),
               c.read(specs[i].at("expected"))[t]);
  }
}

void run_training(Case& c) {
  const Json& spec = c.spec;
  const std::vector<Step> program = parse_steps(spec.at("program"));
  Env env;
  for (const Json& data : spec.at("data")) env[data.at("name")] = c.read(data.at("file"));
  Tensors parameters;
  for (const Json& param : spec.at("params")) {
    parameters.push_back(c.read(param.at("start")).requires_grad_());
    env[param.at("name")] = parameters.back();
  }
  const auto optimizer = make_optimizer(spec, parameters);

  std::vector<double> losses;
  const std::string loss = spec.at("loss");
  const int64_t iterations = spec.at("iterations"), every = spec.at("record_every");
  for (int64_t t = 0;; t++) {
    for (const Step& step : program) run_op(step, env);
    if (t % every == 0 || t == iterations) losses.push_back(named(env, loss).item());
    if (t == iterations) break;
    optimizer->zero_grad();
    named(env, loss).backward();
    if (t == 0)
      for (const Json& param : spec.at("params")) {
        const std::string name = param.at("name");
        c.expect("first gradient of " + name, env[name].grad(), param.at("grad_at_0").get<std::string>());
      }
    optimizer->step();
  }

  const auto check = spec.at("check").get<std::set<std::string>>();
  if (check.contains("losses"))
    c.expect("losses", tensor(losses, kFloat64), spec.at("losses").get<std::string>());
  if (check.contains("params"))
    for (const Json& param : spec.at("params")) {
      const std::string name = param.at("name");
      c.expect("final " + name, env[name].detach(), param.at("final").get<std::string>());
    }
  if (spec.contains("final_accuracy_band")) {
    const double got = accuracy(program, env), low = spec["final_accuracy_band"].at(0),
                 high = spec["final_accuracy_band"].at(1);
    if (!(got >= low && got <= high))
      c.fail("final accuracy", fmt::format("got {}, want {} to {}", got, low, high));
  }
}

void run_init(Case& c) {
  const Tensor x = draw(c.spec).detach();
  const Json& expect = c.spec.at("expect");
  if (const Shape shape = c.spec.at("shape").get<std::vector<int64_t>>(); !(x.shape() == shape))
    return c.fail("shape", fmt::format("got {}, want {}", x.shape(), shape));
  const auto near = [&](const char* what, double got, double want, double tolerance) {
    if (!(std::abs(got - want) <= tolerance))
      c.fail(what, fmt::format("got {}, want {} to {}", got, want, tolerance));
  };
  const double average = mean(x).item(), n = static_cast<double>(x.numel());
  const double std = std::sqrt(sum(square(x - average)).item() / (n - 1));
  near("mean", average, expect.at("mean"), expect.at("mean_tol"));
  near("std", std, expect.at("std"), expect.at("std_tol"));
  const Tensor size = abs(x);
  if (expect.contains("bound")) {
    const double largest = max(size).item(), bound = expect.at("bound"),
                 at_least = expect.at("max_abs_at_least");
    if (!(largest <= bound && largest >= at_least))
      c.fail("largest", fmt::format("got {}, want {} to {}", largest, at_least, bound));
  }
  if (expect.contains("share_beyond_2std")) {
    const double beyond =
        mean(abs(x - expect.at("mean").get<double>()) > 2 * expect.at("std").get<double>()).item();
    near("share beyond 2 std", beyond, expect.at("share_beyond_2std"), expect.at("share_tol"));
  }
}

void run_gain(Case& c) {
  const std::string nonlinearity = c.spec.at("nonlinearity");
  const Json& param = c.spec.at("param");
  const double want = c.spec.at("gain"), got = param.is_null()
                                                   ? nn::init::calculate_gain(nonlinearity)
                                                   : nn::init::calculate_gain(nonlinearity, param);
  if (!c.close(got, want)) c.fail("gain", fmt::format("got {}, want {}", got, want));
}

}  // namespace gradus::conformance
