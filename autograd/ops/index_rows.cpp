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

Tensors rows_added(const Tensors& x, const Attrs& attrs) {
  return {index_add(x[0], attrs.integer("dim"), x[1], x[2])};
}
Tensors rows_added_inplace(const Tensors& x, const Attrs& attrs) {
  Tensor y = x[0];
  return {index_add_(y, attrs.integer("dim"), x[1], x[2])};
}

Samples added() {
  return {{{scattered({3, 2}), tensor({2, 0, 2}), scattered({3, 2}, -2, 2, 1)}, {{"dim", 0.0}}},
          {{scattered({2, 3}), tensor({1}), scattered({2, 1}, -2, 2, 1)}, {{"dim", -1.0}}},
          {{scattered({3}), tensor(std::vector<int64_t>{}, {0}), scattered({0})}, {{"dim", 0.0}}}};
}
Samples misfit_rows() {
  return {{{scattered({2, 3}), tensor({0, 3}), scattered({2, 2})}, {{"dim", 1.0}}},
          {{scattered({2, 3}), tensor({-1}), scattered({2, 1})}, {{"dim", 1.0}}},
          {{scattered({2, 3}), tensor({0, 1}), scattered({2, 1})}, {{"dim", 1.0}}},
          {{scattered({2, 3}), tensor({0, 1}), scattered({3})}, {{"dim", 0.0}}},
          {{scattered({2, 3}), tensor({0, 1}), zeros({2, 2})}, {{"dim", 1.0}}},
          {{scattered({2, 3}), tensor({{0, 1}}), scattered({2, 2})}, {{"dim", 1.0}}},
          {{scattered({2, 3}), scattered({2}, 0, 1), scattered({2, 2})}, {{"dim", 1.0}}},
          {{scattered({}), tensor({0}), scattered({1})}, {{"dim", 0.0}}},
          {{scattered({2, 3}), tensor({0}), Tensor()}, {{"dim", 0.0}}}};
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
      {"index_select", "index_select",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {index_select(x[0], attrs.integer("dim"), x[1])};
       },
       [] {
         return Samples{{{scattered({3, 4}), tensor({2, 0, 2})}, {{"dim", 0.0}}},
                        {{scattered({2, 3, 2}), tensor({1, 1})}, {{"dim", -2.0}}},
                        {{scattered({3}), tensor(std::vector<int64_t>{}, {0})}, {{"dim", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3}), tensor({0, 3})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({-1})}, {{"dim", 0.0}}},
                        {{scattered({2, 3}), tensor({{0, 1}})}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), scattered({2}, 0, 1)}, {{"dim", 1.0}}},
                        {{scattered({2, 3}), tensor({0})}, {{"dim", 2.0}}},
                        {{scattered({}), tensor({0})}, {{"dim", 0.0}}},
                        {{Tensor(), tensor({0})}, {{"dim", 0.0}}}};
       }},
      {"index_add", "index_add", rows_added, added, false, 2, misfit_rows},
      {"index_add_", "index_add_", rows_added_inplace, added, false, 2, misfit_rows},
  };
}

}  // namespace gradus
