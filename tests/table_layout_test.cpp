#include "conformance.h"
#include "table_support.h"

#include <gradus/autograd/ops/join.h>

/// What an op computes does not depend on how its operands lie in memory, nor on who broadcasts them.
namespace gradus::table {
namespace {

using conformance::difference;
using Relayout = Tensor (*)(const Tensor&);

// The same elements in other places; all three are views, so that an in-place op writes through them.
Tensor transposed(const Tensor& x) {
  Shape back;
  for (int i = x.shape().rank(); i-- > 0;) back.push_back(i);
  return x.permute(back).clone().permute(back);
}
Tensor every_second(const Tensor& x) { return stack({x, x}, -1).select(-1, 0); }
Tensor second_half(const Tensor& x) { return stack({x, x})[1]; }
constexpr Relayout kLayouts[] = {transposed, every_second, second_half};

Tensor row_major(const Tensor& x) { return x.clone(); }

/// The first row of x over all of x: stride 0.
Tensor expanded(const Tensor& x) {
  return x.dim() == 0 || x.size(0) == 0 ? x : x.slice(0, 0, 1).expand(x.shape());
}
Tensor expanded_row_major(const Tensor& x) { return expanded(x).clone(); }

struct Pass {
  Tensors y, dx;
};

/// Results and gradients where input `which` went through `layout`, and the results' gradients through
/// `g_layout`.
Pass pass(const OpRow& row, const OpSample& sample, size_t which, Relayout layout, Relayout g_layout) {
  const Tensors all = leaves(sample.inputs);
  Tensors laid = all;
  if (in_place(row)) laid[0] = laid[0].clone();
  if (which < laid.size()) laid[which] = layout(laid[which]);
  Pass p{row.call(laid, sample.attrs), {}};
  const Tensors y = recorded_of(p.y);
  Tensors g = random_gradients(y, 5);
  for (Tensor& t : g) t = g_layout(t);
  p.dx = gradients(y, floating_of(all), g);
  for (Tensor& t : p.y) t = t.detach().clone();
  return p;
}

/// A sum may be taken in another order: the last digits may differ.
void expect_close(const Pass& got, const Pass& want, const std::string& where) {
  const auto same = [&](const Tensors& a, const Tensors& b, const char* what) {
    ASSERT_EQ(a.size(), b.size()) << where;
    for (size_t i = 0; i < a.size(); i++)
      EXPECT_EQ(difference(a[i], b[i], 1e-13, 1e-14), "") << where << ", " << what << " " << i;
  };
  same(got.y, want.y, "result");
  same(got.dx, want.dx, "gradient of input");
}

TEST(Table, StridedInputsGiveTheSame) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    const Pass want = pass(row, sample, ~size_t{0}, row_major, row_major);
    for (size_t i = 0; i < sample.inputs.size(); i++)
      for (const Relayout layout : kLayouts)
        expect_close(pass(row, sample, i, layout, row_major), want,
                     place(row, k, "strided input " + std::to_string(i)));
  });
}

TEST(Table, ExpandedInputsGiveTheSame) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    for (size_t i = in_place(row) ? 1 : 0; i < sample.inputs.size(); i++)
      expect_close(pass(row, sample, i, expanded, row_major),
                   pass(row, sample, i, expanded_row_major, row_major),
                   place(row, k, "expanded input " + std::to_string(i)));
  });
}

TEST(Table, StridedGradientsGiveTheSame) {
  for_each_sample(differentiable, [](const OpRow& row, const OpSample& sample, size_t k) {
    const size_t none = ~size_t{0};
    const Pass want = pass(row, sample, none, row_major, row_major);
    for (const Relayout layout : kLayouts)
      expect_close(pass(row, sample, none, row_major, layout), want, place(row, k, "strided gradient"));
    expect_close(pass(row, sample, none, row_major, expanded),
                 pass(row, sample, none, row_major, expanded_row_major), place(row, k, "expanded gradient"));
  });
}

bool pointwise_row(const OpRow& row) { return row.pointwise; }

/// The shape of the sample's result: all its inputs broadcast.
Shape common_shape(const OpSample& sample) {
  Shape shape;
  for (const Tensor& x : sample.inputs) shape = broadcast("table", shape, x.shape());
  return shape;
}

