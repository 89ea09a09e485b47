#include <gradus/nn/visitor.h>

namespace gradus::nn {

void Visitor::add(Tensor& x, Param* param) {
  if (!x.defined() || !seen_.insert(&x).second) return;
  if (!names_.insert(path_).second) fail("visit: two different tensors are named '{}'", path_);
  parts_.tensors.push_back({path_, &x, param});
}

void Visitor::add_mode(bool& training) {
  if (path_ != "training" && !path_.ends_with(".training"))
    fail("visit: a bool is the mode and must be named 'training', not '{}'", path_);
  parts_.modes.push_back(&training);
}

}  // namespace gradus::nn
