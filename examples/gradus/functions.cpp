#include "functions.h"

#include <common/handmade.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/matmul.h>

#include <algorithm>
#include <limits>
#include <set>

namespace gradus::examples {
namespace {

constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();

Tensor activated(const Tensor& z, const std::string& activation) {
  if (activation == "sigmoid") return sigmoid(z);
  if (activation == "relu") return relu(z);
  if (activation == "tanh") return tanh(z);
  fail("linear_activation_forward: no such activation: '{}' (there are sigmoid, relu, tanh)", activation);
}

Tensor l_model_forward(const Tensors& x, const Attrs&) {
  if (x.size() % 2 == 0)
    fail("L_model_forward: X and a W and a b for each layer are an odd number of arguments, not {}",
         x.size());
  Deep p;
  for (size_t i = 1; i < x.size(); i += 2) {
    p.w.push_back(x[i]);
    p.b.push_back(x[i + 1]);
  }
  return deep_forward(x[0], p).a.back();
}

std::vector<Function> pieces() {
  return {
      {"linear_forward",
       "(A, W, b)",
       3,
       3,
       {},
       [](const Tensors& x, const Attrs&) { return matmul(x[1], x[0]) + x[2]; }},
      {"linear_activation_forward",
       "(A, W, b, activation=\"relu\")",
       3,
       3,
       {"activation"},
       [](const Tensors& x, const Attrs& attrs) {
         return activated(matmul(x[1], x[0]) + x[2], attrs.word("activation", "relu"));
       }},
      {"forward_propagation",
       "(X, W1, b1, W2, b2, output=\"sigmoid\")",
       5,
       5,
       {"output"},
       [](const Tensors& x, const Attrs& attrs) {
         const std::string output = attrs.word("output", "sigmoid");
         if (output != "sigmoid" && output != "tanh")
           fail("forward_propagation: no such output: '{}' (there are sigmoid, tanh)", output);
         return forward_propagation(x[0], {x[1], x[2], x[3], x[4]},
                                    output == "tanh" ? Output::Tanh : Output::Sigmoid)
             .a2;
       }},
      {"L_model_forward", "(X, W1, b1, ..., WL, bL)", 3, kAnyNumber, {}, l_model_forward},
      {"compute_cost",
       "(A, Y)",
       2,
       2,
       {},
       [](const Tensors& x, const Attrs&) { return compute_cost(x[0], x[1]); }},
  };
}

Function of_row(const OpRow& row, std::string name) {
  Function f{std::move(name), {}, kAnyNumber, 0, {}, {}};
  std::set<std::string> keywords;
  for (const OpSample& sample : row.samples()) {
    f.min_inputs = std::min(f.min_inputs, sample.inputs.size());
    f.max_inputs = std::max(f.max_inputs, sample.inputs.size());
    for (const auto& [keyword, value] : sample.attrs.values()) keywords.insert(keyword);
  }
  f.keywords.assign(keywords.begin(), keywords.end());
  f.call = [&row](const Tensors& x, const Attrs& attrs) { return row.call(x, attrs)[0]; };
  return f;
}

/// "max" of the public function "max", "reshape" of "Tensor::reshape"; nothing of "operator+".
std::string public_name(const OpRow& row) {
  const std::string name(row.function);
  const size_t colon = name.rfind(':');
  const std::string last = colon == std::string::npos ? name : name.substr(colon + 1);
  return last.starts_with("operator") ? "" : last;
}

}  // namespace

const std::vector<Function>& functions() {
  static const std::vector<Function> all = [] {
    std::vector<Function> list = pieces();
    std::set<std::string> taken;
    const auto add = [&](const OpRow& row, const std::string& name) {
      const std::string_view op(row.name);
      if (op.ends_with('_') || op.find("_scalar") != std::string_view::npos || name.empty()) return;
      if (taken.insert(name).second) list.push_back(of_row(row, name));
    };
    for (const OpRow& row : op_table()) add(row, row.name);
    for (const OpRow& row : op_table()) add(row, public_name(row));
    return list;
  }();
  return all;
}

const Function* find_function(const std::string& name) {
  const auto f = std::ranges::find(functions(), name, &Function::name);
  return f == functions().end() ? nullptr : &*f;
}

}  // namespace gradus::examples
