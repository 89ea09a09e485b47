#include <gradus/autograd/base/stack.h>

#include <pthread.h>

#include <cstdint>

namespace gradus {
namespace {

struct Stack {
  uintptr_t low = 0;
  size_t size = 0;
};

Stack this_stack() noexcept {
  Stack s;
#ifdef __linux__
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return s;
  void* low = nullptr;
  if (pthread_attr_getstack(&attributes, &low, &s.size) == 0) s.low = reinterpret_cast<uintptr_t>(low);
  pthread_attr_destroy(&attributes);
#endif
  return s;
}

}  // namespace

size_t stack_left() noexcept {
  // Asked for once: of the main thread's stack, the C library reads in a file.
  static thread_local const Stack stack = this_stack();
  const size_t left = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - stack.low;
  // A coroutine may run on a stack that is not the thread's.
  return left < stack.size ? left : SIZE_MAX;
}

}  // namespace gradus
