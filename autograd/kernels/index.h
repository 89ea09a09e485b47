#pragma once
#include <gradus/autograd/base/shape.h>

#include <optional>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// The row-major position of the first index outside [0, size) that is not `ignored`, or -1.
int64_t first_out_of_range(const int64_t* index, const Layout& li, int64_t size,
                           std::optional<int64_t> ignored = {});

/// y[i…] = x[i… with i_dim replaced by index[i…]]. y is contiguous of li's shape, which is no larger than
/// x's in the other dims; every index is in [0, x.shape[dim]).
void gather(Dtype dtype, void* y, const void* x, const Layout& lx, const int64_t* index, const Layout& li,
            int dim);

/// y[i… with i_dim replaced by index[i…]] += x[i…] for every i of li's shape, in row-major order of i
/// for each element of y. lx is at least as large as li in every dim.
void scatter_add(Dtype dtype, void* y, const Layout& ly, const void* x, const Layout& lx,
                 const int64_t* index, const Layout& li, int dim);

/// y[region] += g, element by element in row-major order; region may name an element more than once.
void embed(Dtype dtype, void* y, const Layout& region, const void* g, const Layout& lg);

}  // namespace gradus::kernels

#pragma GCC visibility pop
