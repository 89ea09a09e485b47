#pragma once
#include <gradus/autograd/ops/table.h>

#include <functional>

/// What an expression of a check file may call.
namespace gradus::examples {

struct Function {
  std::string name;
  /// "(A, W, b)" of the tutorials' pieces; ops are described by the next three.
  std::string signature = {};
  size_t min_inputs, max_inputs;
  /// Arguments by name: numbers, lists and words.
  std::vector<std::string> keywords;
  std::function<Tensor(const Tensors&, const Attrs&)> call;
};

/// The tutorials' pieces, under the tutorials' names and with samples in columns; then the ops: the rows of
/// the op table under their own name and that of their public function, but none that works in place, and
/// none of scalars, since a number is a tensor here. What a row takes is what its samples show.
const std::vector<Function>& functions();
/// The function of that name, or null.
const Function* find_function(const std::string& name);

}  // namespace gradus::examples
