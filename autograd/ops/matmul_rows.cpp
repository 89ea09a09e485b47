#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

OpSample operands(const Shape& a, const Shape& b) { return {{scattered(a), scattered(b, -2, 2, 1)}, {}}; }

}  // namespace

std::vector<OpRow> matmul_rows() {
  return {
      {"matmul", "matmul", [](const Tensors& x, const Attrs&) -> Tensors { return {matmul(x[0], x[1])}; },
       [] {
         return Samples{
             operands({2, 3}, {3, 4}),       operands({3}, {3}),          operands({3}, {3, 2}),
             operands({2, 3}, {3}),          operands({2, 2, 3}, {3}),    operands({3}, {2, 3, 2}),
             operands({2, 2, 3}, {2, 3, 2}), operands({2, 3}, {2, 3, 2}), operands({2, 1, 2, 3}, {3, 3, 2}),
             operands({2, 0}, {0, 3})};
       },
       false, 2,
       [] {
         return Samples{operands({2, 3}, {2, 3}),
                        operands({2, 3, 4}, {3, 4, 5}),
                        operands({}, {3}),
                        operands({3}, {4}),
                        {{tensor({1, 2}), tensor({3, 4})}, {}},
                        {{scattered({2, 3}), Tensor()}, {}}};
       }},
      {"dot", "dot", [](const Tensors& x, const Attrs&) -> Tensors { return {dot(x[0], x[1])}; },
       [] { return Samples{operands({4}, {4})}; }, false, 2,
       [] {
         return Samples{operands({4}, {3}), operands({2, 2}, {2}), operands({4}, {})};
       }},
      {"linear", "linear",
       [](const Tensors& x, const Attrs&) -> Tensors {
         return {linear(x[0], x[1], x.size() > 2 ? x[2] : Tensor())};
       },
       [] {
         return Samples{{{scattered({4, 3}), scattered({2, 3}, -2, 2, 1), scattered({2}, -2, 2, 2)}, {}},
                        {{scattered({4, 3}), scattered({2, 3}, -2, 2, 1)}, {}},
                        {{scattered({3}), scattered({2, 3}, -2, 2, 1), scattered({2}, -2, 2, 2)}, {}},
                        {{scattered({2, 2, 3}), scattered({2, 3}, -2, 2, 1), scattered({2}, -2, 2, 2)}, {}},
                        {{scattered({0, 3}), scattered({2, 3}, -2, 2, 1), scattered({2}, -2, 2, 2)}, {}}};
       },
       false, 2,
       [] {
         return Samples{operands({2, 3}, {4, 2}),
                        operands({2, 3}, {3}),
                        operands({}, {2, 3}),
                        {{scattered({2, 3}), scattered({4, 3}), scattered({3})}, {}},
                        {{scattered({2, 3}), scattered({4, 3}), scattered({4, 1})}, {}},
                        {{tensor({1, 2}), tensor({{1, 2}, {3, 4}})}, {}}};
       }},
  };
}

}  // namespace gradus
