#pragma once
#include <gradus/autograd/base/launch.h>

#include <optional>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// The row-major position of the first index outside [0, size) that is not `ignored`, or -1.
int64_t first_out_of_range(const int64_t* index, const Layout& li, int64_t size,
                           std::optional<int64_t> ignored = {});

/// y[i…] = x[i… with i_dim replaced by index[i…]]. y is contiguous of the index' shape, which is no larger
/// than x's in the other dims; every index is in [0, x.shape[dim]).
struct Gather {
  static constexpr auto name = "gather";
  Write y;
  Read x, index;
  int dim;
  void operands(auto f) { f(y), f(x), f(index); }
  void run() const;
};

/// y[i… with i_dim replaced by index[i…]] += x[i…] for every i of the index' shape, in row-major order of i
/// for each element of y. x is at least as large as the index in every dim.
struct ScatterAdd {
  static constexpr auto name = "scatter_add";
  Write y;
  Read x, index;
  int dim;
  void operands(auto f) { f(y), f(x), f(index); }
  void run() const;
};

/// y += g, element by element in row-major order; y may name an element more than once.
struct AddTo {
  static constexpr auto name = "add_to";
  Write y;
  Read g;
  void operands(auto f) { f(y), f(g); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
