#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/join.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

}  // namespace

std::vector<OpRow> join_rows() {
  return {
      {"cat", "cat",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {cat(x, attrs.integer("dim", 0))}; },
       [] {
         return Samples{{{scattered({2, 3}), scattered({1, 3}, -2, 2, 1), scattered({0, 3})}, {}},
                        {{scattered({2, 1}), scattered({2, 3}, -2, 2, 1)}, {{"dim", -1.0}}},
                        {{scattered({2})}, {}}};
       },
       false, 2,
       [] {
         return Samples{{{}, {}},
                        {{scattered({2, 3}), scattered({3, 2})}, {}},
                        {{scattered({2, 3}), scattered({3})}, {}},
                        {{scattered({}), scattered({})}, {}},
                        {{scattered({2, 3}), scattered({2, 3})}, {{"dim", 2.0}}},
                        {{scattered({2, 3}), Tensor()}, {}}};
       }},
      {"stack", "stack",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {stack(x, attrs.integer("dim", 0))}; },
       [] {
         return Samples{{{scattered({2, 3}), scattered({2, 3}, -2, 2, 1)}, {{"dim", 1.0}}},
                        {{scattered({}), scattered({}, -2, 2, 1), scattered({}, -2, 2, 2)}, {{"dim", -1.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{}, {}},
                        {{scattered({2, 3}), scattered({3, 2})}, {}},
                        {{scattered({2}), scattered({2})}, {{"dim", 2.0}}},
                        {{scattered({2}), Tensor()}, {}}};
       }},
  };
}

}  // namespace gradus
