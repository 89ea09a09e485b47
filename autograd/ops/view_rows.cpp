#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

template <Tensor (Tensor::*f)() const>
Tensors member(const Tensors& x, const Attrs&) {
  return {(x[0].*f)()};
}

Tensors slice(const Tensors& x, const Attrs& attrs) {
  const auto end = attrs.has("end") ? std::optional(attrs.integer("end")) : std::nullopt;
  return {x[0].slice(attrs.integer("dim"), attrs.integer("start", 0), end, attrs.integer("step", 1))};
}

Tensors split(const Tensors& x, const Attrs& attrs) {
  const int64_t dim = attrs.integer("dim", 0);
  if (attrs.has("size")) return x[0].split(attrs.integer("size"), dim);
  const Shape sizes = attrs.shape("sizes");
  return x[0].split(std::vector<int64_t>(sizes.begin(), sizes.end()), dim);
}

Dtype dtype_of_word(const std::string& word) {
  for (Dtype d : {kBool, kUInt8, kInt64, kFloat32, kFloat64})
    if (word == name_of(d)) return d;
  fail<DtypeError>("attrs: no dtype '{}'", word);
}

Samples cube() { return {{{scattered({2, 3, 4})}, {}}}; }
Samples undefined_view() { return {{{Tensor()}, {}}}; }
/// Multiples of 1/64, which float32 holds exactly.
Samples short_numbers() {
  std::vector<double> x(6);
  for (size_t i = 0; i < 6; i++) x[i] = (7 * static_cast<double>(i) - 15) / 64;
  return {{{tensor(x, {2, 3}, kFloat64)}, {{"dtype", "float32"}}},
          {{scattered({2, 3})}, {{"dtype", "float64"}}},
          {{scattered({2, 3})}, {{"dtype", "int64"}}}};
}

}  // namespace

