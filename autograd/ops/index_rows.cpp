#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

Tensors gathered(const Tensors& x, const Attrs& attrs) { return {gather(x[0], attrs.integer("dim"), x[1])}; }
Tensors scatter_added(const Tensors& x, const Attrs& attrs) {
  return {scatter_add(x[0], attrs.integer("dim"), x[1], x[2])};
}

}  // namespace

std::vector<OpRow> index_rows() {
  return {
      {"gather", "gather", gathered,
       [] {
         return Samples{{{scattered({3, 4}), tensor({{0, 2, 2, 1}, {1, 0, 2, 0}})}, {{"dim", 0.0}}},
                        {{scattered({2, 3}), tensor({{2, 2}, {0, 1}})}, {{"dim", -1.0}}},
                        {{scattered({}), tensor(0)}, {{"dim", 0.0}}},
                        {{scattered({3}), tensor(std::vector<int64_t>{}, {0})}, {{"dim", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3}), tensor({{0, 3}})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({{0, -1}})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({0, 1})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), scattered({1, 2}, 0, 1)}, {{"dim", 1.0}}},
                        {{scattered({1, 3}), tensor({{0}, {1}})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({{0, 1}})}, {{"dim", 2.0}}}};
       }},
      {"scatter_add", "scatter_add", scatter_added,
       [] {
         return Samples{
             {{scattered({3, 2}), tensor({{0, 2}, {2, 2}}), scattered({2, 2}, -2, 2, 1)}, {{"dim", 0.0}}},
             {{scattered({2, 3}), tensor({{2, 2}}), scattered({2, 4}, -2, 2, 1)}, {{"dim", 1.0}}},
             {{scattered({}), tensor(0), scattered({}, -2, 2, 1)}, {{"dim", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3}), tensor({{0, 3}}), scattered({1, 2})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({{0, 1}}), scattered({1, 1})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({{0, 1}}), scattered({2})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({{0, 1}}), zeros({1, 2})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), scattered({1, 2}, 0, 1), scattered({1, 2})}, {{"dim", 1.0}}}};
       }},
  };
}

}  // namespace gradus
