#include "failing_allocations.h"

#include <gradus/autograd/base/error.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

namespace {

// The allocation after so many fails; none where negative.
thread_local int64_t allocations_left = -1;

void count_allocation() {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
}
void* or_throw(void* p) {
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

[[gnu::noinline]] void* operator new(size_t n) {
  count_allocation();
  return or_throw(std::malloc(n ? n : 1));
}
[[gnu::noinline]] void* operator new(size_t n, std::align_val_t align) {
  count_allocation();
  const auto a = static_cast<size_t>(align);
  return or_throw(std::aligned_alloc(a, (n + a - 1) / a * a));
}
// Of the sanitizers' own, these would not go with the deletes below.
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {
  return std::malloc(n ? n : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace gradus {

void with_failing_allocations(const std::function<void()>& prepare, const std::function<void()>& f,
                              const std::function<void()>& check) {
  for (int64_t k = 0; k < 100'000; k++) {
    prepare();
    allocations_left = k;
    bool through = true;
    try {
      f();
    } catch (const std::bad_alloc&) {
      through = false;
    } catch (const Error&) {
      through = false;  // "allocate: no memory …"
    }
    const bool one_failed = allocations_left < 0;
    allocations_left = -1;
    if (!one_failed) {
      EXPECT_TRUE(through);
      return;
    }
    // What goes on all the same did not need it: the pool of threads has fewer of them.
    if (!through) check();
  }
  FAIL() << "it never got through";
}

}  // namespace gradus
