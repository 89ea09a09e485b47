#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/reduce.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;
using List = std::vector<double>;

template <Tensor (*all)(const Tensor&), Tensor (*over)(const Tensor&, const Shape&, bool)>
Tensors reduction(const Tensors& x, const Attrs& attrs) {
  if (!attrs.has("dim") && !attrs.has("keepdim")) return {all(x[0])};
  return {over(x[0], attrs.has("dim") ? attrs.shape("dim") : Shape{}, attrs.flag("keepdim"))};
}
template <Tensor (*f)(const Tensor&)>
Tensors over_all(const Tensors& x, const Attrs&) {
  return {f(x[0])};
}
template <Tensor (*f)(const Tensor&, const Shape&, bool)>
Tensors over_dims(const Tensors& x, const Attrs& attrs) {
  return {f(x[0], attrs.has("dim") ? attrs.shape("dim") : Shape{}, attrs.flag("keepdim"))};
}
template <std::tuple<Tensor, Tensor> (*f)(const Tensor&, int64_t, bool)>
Tensors with_index(const Tensors& x, const Attrs& attrs) {
  const std::tuple<Tensor, Tensor> y = f(x[0], attrs.integer("dim"), attrs.flag("keepdim"));
  return {std::get<0>(y), std::get<1>(y)};
}
template <Tensor (*f)(const Tensor&, int64_t, bool)>
Tensors index_of(const Tensors& x, const Attrs& attrs) {
  if (!attrs.has("dim")) return {f(x[0].flatten(), 0, false)};
  return {f(x[0], attrs.integer("dim"), attrs.flag("keepdim"))};
}
template <Tensor (*f)(const Tensor&, int64_t)>
Tensors along(const Tensors& x, const Attrs& attrs) {
  return {f(x[0], attrs.integer("dim"))};
}

Samples any_shape() { return {{{scattered({2, 3, 2})}, {}}, {{scattered({})}, {}}}; }
Samples some_dims() {
  return {{{scattered({2, 3, 2})}, {}},
          {{scattered({2, 3, 2})}, {{"dim", 1.0}}},
          {{scattered({2, 3, 2})}, {{"dim", List{0, -1}}, {"keepdim", 1.0}}},
          {{scattered({})}, {{"dim", -1.0}}}};
}
Samples empty_sums() {
  Samples samples = some_dims();
  samples.push_back({{zeros({0, 3}, kFloat64)}, {{"dim", 0.0}}});
  return samples;
}
Samples one_dim() {
  return {{{scattered({2, 3, 2})}, {{"dim", 1.0}}},
          {{scattered({2, 3, 2})}, {{"dim", -2.0}, {"keepdim", 1.0}}},
          {{scattered({})}, {{"dim", 0.0}}}};
}

Samples bad_dims() {
  return {{{scattered({2, 3})}, {{"dim", 2.0}}},
          {{scattered({2, 3})}, {{"dim", -3.0}}},
          {{scattered({2, 3})}, {{"dim", List{0, -2}}}},
          {{Tensor()}, {}}};
}
Samples nothing_to_choose() {
  return {{{zeros({0})}, {}}, {{zeros({2, 0})}, {{"dim", 1.0}}}, {{scattered({2, 3})}, {{"dim", 2.0}}}};
}
Samples nothing_at_all() { return {{{zeros({0})}, {}}, {{Tensor()}, {}}}; }
Samples bad_dim() { return {{{scattered({2, 3})}, {{"dim", 2.0}}}, {{scattered({})}, {{"dim", 1.0}}}}; }

}  // namespace

std::vector<OpRow> reduce_rows() {
  return {
      {"sum", "sum", reduction<sum, sum>, empty_sums, false, 2, bad_dims},
      {"mean", "mean", reduction<mean, mean>, some_dims, false, 2, bad_dims},
      {"max_all", "max", over_all<max>, any_shape, false, 2, nothing_at_all},
      {"min_all", "min", over_all<min>, any_shape, false, 2, nothing_at_all},
      {"amax", "amax", over_dims<amax>, some_dims, false, 2, nothing_to_choose},
      {"amin", "amin", over_dims<amin>, some_dims, false, 2, nothing_to_choose},
      {"max_dim", "max", with_index<max>, one_dim, false, 2, nothing_to_choose},
      {"min_dim", "min", with_index<min>, one_dim, false, 2, nothing_to_choose},
      {"argmax", "argmax", index_of<argmax>, one_dim, false, 0, nothing_to_choose},
      {"argmin", "argmin", index_of<argmin>, one_dim, false, 0, nothing_to_choose},
      {"cumsum", "cumsum", along<cumsum>, one_dim, false, 2, bad_dim},
      {"softmax", "softmax", along<softmax>, one_dim, false, 2, bad_dim},
      {"log_softmax", "log_softmax", along<log_softmax>, one_dim, false, 2, bad_dim},
      {"sum_to", "sum_to",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {sum_to(x[0], attrs.shape("shape"))}; },
       [] {
         return Samples{{{scattered({2, 3, 2})}, {{"shape", List{3, 1}}}},
                        {{scattered({2, 3})}, {{"shape", List{2, 3}}}},
                        {{scattered({2, 3})}, {{"shape", List{}}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"shape", List{2}}}}};
       }},
  };
}

}  // namespace gradus