std::vector<OpRow> view_rows() {
  return {
      {"transpose", "Tensor::transpose",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {x[0].transpose(attrs.integer("dim0"), attrs.integer("dim1"))};
       },
       [] {
         return Samples{{{scattered({2, 3, 4})}, {{"dim0", 0.0}, {"dim1", -1.0}}},
                        {{scattered({2, 3})}, {{"dim0", 1.0}, {"dim1", 1.0}}},
                        {{scattered({})}, {{"dim0", 0.0}, {"dim1", -1.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"dim0", 0.0}, {"dim1", 2.0}}},
                        {{scattered({2, 3})}, {{"dim0", -3.0}, {"dim1", 0.0}}}};
       }},
      {"permute", "Tensor::permute",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {x[0].permute(attrs.shape("dims"))}; },
       [] {
         return Samples{{{scattered({2, 3, 4})}, {{"dims", std::vector{2.0, 0.0, -2.0}}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"dims", std::vector{0.0, 0.0}}}},
                        {{scattered({2, 3})}, {{"dims", std::vector{0.0}}}},
                        {{scattered({2, 3})}, {{"dims", std::vector{0.0, 2.0}}}}};
       }},
      {"t", "Tensor::t", member<&Tensor::t>,
       [] {
         return Samples{{{scattered({2, 3})}, {}}, {{scattered({3})}, {}}};
       },
       false, 2, cube},
      {"mT", "Tensor::mT", member<&Tensor::mT>, cube, false, 2,
       [] {
         return Samples{{{scattered({3})}, {}}};
       }},
      {"expand", "Tensor::expand",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {x[0].expand(attrs.shape("shape"))}; },
       [] {
         return Samples{{{scattered({3, 1})}, {{"shape", std::vector{2.0, -1.0, 4.0}}}},
                        {{scattered({})}, {{"shape", std::vector{2.0, 3.0}}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"shape", std::vector{4.0, 3.0}}}},
                        {{scattered({2, 3})}, {{"shape", std::vector{3.0}}}},
                        {{scattered({3})}, {{"shape", std::vector{-1.0, 3.0}}}},
                        {{scattered({3})}, {{"shape", std::vector{-2.0, 3.0}}}}};
       }},
      {"reshape", "Tensor::reshape",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {x[0].reshape(attrs.shape("shape"))}; },
       [] {
         return Samples{{{scattered({2, 3, 4})}, {{"shape", std::vector{6.0, -1.0}}}},
                        {{scattered({1})}, {{"shape", std::vector<double>{}}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"shape", std::vector{4.0, -1.0}}}},
                        {{scattered({2, 3})}, {{"shape", std::vector{5.0}}}},
                        {{scattered({2, 3})}, {{"shape", std::vector{-1.0, -1.0}}}},
                        {{scattered({0, 3})}, {{"shape", std::vector{0.0, -1.0}}}},
                        {{scattered({2, 3})}, {{"shape", std::vector{-2.0, -3.0}}}}};
       }},
      {"flatten", "Tensor::flatten",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {x[0].flatten(attrs.integer("start_dim", 0), attrs.integer("end_dim", -1))};
       },
       [] {
         return Samples{{{scattered({2, 3, 4})}, {{"start_dim", 1.0}}}, {{scattered({})}, {}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"start_dim", 1.0}, {"end_dim", 0.0}}},
                        {{scattered({2, 3})}, {{"start_dim", 2.0}}}};
       }},
      {"squeeze", "Tensor::squeeze",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {attrs.has("dim") ? x[0].squeeze(attrs.integer("dim")) : x[0].squeeze()};
       },
       [] {
         return Samples{{{scattered({1, 3, 1, 2})}, {}},
                        {{scattered({2, 1, 3})}, {{"dim", -2.0}}},
                        {{scattered({2, 3})}, {{"dim", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({1, 3})}, {{"dim", 2.0}}}};
       }},
      {"unsqueeze", "Tensor::unsqueeze",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {x[0].unsqueeze(attrs.integer("dim"))}; },
       [] {
         return Samples{{{scattered({2, 3})}, {{"dim", 1.0}}}, {{scattered({2, 3})}, {{"dim", -1.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({3})}, {{"dim", 2.0}}}};
       }},
      {"select", "Tensor::select",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {x[0].select(attrs.integer("dim"), attrs.integer("index"))};
       },
       [] {
         return Samples{{{scattered({2, 3, 4})}, {{"dim", 1.0}, {"index", -1.0}}},
                        {{scattered({3})}, {{"dim", 0.0}, {"index", 1.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"dim", 0.0}, {"index", 2.0}}},
                        {{scattered({2, 3})}, {{"dim", 0.0}, {"index", -3.0}}},
                        {{scattered({2, 3})}, {{"dim", 2.0}, {"index", 0.0}}},
                        {{scattered({})}, {{"dim", 0.0}, {"index", 0.0}}}};
       }},
      {"row", "Tensor::operator[]",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return {x[0][attrs.integer("index")]}; },
       [] {
         return Samples{{{scattered({3, 2})}, {{"index", -1.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({3, 2})}, {{"index", 3.0}}}, {{scattered({})}, {{"index", 0.0}}}};
       }},
      {"slice", "Tensor::slice", slice,
       [] {
         return Samples{{{scattered({2, 7})}, {{"dim", 1.0}, {"start", -6.0}, {"end", 6.0}, {"step", 2.0}}},
                        {{scattered({5, 2})}, {{"dim", 0.0}, {"start", 3.0}}},
                        {{scattered({5, 2})}, {{"dim", 0.0}, {"start", 4.0}, {"end", 2.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({5})}, {{"dim", 0.0}, {"step", 0.0}}},
                        {{scattered({5})}, {{"dim", 0.0}, {"step", -1.0}}},
                        {{scattered({5})}, {{"dim", 1.0}}},
                        {{scattered({})}, {{"dim", 0.0}}}};
       }},
      {"narrow", "Tensor::narrow",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {x[0].narrow(attrs.integer("dim"), attrs.integer("start"), attrs.integer("length"))};
       },
       [] {
         return Samples{{{scattered({2, 5})}, {{"dim", 1.0}, {"start", 1.0}, {"length", 3.0}}},
                        {{scattered({4, 2})}, {{"dim", 0.0}, {"start", -2.0}, {"length", 2.0}}},
                        {{scattered({4, 2})}, {{"dim", 0.0}, {"start", 4.0}, {"length", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({5})}, {{"dim", 0.0}, {"start", 3.0}, {"length", 3.0}}},
                        {{scattered({5})}, {{"dim", 0.0}, {"start", 6.0}, {"length", 0.0}}},
                        {{scattered({5})}, {{"dim", 0.0}, {"start", -6.0}, {"length", 1.0}}},
                        {{scattered({5})}, {{"dim", 0.0}, {"start", 1.0}, {"length", -1.0}}},
                        {{scattered({5})}, {{"dim", 1.0}, {"start", 0.0}, {"length", 1.0}}},
                        {{scattered({})}, {{"dim", 0.0}, {"start", 0.0}, {"length", 0.0}}}};
       }},
      {"split", "Tensor::split", split,
       [] {
         return Samples{{{scattered({5, 2})}, {{"size", 2.0}}},
                        {{scattered({2, 4})}, {{"sizes", std::vector{1.0, 0.0, 3.0}}, {"dim", -1.0}}},
                        {{scattered({0, 2})}, {{"size", 0.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({5})}, {{"size", 0.0}}},
                        {{scattered({5})}, {{"size", -1.0}}},
                        {{scattered({5})}, {{"size", 1.0}, {"dim", 1.0}}},
                        {{scattered({5})}, {{"sizes", std::vector{2.0, 2.0}}}},
                        {{scattered({5})}, {{"sizes", std::vector{6.0, -1.0}}}},
                        {{scattered({})}, {{"size", 1.0}}},
                        {{Tensor()}, {{"size", 1.0}}}};
       }},
      {"chunk", "Tensor::chunk",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return x[0].chunk(attrs.integer("chunks"), attrs.integer("dim", 0));
       },
       [] {
         return Samples{{{scattered({5, 2})}, {{"chunks", 3.0}}},
                        {{scattered({2, 3})}, {{"chunks", 9.0}, {"dim", -1.0}}},
                        {{scattered({0, 2})}, {{"chunks", 2.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({5})}, {{"chunks", 0.0}}},
                        {{scattered({5})}, {{"chunks", -1.0}}},
                        {{scattered({5})}, {{"chunks", 2.0}, {"dim", 1.0}}},
                        {{scattered({})}, {{"chunks", 1.0}}},
                        {{Tensor()}, {{"chunks", 1.0}}}};
       }},
      {"unbind", "Tensor::unbind",
       [](const Tensors& x, const Attrs& attrs) -> Tensors { return x[0].unbind(attrs.integer("dim", 0)); },
       [] {
         return Samples{{{scattered({3, 2})}, {}}, {{scattered({2, 3, 2})}, {{"dim", -2.0}}}};
       },
       false, 2,
       [] {
         return Samples{{{scattered({2, 3})}, {{"dim", 2.0}}}, {{scattered({})}, {}}, {{Tensor()}, {}}};
       }},
      {"detach", "Tensor::detach", member<&Tensor::detach>, cube, false, 0, undefined_view},
      {"clone", "Tensor::clone", member<&Tensor::clone>, cube, false, 2, undefined_view},
      {"contiguous", "Tensor::contiguous", member<&Tensor::contiguous>,
       [] {
         return Samples{{{scattered({2, 3})}, {}}, {{scattered({2, 3}).t()}, {}}};
       },
       false, 2, undefined_view},
      {"to", "Tensor::to",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {x[0].to(dtype_of_word(attrs.word("dtype", "float32")))};
       },
       short_numbers, false, 2, undefined_view},
  };
}

}  // namespace gradus
