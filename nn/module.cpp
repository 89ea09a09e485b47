#include <gradus/autograd/core/convert.h>
#include <gradus/autograd/kernels/copy.h>
#include <gradus/nn/module.h>

#include <algorithm>
#include <unordered_map>

namespace gradus::nn {
namespace {

template <class Wanted>
NamedTensors named(const Parts& model, Wanted wanted) {
  NamedTensors list;
  for (const Parts::Part& part : model.tensors)
    if (wanted(part)) list.emplace_back(part.name, *part.tensor);
  return list;
}

Tensors without_names(const NamedTensors& named) {
  Tensors list;
  list.reserve(named.size());
  for (const auto& [name, x] : named) list.push_back(x);
  return list;
}

}  // namespace

NamedTensors named_parameters(const Parts& model) {
  return named(model, [](const Parts::Part& part) { return part.param != nullptr; });
}
NamedTensors named_buffers(const Parts& model) {
  return named(model, [](const Parts::Part& part) { return part.param == nullptr; });
}
Tensors parameters(const Parts& model) { return without_names(named_parameters(model)); }
Tensors buffers(const Parts& model) { return without_names(named_buffers(model)); }

NamedTensors state_dict(const Parts& model) {
  NamedTensors state;
  for (const Parts::Part& part : model.tensors) state.emplace_back(part.name, part.tensor->detach());
  return state;
}

IncompatibleKeys load_state_dict(const Parts& model, const NamedTensors& state, bool strict) {
  std::string problems;
  const auto report = [&](const std::string& problem) {
    problems += (problems.empty() ? "" : "; ") + problem;
  };
  std::unordered_map<std::string_view, const Tensor*> values;
  std::unordered_set<const Storage*> own_memory;
  for (const auto& [name, x] : state)
    if (!values.emplace(name, &x).second) report(fmt::format("'{}' is given twice", name));
  struct Load {
    const Parts::Part& part;
    Tensor value;
  };
  std::vector<Load> loads;
  IncompatibleKeys keys;
  for (const Parts::Part& part : model.tensors) {
    own_memory.insert(&part.tensor->storage());
    const auto found = values.find(part.name);
    if (found == values.end()) {
      keys.missing_keys.push_back(part.name);
      if (strict) report(fmt::format("'{}' is missing", part.name));
      continue;
    }
    const Tensor &x = *std::exchange(found->second, nullptr), &own = *part.tensor;
    if (!x.defined())
      report(fmt::format("'{}' is undefined", part.name));
    else if (!(x.shape() == own.shape()))
      report(fmt::format("'{}' has shape {}, in the model {}", part.name, x.shape(), own.shape()));
    else if (x.dtype() != own.dtype())
      report(fmt::format("'{}' is {}, in the model {}", part.name, x.dtype(), own.dtype()));
    loads.push_back({part, x});
  }
  for (const auto& [name, x] : state)
    if (values[name]) {
      keys.unexpected_keys.push_back(name);
      if (strict) report(fmt::format("'{}' is not in the model", name));
    }
  if (!problems.empty()) fail("load_state_dict: {}", problems);

  // All that needs memory comes first: then nothing can stop half-way.
  for (Load& load : loads)
    if (load.part.shared || own_memory.contains(&load.value.storage()))
      load.value = load.value.detach().clone();
  for (Load& load : loads) {
    Tensor& own = *load.part.tensor;
    const Tensor& x = load.value;
    if (load.part.shared) {
      own = x;
      continue;
    }
    launch(kernels::Copy{writes(own), reads(x)});
    own.storage().bump();
  }
  return keys;
}

void train(const Parts& model, bool training) {
  for (bool* mode : model.modes) *mode = training;
}
void eval(const Parts& model) { train(model, false); }

void to(const Parts& model, Dtype dtype) {
  if (!is_floating(dtype)) fail<DtypeError>("to: a model can be float32 or float64, not {}", dtype);
  check_not_recording("to");
  // All that needs memory comes first: then nothing can stop half-way.
  std::vector<std::pair<const Parts::Part*, gradus::detail::Converted>> ready;
  for (const Parts::Part& part : model.tensors)
    if (part.tensor->dtype() != dtype && is_floating(part.tensor->dtype()))
      ready.emplace_back(&part, gradus::detail::converted(*part.tensor, dtype));
  for (const auto& [part, made] : ready) {
    if (part->shared)
      *part->tensor = made.elements;
    else
      gradus::detail::convert_in_place(*part->tensor, made);
  }
}

void zero_grad(const Parts& model) {
  for (const Parts::Part& part : model.tensors)
    if (part.param) part.param->set_grad({});
}

int64_t count(const Parts& model) {
  int64_t n = 0;
  for (const Parts::Part& part : model.tensors)
    if (part.param) n += part.param->numel();
  return n;
}

std::string summary(const Parts& model) {
  std::vector<std::array<std::string, 3>> rows{{"name", "shape", "parameters"}};
  for (const auto& [name, x] : named_parameters(model))
    rows.push_back({name, x.shape().str(), std::to_string(x.numel())});
  rows.push_back({"total", "", std::to_string(count(model))});
  size_t width[3] = {};
  for (const auto& row : rows)
    for (size_t k = 0; k < 3; k++) width[k] = std::max(width[k], row[k].size());
  std::string text;
  for (const auto& row : rows)
    text += fmt::format("{:<{}}  {:<{}}  {:>{}}\n", row[0], width[0], row[1], width[1], row[2], width[2]);
  return text;
}

Tensors forgotten(const Tensor& loss, const Parts& model) {
  gradus::detail::check_defined("forgotten", loss);
  if (!loss.requires_grad()) fail<GradError>("forgotten: the loss has no history: nothing was recorded");
  std::unordered_set<const Node*> seen;
  for (const Parts::Part& part : model.tensors)
    if (part.param) seen.insert(part.param->edge().node.get());
  Tensors leaves;
  std::vector<const Node*> open{loss.edge().node.get()};
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    if (!seen.insert(node).second) continue;
    if (node->is_leaf())
      if (TensorImpl* owner = static_cast<const Leaf*>(node)->owner())
        leaves.emplace_back(Ref<TensorImpl>(owner));
    for (const Edge& e : node->edges())
      if (e) open.push_back(e.node.get());
  }
  return leaves;
}

}  // namespace gradus::nn
