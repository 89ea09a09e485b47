#include <dlfcn.h>

#include <cstdio>

/// Knows nothing of Gradus, and opens a module that holds it.
int main(int, char** argv) {
  void* const module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!module) return std::printf("%s\n", dlerror()), 1;
  const auto failures = reinterpret_cast<int (*)()>(dlsym(module, "module_failures"));
  return failures ? failures() : 1;
}
