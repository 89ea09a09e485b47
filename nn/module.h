#pragma once
#include <gradus/nn/visitor.h>

#include <utility>

#pragma GCC visibility push(default)

namespace gradus::nn {

using gradus::NamedTensors;

/// What is trained: handles that share elements and gradients with the model's Params, in the order of
/// visiting.
Tensors parameters(const Parts& model);
/// The same with their names: "up.weight", "layers.0.bias".
NamedTensors named_parameters(const Parts& model);
/// What is saved but not trained.
Tensors buffers(const Parts& model);
/// The same with their names.
NamedTensors named_buffers(const Parts& model);

/// Parameters and buffers by name, detached, sharing the model's elements as in PyTorch. To keep a state
/// while training goes on, copy the model: `auto best = model;`.
NamedTensors state_dict(const Parts& model);
/// Names that only one of model and state has.
struct IncompatibleKeys {
  std::vector<std::string> missing_keys;     // of the model
  std::vector<std::string> unexpected_keys;  // of the state
};
/// Copies `state` into the model's parameters and buffers, which stay the same tensors. Throws and changes
/// nothing unless names, shapes and dtypes are the model's; where not `strict`, it loads the names that both
/// have and returns the others.
IncompatibleKeys load_state_dict(const Parts& model, const NamedTensors& state, bool strict = true);

/// Sets every visited `bool training`.
void train(const Parts& model, bool training = true);
/// train(model, false)
void eval(const Parts& model);
/// Converts parameters, their gradients and floating buffers to float32 or float64. Parameters stay the same
/// leaves: optimizers go on with them. Steps that were recorded before must be recorded anew, and refuse to
/// run; not while one is recorded. Where it throws, nothing is converted.
void to(const Parts& model, Dtype dtype);
/// Drops the gradients of all parameters.
void zero_grad(const Parts& model);

/// The number of elements of all parameters; tied ones count once.
int64_t count(const Parts& model);
/// A table of the parameters: name, shape, number of elements, and their total.
std::string summary(const Parts& model);
/// The leaves that `loss` was computed from and that are not Params which the model names: a member forgotten
/// in visit() would not be trained. (An input that requires grad is one, too.) GradError where the loss has
/// no history.
Tensors forgotten(const Tensor& loss, const Parts& model);

}  // namespace gradus::nn

#pragma GCC visibility pop
