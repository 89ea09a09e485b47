#include <gradus/autograd/kernels/pointwise.h>

namespace gradus::GRADUS_LEVEL_NAMESPACE {

namespace {
template <class List>
struct Table;
template <class... Op>
struct Table<formulas::List<Op...>> {
  static constexpr const void* kernels[] = {&detail::kKernels<Op>...};
};
}  // namespace

extern const void* const* const pointwise_table;
const void* const* const pointwise_table = Table<formulas::All>::kernels;

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
