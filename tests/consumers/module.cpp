#include "uses.h"

// What a program that opens the module calls.
extern "C" {

[[gnu::visibility("default")]] int module_failures() { return failures(); }

/// Whether it records; in its own op, too.
[[gnu::visibility("default")]] bool module_records() {
  gradus::Tensor w = gradus::tensor({2.0}).requires_grad_();
  const bool records = softsign(w).requires_grad();
  return gradus::is_grad_enabled() == records && records;
}

[[gnu::visibility("default")]] void module_fails() {
  gradus::fail<gradus::ShapeError>("module: as it shall");
}

/// y = softsign(x)
[[gnu::visibility("default")]] void module_softsign(gradus::Tensor& y, const gradus::Tensor& x) {
  y = softsign(x);
}
}
