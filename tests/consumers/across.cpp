#include <dlfcn.h>

#include <cstdio>

#include "uses.h"

using namespace gradus;

namespace {

template <class F>
F* function(void* module, const char* name) {
  void* const f = dlsym(module, name);
  if (!f) fail("{}", dlerror());
  return reinterpret_cast<F*>(f);
}

}  // namespace

/// Uses Gradus together with the modules that it opens.
int main(int argc, char** argv) {
  int failed = failures();
  const auto check = [&](bool right, const char* what) {
    if (right) return;
    std::printf("failed: %s\n", what);
    failed++;
  };
  for (int i = 1; i < argc; i++) {
    void* const module = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
    if (!module) fail("{}", dlerror());
    failed += function<int()>(module, "module_failures")();
    const auto records = function<bool()>(module, "module_records");
    check(records(), "the module records");
    {
      NoGrad no_grad;
      check(!records(), "NoGrad has an effect in the module");
    }
    bool caught = false;
    try {
      function<void()>(module, "module_fails")();
    } catch (const ShapeError&) {
      caught = true;
    } catch (...) {
    }
    check(caught, "the module's error has its type here");

    Tensor x = tensor({3.0}, kFloat64).requires_grad_(), y;
    function<void(Tensor&, const Tensor&)>(module, "module_softsign")(y, x);
    y.backward();
    check(x.grad().item() == 0.0625, "the module's op is differentiated here");
  }
  return failed;
}
