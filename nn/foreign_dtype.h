#pragma once
#include <gradus/autograd/base/dtype.h>

#include <cstddef>
#include <span>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// A type of elements that files have and tensors don't, and the next dtype, which holds all its values.
struct ForeignDtype {
  const char* safetensors;  // its name there
  const char* npy;          // and there; null where NumPy has none
  int64_t size;             // of an element, in bytes
  Dtype dtype;
  /// Converts n elements, exactly. `from` may be the end of `to`: no element is written before it is read.
  void (*convert)(const std::byte* from, int64_t n, std::byte* to);
};

/// I8 I16 I32 U16 U32, for which int64 stands, and F16 BF16, for which float32 does.
std::span<const ForeignDtype> foreign_dtypes() noexcept;

}  // namespace gradus::detail

#pragma GCC visibility pop
