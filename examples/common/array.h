#pragma once
#include <gradus/autograd/base/dtype.h>
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/shape.h>

#include <cstddef>
#include <span>
#include <vector>

namespace gradus::examples {

/// An array as a file holds it: elements of `dtype` in row-major order.
struct Array {
  Dtype dtype;
  Shape shape;
  std::vector<std::byte> data;

  /// The elements; DtypeError unless T is the C++ type of `dtype`.
  template <class T>
  std::span<const T> values() const {
    if (dtype != dtype_of<T>)
      fail<DtypeError>("values: the array is {}, not {}", name_of(dtype), name_of(dtype_of<T>));
    return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
  }
};

}  // namespace gradus::examples
