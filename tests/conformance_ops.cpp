#include "conformance_case.h"

#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>

#include <fmt/format.h>
#include <cstring>

namespace gradus::conformance {
namespace {

Env read_inputs(const Case& c) {
  Env env;
  for (const Json& input : c.spec.at("inputs")) {
    Tensor x = c.read(input.at("file"));
    if (input.value("requires_grad", false)) x.requires_grad_();
    env[input.at("name")] = x;
  }
  return env;
}

/// The outputs that are differentiated, and their gradients.
struct Differentiated {
  std::vector<std::string> names;
  Tensors y, g;
};
Differentiated differentiated(const Case& c, Env& env) {
  Differentiated d;
  for (const Json& output : c.spec.at("outputs")) {
    if (!output.contains("grad_output") || output.at("grad_output").is_null()) continue;
    const Tensor& y = named(env, output.at("name"));
    const Tensor g = c.read(output.at("grad_output"));
    if (!y.requires_grad()) continue;
    d.names.push_back(output.at("name"));
    d.y.push_back(y);
    d.g.push_back(g);
  }
  return d;
}

/// S = Σ v_i g_i, with the gradients g_i as functions of the inputs and of the outputs' gradients.
void run_second_order(Case& c, const std::vector<Step>& program) {
  const Json& second = c.spec.at("second");
  Env env = read_inputs(c);
  for (const Step& step : program) run_op(step, env);
  Differentiated d = differentiated(c, env);
  for (Tensor& g : d.g) g.requires_grad_();
  Tensors x, v;
  for (const Json& term : second.at("v")) {
    x.push_back(named(env, term.at("of")));
    v.push_back(c.read(term.at("file")));
  }
  const Tensors g = grad(d.y, x, d.g, {.create_graph = true, .allow_unused = true});
  Tensor s;
  for (size_t i = 0; i < g.size(); i++)
    if (g[i].defined()) s = s.defined() ? s + (v[i] * g[i]).sum() : (v[i] * g[i]).sum();

  // A first gradient that is constant (relu's) depends on nothing: its derivative is absent, and 0.
  const auto gradient_of = [&](const Tensor& of) {
    if (!s.defined() || !s.requires_grad()) return zeros_like(of);
    const Tensor dx = grad({s}, {of}, {}, {.retain_graph = true, .allow_unused = true})[0];
    return dx.defined() ? dx : zeros_like(of);
  };
  for (const Json& wanted : second.at("grad_grad")) {
    const std::string of = wanted.at("of");
    c.expect_gradient("second gradient of " + of, gradient_of(named(env, of)), wanted.at("file"));
  }
  for (const Json& wanted : second.at("grad_go")) {
    const std::string of = wanted.at("of");
    for (size_t i = 0; i < d.names.size(); i++)
      if (d.names[i] == of)
        c.expect_gradient("second gradient of the gradient of " + of, gradient_of(d.g[i]), wanted.at("file"));
  }
}

// ---- scripts

void run_steps(Case& c, const std::vector<Step>& steps, Env& env);

/// The elements of every named tensor and of its gradient, to see that a refused step changed nothing.
std::map<std::string, std::vector<std::byte>> contents(const Env& env) {
  std::map<std::string, std::vector<std::byte>> all;
  for (const auto& [name, x] : env)
    for (const Tensor& t : {x, x.grad()}) {
      if (!t.defined()) continue;
      const Tensor row = t.detach().contiguous();
      const std::byte* bytes = row.raw();
      auto& held = all[name];
      held.insert(held.end(), bytes, bytes + row.numel() * item_size(row.dtype()));
    }
  return all;
}

void expect_refusal(Case& c, const Step& step, Env& env) {
  const auto before = contents(env);
  try {
    run_steps(c, step.steps, env);
    c.fail("expected an error", step.spec->value("why", "the step must be refused"));
  } catch (const Error&) {
    if (contents(env) != before) c.fail("a refused step changed a tensor", step.spec->value("why", ""));
  }
}

void expect_flag(Case& c, const Step& step, const Tensor& x) {
  const std::string flag = step.spec->at("flag");
  const bool want = step.spec->at("value");
  if (flag != "requires_grad" && flag != "is_leaf") throw Skip{"no flag '" + flag + "'"};
  const bool got = flag == "is_leaf" ? x.is_leaf() : x.requires_grad();
  if (got != want)
    c.fail(fmt::format("{} of {}", flag, step.spec->at("of").get<std::string>()),
           fmt::format("got {}, want {}", got, want));
}

void run_step(Case& c, const Step& step, Env& env) {
  const Json& spec = *step.spec;
  if (step.row) return run_op(step, env);
  if (step.does == "no_grad") {
    NoGrad no_grad;
    return run_steps(c, step.steps, env);
  }
  if (step.does == "repeat") {
    for (int64_t i = 0, n = spec.at("times"); i < n; i++) run_steps(c, step.steps, env);
    return;
  }
  if (step.does == "expect_error") return expect_refusal(c, step, env);

  const std::string of = spec.at("of");
  Tensor x = named(env, of);
  if (step.does == "backward") {
    const Tensor g = spec.contains("grad") ? named(env, spec.at("grad")) : Tensor();
    x.backward(g, spec.value("retain_graph", false), spec.value("create_graph", false));
  } else if (step.does == "zero_grad") {
    x.set_grad({});
  } else if (step.does == "retain_grad") {
    x.retain_grad();
  } else if (step.does == "hook") {
    x.register_hook([scale = spec.at("scale").get<double>()](const Tensor& g) { return g * scale; });
  } else if (step.does == "grad_to") {
    env[spec.at("out")] = x.grad();
  } else if (step.does == "sgd_") {
    NoGrad no_grad;
    x -= x.grad() * spec.at("lr").get<double>();
  } else if (step.does == "requires_grad_") {
    x.requires_grad_(spec.at("value").get<bool>());
  } else if (step.does == "release") {
    env.erase(of);
  } else if (step.does == "expect_grad") {
    if (spec.at("file").is_null()) {
      if (x.grad().defined()) c.fail("gradient of " + of, "there is one, none was expected");
    } else {
      c.expect("gradient of " + of, x.grad(), spec.at("file").get<std::string>());
    }
  } else if (step.does == "expect_value") {
    c.expect(of, x, spec.at("file").get<std::string>());
  } else if (step.does == "expect_flag") {
    expect_flag(c, step, x);
  } else {
    throw Skip{fmt::format("no step '{}'", step.does)};
  }
}

void run_steps(Case& c, const std::vector<Step>& steps, Env& env) {
  for (const Step& step : steps) run_step(c, step, env);
}

}  // namespace

void run_op_case(Case& c) {
  const std::vector<Step> program = parse_steps(c.spec.at("program"));
  Env env = read_inputs(c);
  for (const Step& step : program) run_op(step, env);
  for (const Json& output : c.spec.at("outputs")) {
    const std::string name = output.at("name");
    c.expect(name, named(env, name), output.at("file").get<std::string>());
  }
  const Differentiated d = differentiated(c, env);
  if (!d.y.empty()) backward(d.y, d.g);
  for (const Json& input : c.spec.at("inputs"))
    if (input.value("requires_grad", false)) {
      const std::string name = input.at("name");
      c.expect_gradient("gradient of " + name, env[name].grad(), input.value("grad", Json()));
    }
  if (c.spec.contains("second")) run_second_order(c, program);
}

void run_script(Case& c) {
  const std::vector<Step> steps = parse_steps(c.spec.at("steps"));
  Env env = read_inputs(c);
  run_steps(c, steps, env);
}

}  // namespace gradus::conformance
