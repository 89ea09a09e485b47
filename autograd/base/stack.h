#pragma once
#include <cstddef>

#pragma GCC visibility push(default)

namespace gradus {

/// How many bytes are left on this thread's stack; the largest size_t where that is not known.
size_t stack_left() noexcept;

}  // namespace gradus

#pragma GCC visibility pop
