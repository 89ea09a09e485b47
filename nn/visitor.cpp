#include <gradus/nn/visitor.h>

namespace gradus::nn {

void Visitor::add(Tensor& x, Param* param) {
  if (!x.defined() || !seen_.insert(&x).second) return;
  if (!names_.insert(path_).second) fail("visit: two different tensors are named '{}'", path_);
  parts_.tensors.push_back({path_, &x, param, false});
}

void Visitor::add_shared(Tensor& x) {
  const size_t before = parts_.tensors.size();
  add(x, nullptr);
  if (parts_.tensors.size() > before) parts_.tensors.back().shared = true;
}

void Visitor::add_mode(bool& training) {
  if (path_ != "training" && !path_.ends_with(".training"))
    fail("visit: a bool is the mode and must be named 'training', not '{}'", path_);
  parts_.modes.push_back(&training);
}

}  // namespace gradus::nn