TEST(Table, EachInputBroadcasts) {
  int64_t compared = 0;
  for_each_sample(pointwise_row, [&](const OpRow& row, const OpSample& sample, size_t k) {
    const Shape shape = common_shape(sample);
    OpSample full = sample;
    for (Tensor& x : full.inputs) x = x.expand(shape).clone();
    for (size_t i = in_place(row) ? 1 : 0; i < full.inputs.size(); i++) {
      if (full.inputs.size() == 1) continue;
      Tensor narrow = full.inputs[i];
      // Size-1 dims from the left, one more each time, then none at all.
      for (int dim = 0; dim <= shape.rank(); dim++) {
        if (dim < shape.rank())
          narrow = narrow.slice(dim, 0, 1).clone();
        else
          narrow = narrow.reshape({});
        OpSample broadcast = full, wide = full;
        broadcast.inputs[i] = narrow;
        wide.inputs[i] = narrow.expand(shape).clone();
        Pass got = pass(row, broadcast, ~size_t{0}, row_major, row_major);
        Pass want = pass(row, wide, ~size_t{0}, row_major, row_major);
        size_t at = 0;
        for (size_t j = 0; j < i; j++) at += is_floating(full.inputs[j].dtype());
        if (is_floating(narrow.dtype())) {
          Tensor& summed = want.dx[at];
          while (summed.dim() > narrow.dim()) summed = summed.sum({0});
          for (int d = 0; d < narrow.shape().rank(); d++)
            if (narrow.shape()[d] == 1) summed = summed.sum({d}, true);
        }
        expect_close(got, want,
                     place(row, k, "input " + std::to_string(i) + " of shape " + narrow.shape().str()));
        compared++;
      }
    }
  });
  EXPECT_GT(compared, 100);
}

// A vector's lanes, its masked tail and a 0-d tensor are computed by the same rule: the bits are equal.
TEST(Table, EveryLengthGivesTheBitsOfOneElement) {
  const std::vector<int64_t> some = {0, 1, 2, 3, 5, 8, 13, 16, 17, 33};
  for_each_sample(pointwise_row, [&](const OpRow& row, const OpSample& sample, size_t k) {
    const Shape shape = common_shape(sample);
    std::vector<int64_t> lengths = some;
    for (int64_t n = 0; is_long() && n < 70; n++) lengths.push_back(n);
    for (const Dtype dtype : {kFloat64, kFloat32})
      for (const int64_t n : lengths) {
        OpSample line = sample;
        for (Tensor& x : line.inputs) {
          const Tensor flat = x.expand(shape).flatten();
          Tensors parts;
          for (int64_t left = n; left > 0; left -= flat.numel()) parts.push_back(flat.slice(0, 0, left));
          x = parts.empty() ? flat.slice(0, 0, 0) : gradus::cat(parts);
          if (is_floating(x.dtype())) x = x.to(dtype);
        }
        const Pass whole = pass(row, line, ~size_t{0}, row_major, row_major);
        ASSERT_EQ(whole.y[0].shape().str(), Shape{n}.str()) << place(row, k);
        for (int64_t e = 0; e < n; e++) {
          const Tensors all = leaves([&] {
            Tensors one;
            for (const Tensor& x : line.inputs) one.push_back(x[e]);
            return one;
          }());
          const Tensors y = run(row, all, line.attrs), recorded = recorded_of(y);
          const std::string where =
              place(row, k, "length " + std::to_string(n) + ", element " + std::to_string(e));
          ASSERT_TRUE(same_bits(y[0], whole.y[0][e])) << where << ": " << y[0] << " and " << whole.y[0][e];
          if (recorded.empty()) continue;
          const Tensors g = {random_gradients({whole.y[0]}, 5)[0][e]};
          const Tensors dx = gradients(recorded, floating_of(all), g);
          for (size_t i = 0; i < dx.size(); i++)
            ASSERT_TRUE(same_bits(dx[i], whole.dx[i][e])) << where << ", gradient of input " << i;
        }
      }
  });
}

TEST(Table, EmptyInputsGiveEmptyResults) {
  for_each_sample(pointwise_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    OpSample empty = sample;
    for (Tensor& x : empty.inputs) x = zeros({2, 0, 3}, x.dtype());
    const Pass p = pass(row, empty, ~size_t{0}, row_major, row_major);
    EXPECT_EQ(p.y[0].shape().str(), "[2, 0, 3]") << place(row, k);
    for (const Tensor& dx : p.dx) EXPECT_EQ(dx.shape().str(), "[2, 0, 3]") << place(row, k);
    // Against a size-1 operand: its gradient is a sum over nothing.
    for (size_t i = in_place(row) ? 1 : 0; i < sample.inputs.size() && sample.inputs.size() > 1; i++) {
      OpSample mixed = empty;
      mixed.inputs[i] = ones({3}, kFloat64).to(mixed.inputs[i].dtype());
      const Tensors all = leaves(mixed.inputs);
      const Tensors y = run(row, all, mixed.attrs), recorded = recorded_of(y);
      EXPECT_EQ(y[0].shape().str(), "[2, 0, 3]") << place(row, k);
      if (recorded.empty() || !all[i].requires_grad()) continue;
      const Tensor dx = gradients(recorded, {all[i]}, random_gradients(recorded, 1))[0];
      EXPECT_EQ(difference(dx, zeros({3}, kFloat64), 0, 0), "") << place(row, k);
    }
  });
}

}  // namespace
}  // namespace gradus::table
