#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/autograd/ops/reduce.h>
#include <gradus/autograd/ops/table.h>

namespace gradus {
namespace {

using Samples = std::vector<OpSample>;

Reduction reduction(const Attrs& attrs) {
  const std::string word = attrs.word("reduction", "mean");
  if (word == "none") return Reduction::None;
  if (word == "sum") return Reduction::Sum;
  if (word == "mean") return Reduction::Mean;
  fail("attrs: no reduction '{}'", word);
}
Tensor optional(const Tensors& x, size_t i) { return i < x.size() ? x[i] : Tensor(); }

Tensors bce_with_logits(const Tensors& x, const Attrs& attrs) {
  const bool pos_weight = attrs.flag("has_pos_weight"),
             weight = attrs.flag("has_weight", x.size() > 2 && !pos_weight);
  return {binary_cross_entropy_with_logits(x[0], x[1], weight ? x[2] : Tensor(),
                                           pos_weight ? x[weight ? 3 : 2] : Tensor(), reduction(attrs))};
}
Tensors nll(const Tensors& x, const Attrs& attrs) {
  return {nll_loss(x[0], x[1], optional(x, 2), reduction(attrs), attrs.integer("ignore_index", -100))};
}
Tensors cross(const Tensors& x, const Attrs& attrs) {
  return {cross_entropy(x[0], x[1], optional(x, 2), reduction(attrs), attrs.integer("ignore_index", -100),
                        attrs.number("label_smoothing", 0))};
}

Samples classified() {
  return {{{scattered({3, 4}), tensor({1, 3, 0})}, {}},
          {{scattered({3, 4}), tensor({1, 3, 1})}, {{"reduction", "none"}, {"ignore_index", 1.0}}},
          {{scattered({2, 3, 2}), tensor({{0, 2}, {1, 1}})}, {{"reduction", "sum"}}},
          {{scattered({4}), tensor(2)}, {}}};
}
Samples misclassified() {
  return {{{scattered({2, 3}), tensor({0, 3})}, {}},
          {{scattered({2, 3}), tensor({0, -1})}, {{"reduction", "none"}}},
          {{scattered({2, 3}), tensor({0, 1, 2})}, {}},
          {{scattered({2, 3}), scattered({2}, 0, 1)}, {}},
          {{scattered({2, 3}), tensor({0, 1}), scattered({2}, 0, 1)}, {}},
          {{scattered({}), tensor(0)}, {}}};
}
Samples misfit_losses() {
  return {{{scattered({2}, 0, 1), scattered({2, 1}, 0, 1)}, {}},
          {{scattered({2, 3}, 0, 1), scattered({3}, 0, 1)}, {}},
          {{Tensor(), scattered({3}, 0, 1)}, {}}};
}

}  // namespace

std::vector<OpRow> loss_rows() {
  return {
      {"mse_loss", "mse_loss",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {mse_loss(x[0], x[1], reduction(attrs))};
       },
       [] {
         return Samples{{{scattered({2, 3}), scattered({2, 3}, -2, 2, 1)}, {}},
                        {{scattered({2, 3}), scattered({2, 3}, -2, 2, 1)}, {{"reduction", "none"}}},
                        {{scattered({2, 3}), scattered({2, 3}, -2, 2, 1)}, {{"reduction", "sum"}}}};
       },
       false, 2, misfit_losses},
      {"bce_loss", "binary_cross_entropy",
       [](const Tensors& x, const Attrs& attrs) -> Tensors {
         return {binary_cross_entropy(x[0], x[1], optional(x, 2), reduction(attrs))};
       },
       [] {
         const Tensor p = scattered({2, 3}, 0.1, 0.9), t = scattered({2, 3}, 0, 1, 1);
         return Samples{{{p, t}, {}},
                        {{p, t, scattered({3}, 0.5, 2, 2)}, {{"reduction", "none"}}},
                        {{p, t}, {{"reduction", "sum"}}}};
       },
       false, 2,
       [] {
         Samples samples = misfit_losses();
         samples.push_back({{scattered({2}, 0, 1), scattered({2}, 0, 1), scattered({2, 1}, 0, 1)}, {}});
         samples.push_back({{tensor({0.5, 1.5}), tensor({0.0, 1.0})}, {}});
         samples.push_back({{tensor({0.5, -0.5}), tensor({0.0, 1.0})}, {}});
         samples.push_back(
             {{tensor({0.5, std::numeric_limits<double>::quiet_NaN()}), tensor({0.0, 1.0})}, {}});
         return samples;
       }},
      {"bce_with_logits", "binary_cross_entropy_with_logits", bce_with_logits,
       [] {
         const Tensor z = scattered({2, 3}), t = scattered({2, 3}, 0, 1, 1), w = scattered({3}, 0.5, 2, 2),
                      pw = scattered({3}, 0.5, 2, 3);
         return Samples{{{z, t}, {}},
                        {{z, t, w}, {{"has_weight", 1.0}, {"reduction", "none"}}},
                        {{z, t, pw}, {{"has_pos_weight", 1.0}, {"reduction", "sum"}}},
                        {{z, t, w, pw}, {{"has_weight", 1.0}, {"has_pos_weight", 1.0}}}};
       },
       false, 2,
       [] {
         Samples samples = misfit_losses();
         const Tensor z = scattered({2}), t = scattered({2}, 0, 1), w = scattered({2, 1}, 0.5, 2);
         samples.push_back({{z, t, w}, {{"has_weight", 1.0}}});
         samples.push_back({{z, t, w}, {{"has_pos_weight", 1.0}}});
         return samples;
       }},
      {"nll_loss", "nll_loss", nll,
       [] {
         Samples samples = classified();
         samples.push_back({{scattered({3, 4}), tensor({1, 3, 0}), scattered({4}, 0.5, 2, 1)}, {}});
         return samples;
       },
       false, 2, misclassified},
      {"cross_entropy", "cross_entropy", cross,
       [] {
         Samples samples = classified();
         samples.push_back(
             {{scattered({3, 4}), tensor({1, 3, 0}), scattered({4}, 0.5, 2, 1)}, {{"label_smoothing", 0.1}}});
         samples.push_back(
             {{scattered({3, 4}), softmax(scattered({3, 4}, -2, 2, 1), 1)}, {{"label_smoothing", 0.2}}});
         return samples;
       },
       false, 2,
       [] {
         Samples samples = misclassified();
         samples.push_back({{scattered({2, 3}), tensor({0, 1})}, {{"label_smoothing", 1.5}}});
         samples.push_back({{zeros({2, 0}), tensor({0, 1})}, {}});
         return samples;
       }},
  };
}

}  // namespace gradus
