#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/core/regions.h>

#include <limits>
#include <memory>
#include <numeric>

#include "core_support.h"

/// The end of what there is: sizes near 2⁶³, graphs of 10⁵ leaves, passes in passes, and tensors that would
/// hold themselves.

namespace gradus {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max(), kLeast = std::numeric_limits<int64_t>::min(),
                  kHuge = int64_t{1} << 62;

/// One element, n times.
Tensor repeated(Scalar value, int64_t n, Dtype dtype) { return full({1}, value, dtype).expand({n}); }

// ---- sizes

TEST(Sizes, MoreViewsThanMemoryHoldsAreRefused) {
  for (const Tensor& x : {zeros({1}, kUInt8).expand({kHuge}), zeros({kHuge, 0})}) {
    EXPECT_EQ(error_of<Error>([&] { x.unbind(); }),
              "unbind: no memory for 4611686018427387904 values of 8 bytes");
    EXPECT_THROW(x.split(1), Error);
    EXPECT_THROW(x.chunk(kHuge), Error);
  }
}
TEST(Sizes, JoinedOnesAreAdded) {
  const Tensor u = zeros({1}, kUInt8).expand({kHuge});
  EXPECT_EQ(
      error_of<ShapeError>([&] {
        cat({u, u, u, u});
      }),
      "cat: the sizes in dim 0 add up to more than 63 bits: 4 tensors, number 1 of [4611686018427387904]");
  EXPECT_THROW(cat({u, u}), ShapeError);
  EXPECT_THROW(stack({u, u}), Error);
  EXPECT_THROW(stack({u, u, u, u}, 1), Error);
  const Tensor empty = zeros({0, kHuge});
  EXPECT_THROW(cat({empty, empty}, 1), ShapeError);
  EXPECT_EQ(cat({empty, empty}).shape(), (Shape{0, kHuge}));
  EXPECT_EQ(cat({zeros({0, kHuge}), zeros({0, kHuge - 1})}, 1).shape(), (Shape{0, kMost}));
}

TEST(Sizes, OfATensorWithoutElementsFitToo) {
  const Tensor none = zeros({0});
  for (const Shape& s : {Shape{0, kHuge, 4}, Shape{kHuge, 4, 0}, Shape{kHuge, 0, 4}, Shape{-1, kHuge, 4}}) {
    EXPECT_THROW(none.reshape(s), ShapeError) << s.str();
    EXPECT_THROW(none.expand(s), ShapeError) << s.str();
    EXPECT_THROW(zeros(s), ShapeError) << s.str();
  }
  for (const Shape& s : {Shape{0, kHuge}, Shape{kHuge, 0}, Shape{2, kHuge - 1, 0}, Shape{0, kMost}})
    EXPECT_EQ(none.reshape(s).shape(), zeros(s).shape());
  EXPECT_THROW(none.reshape({0, -1}), ShapeError);
  EXPECT_EQ(none.reshape({kHuge, -1}).shape(), (Shape{kHuge, 0}));
  EXPECT_THROW(none.reshape({kLeast}), ShapeError);
  EXPECT_THROW(none.reshape({0, kLeast}), ShapeError);
  EXPECT_THROW(none.expand({kLeast, 0}), ShapeError);
  EXPECT_EQ(zeros({0, 3, kHuge / 2}).flatten().shape(), Shape{0});
  EXPECT_EQ(zeros({3, 0, kHuge / 2}).flatten(1).shape(), (Shape{3, 0}));
}

// There is nothing to compute, and nothing to wait for; and nothing overflows, as the sanitizers see.
TEST(Sizes, BesideAZeroMayBeHuge) {
  for (const Shape& s : {Shape{0, kMost}, Shape{kMost, 0}, Shape{2, kHuge - 1, 0}, Shape{kHuge - 1, 0, 2},
                         Shape{3, 0, kHuge / 2}}) {
    SCOPED_TRACE(s.str());
    Tensor x = zeros(s, kFloat64).requires_grad_();
    const Tensor turned = x.transpose(0, -1);
    EXPECT_TRUE(turned.is_contiguous());
    for (const Tensor& t : {x * 1, turned * 1, turned.mT() * 1, turned}) {
      const Tensor y = tanh(t) * t + t - t.detach().clone() / (t + 1);
      EXPECT_EQ(y.shape(), t.shape());
      EXPECT_EQ(y.sum().item(), 0);
      EXPECT_EQ((t > 0).shape(), t.shape());
      EXPECT_EQ(where(t > 0, t, y).shape(), t.shape());
      EXPECT_TRUE(t.to(kInt64).to(kFloat32).to_vector().empty());
      EXPECT_EQ(softmax(t, 0).shape(), t.shape());
      EXPECT_EQ(log_softmax(t, -1).shape(), t.shape());
      EXPECT_EQ(cumsum(t, 0).shape(), t.shape());
      EXPECT_TRUE(std::isnan(t.mean().item()));
      EXPECT_THROW(max(t), ShapeError);
      EXPECT_EQ(t.flatten().shape(), Shape{0});
      y.sum().backward({}, true);
      Tensor written = t * 2;
      written.mul_(3).add_(t).copy_(y).fill_(2);
      for (int dim = 0; dim < t.dim(); dim++) {
        const int64_t n = t.size(dim);
        written.slice(dim, n / 2).add_(1);
        written.slice(dim, n).add_(1);
        // Each empty slice may begin at the end of the one before.
        Tensor cut = t;
        for (int k = 0; k < t.dim(); k++) cut = cut.slice(k, kMost);
        EXPECT_EQ((cut * cut).sum().item(), 0);
        EXPECT_EQ(t.slice(dim, kLeast, kMost, kMost).size(dim), n > 0);
        EXPECT_EQ(cat({t.slice(dim, 0, n / 2), t.slice(dim, n / 2)}, dim).shape(), t.shape());
        if (n == 0) continue;
        const Tensor last = t.select(dim, n - 1);
        EXPECT_EQ(last.numel(), 0);
        (last * last).unsqueeze(0).sum().backward({}, true);
      }
      written.sum().backward({}, true);
    }
    EXPECT_EQ(x.grad().shape(), s);
    EXPECT_EQ(grad({(x * x).sum()}, {x}, {}, {.create_graph = true})[0].shape(), s);
  }
  const Tensor none = zeros({0, kMost});
  EXPECT_EQ(sum(none, {1}).shape(), Shape{0});
  EXPECT_EQ(amax(none, {1}).shape(), Shape{0});
  EXPECT_EQ(std::get<1>(max(none, 1)).shape(), Shape{0});
  EXPECT_EQ(argmin(none, 1).shape(), Shape{0});
}

TEST(Sizes, ProductsOfManyMatricesWithoutElements) {
  const int64_t n = int64_t{1} << 50;
  const Tensor many = ones({1, 2, 3}).expand({n, 2, 3});
  EXPECT_EQ(matmul(many, zeros({3, 0})).shape(), (Shape{n, 2, 0}));
  EXPECT_EQ(matmul(many, zeros({1, 3, 0})).shape(), (Shape{n, 2, 0}));
  EXPECT_EQ(matmul(zeros({n, 0, 3}), zeros({3, 5})).shape(), (Shape{n, 0, 5}));
  EXPECT_THROW(matmul(many, zeros({kMost, 3, 0})), ShapeError);
  EXPECT_THROW(matmul(ones({1, 1}).expand({kHuge, 1}), ones({1, 1}).expand({1, kHuge})), ShapeError);
}

TEST(Sizes, BroadcastOnesAreMultiplied) {
  const Tensor column = ones({1, 1}).expand({kHuge, 1}), row = ones({1, 1}).expand({1, kHuge});
  EXPECT_THROW(column + row, ShapeError);
  EXPECT_THROW(static_cast<void>(column < row), ShapeError);
  EXPECT_THROW(where(column > row, 1, 0), Error);
  EXPECT_THROW(mse_loss(column, row), Error);
  EXPECT_THROW(column * ones({1}), Error);
}

TEST(Sizes, IndicesFarOutside) {
  const Tensor x = values({1, 2, 3}, {3});
  for (const int64_t i : {kLeast, kLeast + 3, kMost, int64_t{3}, int64_t{-4}}) {
    EXPECT_THROW(x.at({i}), IndexError) << i;
    EXPECT_THROW(x[i], IndexError) << i;
    EXPECT_THROW(x.select(0, i), IndexError) << i;
    EXPECT_THROW(x.size(i), IndexError) << i;
    EXPECT_THROW(x.transpose(i, 0), IndexError) << i;
    EXPECT_THROW(x.permute({i}), IndexError) << i;
    EXPECT_THROW(x.unsqueeze(i), IndexError) << i;
    EXPECT_THROW(x.flatten(i), IndexError) << i;
    EXPECT_THROW(x.sum({i}), IndexError) << i;
    EXPECT_THROW(argmax(x, i), IndexError) << i;
    EXPECT_THROW(softmax(x, i), IndexError) << i;
    EXPECT_THROW(cat({x}, i), IndexError) << i;
    EXPECT_THROW(stack({x}, i), IndexError) << i;
    EXPECT_THROW(gather(x, 0, tensor({i})), IndexError) << i;
    EXPECT_THROW(scatter_add(x, 0, tensor({i}), ones({1}, kFloat64)), IndexError) << i;
  }
  EXPECT_TRUE(equals(x.slice(0, kLeast, kMost), {1, 2, 3}));
  EXPECT_TRUE(equals(x.slice(0, kLeast, kMost, kMost), {1}));
  EXPECT_EQ(x.slice(0, kMost, kLeast).numel(), 0);
  EXPECT_EQ(x.slice(0, -2, kLeast).numel(), 0);
}

TEST(Sizes, RegionsLieInside) {
  const Tensor x = values({0, 1, 2, 3, 4, 5}, {2, 3});
  const auto region = [](const Shape& shape, std::initializer_list<int64_t> strides, int64_t offset) {
    return Layout(shape.rank(), shape.begin(), strides.begin(), offset);
  };
  EXPECT_TRUE(equals(as_strided(x, region({2, 2}, {1, 4}, 0)), {0, 4, 1, 5}));
  EXPECT_EQ(error_of<ShapeError>([&] {
              as_strided(x, region({2, 2}, {2, 4}, 0));
            }),
            "as_strided: the region of shape [2, 2] at 0 with strides [2, 4] is not inside of 6 elements");
  for (const Layout& outside :
       {region({2}, {1}, 5), region({2}, {1}, -1), region({2}, {-1}, 5), region({2}, {kMost}, 1),
        region({5, 5}, {kHuge, kHuge}, 0), region({kHuge, 4}, {0, 0}, 0), region({-1}, {1}, 0)}) {
    EXPECT_THROW(as_strided(x, outside), ShapeError);
    EXPECT_THROW(blank(x, outside), ShapeError);
    EXPECT_THROW(embed(ones({2}), outside, {2, 3}), ShapeError);
  }
  EXPECT_THROW(embed(ones({3}), region({2}, {1}, 0), {2, 3}), ShapeError);
  EXPECT_EQ(as_strided(x, region({0, kHuge}, {kHuge, 1}, kMost)).numel(), 0);
}

TEST(Sizes, RepeatedElementsAreCountedNotWalked) {
  EXPECT_EQ(repeated(1, kMost, kUInt8).sum().item<int64_t>(), kMost);
  EXPECT_EQ(repeated(3, kMost, kInt64).sum().item<int64_t>(), kMost - 2);  // wraps, as a sum does
  EXPECT_EQ(repeated(0.5, kMost, kFloat32).sum().item(), 0x1p62);
  EXPECT_EQ(repeated(0.5, kMost, kFloat64).mean().item(), 0.5);
  EXPECT_EQ(repeated(3e38, kMost, kFloat32).sum().item(), INFINITY);
  EXPECT_EQ(max(repeated(7, kMost, kUInt8)).item<int64_t>(), 7);
  EXPECT_EQ(min(repeated(-2.5, kMost, kFloat64)).item(), -2.5);
  EXPECT_TRUE(std::isnan(max(repeated(NAN, kMost, kFloat64)).item()));
  EXPECT_EQ(argmax(repeated(7, kMost, kFloat32), 0).item<int64_t>(), 0);
  EXPECT_EQ(argmin(repeated(NAN, kMost, kFloat32), 0).item<int64_t>(), 0);
  EXPECT_THROW(softmax(repeated(1, kMost, kFloat32), 0), Error);
  EXPECT_THROW(cumsum(repeated(1, kMost, kFloat32), 0), Error);

  // Beside dims that are walked.
  const Tensor x = values({1, -2, 3, 4, 5, -6}, {2, 1, 3}), wide = x.expand({2, kHuge / 8, 3});
  constexpr int64_t eighth = kHuge / 8;
  const auto n = static_cast<double>(eighth);
  EXPECT_TRUE(equals(sum(wide, {1}), {n, -2 * n, 3 * n, 4 * n, 5 * n, -6 * n}));
  EXPECT_TRUE(equals(sum(wide, {0, 1}), {5 * n, 3 * n, -3 * n}));
  EXPECT_TRUE(equals(sum(wide, {1, 2}, true), values({2 * n, 3 * n}, {2, 1, 1})));
  EXPECT_TRUE(equals(wide.mean(), {5. / 6}, 1e-15));
  EXPECT_TRUE(equals(amax(wide.transpose(0, 1), {0}), {1, -2, 3, 4, 5, -6}));
  EXPECT_TRUE(equals(amin(wide, {}), values({-6}, {})));
  EXPECT_TRUE(equals(std::get<1>(max(wide, 1)), {0, 0, 0, 0, 0, 0}));

  // The gradient of what is repeated is summed in the same way.
  Tensor leaf = x.detach().clone().requires_grad_();
  leaf.expand({2, kHuge / 8, 3}).sum().backward();
  EXPECT_TRUE(equals(leaf.grad(), values({n, n, n, n, n, n}, {2, 1, 3})));
}

TEST(Sizes, RepeatedIndicesAreCheckedOnce) {
  const Tensor index = repeated(3, kHuge, kInt64);
  EXPECT_EQ(error_of<IndexError>([&] { gather(ones({3}), 0, index); }),
            "gather: index 3 is out of range for dim 0 of [3]");
  EXPECT_THROW(gather(ones({4}), 0, index), Error);
  EXPECT_EQ(error_of<IndexError>([&] {
              cross_entropy(ones({1, 2}).expand({kHuge / 2, 2}), index.slice(0, 0, kHuge / 2));
            }),
            "cross_entropy: target 3 is not one of 2 classes");
  EXPECT_THROW(cross_entropy(ones({1, 4}).expand({kHuge / 4, 4}), index.slice(0, 0, kHuge / 4)), Error);
  // Which one is named is still the first.
  const Tensor rows = tensor({{0}, {5}, {7}}).expand({3, 4}), columns = tensor({{0, 5, 7}}).expand({4, 3});
  EXPECT_THROW(gather(ones({3, 4}), 0, rows), IndexError);
  EXPECT_EQ(error_of<IndexError>([&] {
              gather(ones({4, 3}), 1, columns);
            }),
            "gather: index 5 is out of range for dim 1 of [4, 3]");
}

TEST(Sizes, PiecesOfAnyNumberCoverIt) {
  for (const int64_t n : {int64_t{1}, int64_t{1000}, kHuge + 1, kMost - 1, kMost})
    for (const int64_t grain : {n / 1000 + 1, n / 3 + 1, n / 2 + 1, n - 1, n, kMost}) {
      std::atomic<uint64_t> sum{0};
      std::atomic<int> pieces{0}, wrong{0};
      parallel_for(n, grain, [&](int64_t begin, int64_t end) {
        wrong += begin < 0 || end <= begin || end > n || (n > grain && end - begin < grain);
        sum += static_cast<uint64_t>(end - begin);
        pieces++;
      });
      EXPECT_EQ(sum, static_cast<uint64_t>(n)) << n << " by " << grain;
      EXPECT_EQ(wrong, 0) << n << " by " << grain;
      EXPECT_LE(pieces, std::max<int64_t>(1, n / std::max<int64_t>(grain, 1)));
    }
}

TEST(Sizes, PrintedOnesAreFew) {
  EXPECT_EQ(str(zeros({int64_t{1} << 30, 0})),
            "tensor([[],\n        [],\n        [],\n        ...,\n        [],\n        [],\n        []], "
            "shape=[1073741824, 0])");
  EXPECT_LT(str(zeros({kHuge, 1, 0, 1})).size(), 1000u);
  EXPECT_LT(str(zeros({1000, 1000, 1000, 0})).size(), 10'000u);
  EXPECT_EQ(str(zeros({0, kMost})), "tensor([], shape=[0, 9223372036854775807])");
  EXPECT_EQ(str(zeros({3, 0, kHuge / 4})),
            "tensor([[],\n        [],\n        []], shape=[3, 0, 1152921504606846976])");
  EXPECT_EQ(str(repeated(1, kMost, kInt64)), "tensor([1, 1, 1, ..., 1, 1, 1])");
  EXPECT_LT(str(ones({3, 1}).expand({3, int64_t{1} << 60})).size(), 200u);
  EXPECT_EQ(str(ones({1, 1, 1, 1, 1, 1, 1, 1})), "tensor([[[[[[[[1.]]]]]]]])");
  Tensor x = zeros({int64_t{1} << 30, 0}).requires_grad_();
  EXPECT_LT(str(explain((x * 2).sum())).size(), 10'000u);
}

// ---- many of them

TEST(Many, LeavesInputsAndOutputs) {
  const auto per_leaf = [](size_t n) {
    Tensors x, y;
    for (size_t i = 0; i < n; i++) x.push_back(leaf({static_cast<double>(i)}));
    const Tensor sum = cat(x).sum();
    const Tensors g = grad({sum}, x, {}, {.retain_graph = true});
    for (size_t i = 0; i < n; i += n / 10) EXPECT_TRUE(equals(g[i], {1}));
    for (const Tensor& t : x) y.push_back(t * t);
    const Tensors each = grad(y, x, {}, {.retain_graph = true});
    for (size_t i = 0; i < n; i += n / 10) EXPECT_TRUE(equals(each[i], {2. * static_cast<double>(i)}));
    // Results as targets, and each of them twice.
    Tensors twice = y;
    twice.insert(twice.end(), y.begin(), y.end());
    const Tensors ones = grad(y, twice, {}, {.retain_graph = true});
    for (size_t i = 0; i < 2 * n; i += n / 5) EXPECT_TRUE(equals(ones[i], {1}));
    backward(y);
    EXPECT_TRUE(equals(x.back().grad(), {2. * static_cast<double>(n - 1)}));
  };
  const double small = seconds_of([&] { per_leaf(5'000); }), large = seconds_of([&] { per_leaf(40'000); });
  EXPECT_LT(large, 24 * small);  // 8 in proportion, 64 for a square
}

TEST(Many, TargetsOfOneNode) {
  // A target twice, one that is also on the way to another, and one that nothing leads to.
  Tensor x = leaf({2}), w = leaf({3}), unused = leaf({1});
  const Tensor h = x * w, y = h * h;
  const Tensors g =
      grad({y.sum()}, {x, h, x, w, h, y, unused}, {}, {.retain_graph = true, .allow_unused = true});
  const std::vector<double> wanted = {36, 12, 36, 24, 12, 1};
  for (size_t i = 0; i < wanted.size(); i++) EXPECT_TRUE(equals(g[i], {wanted[i]})) << i;
  EXPECT_FALSE(g[6].defined());
  EXPECT_NE(g[0].impl(), g[2].impl());
  EXPECT_EQ(error_of<GradError>([&] {
              grad({y.sum()}, {x, unused});
            }),
            "grad: no output depends on input 1; allow_unused gives an undefined gradient instead");
}

TEST(Many, HooksOfOneTensor) {
  Tensor x = leaf({1});
  std::vector<int64_t> ids;
  ids.reserve(100'000);
  for (int i = 0; i < 100'000; i++) ids.push_back(x.register_hook([](const Tensor& g) { return g; }));
  (x * 2).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2}));
  for (size_t i = 0; i < 100; i++) x.remove_hook(ids[ids.size() - 1 - i]);
}

struct Weighted {
  static constexpr auto name = "weighted";
  double by[10'000];  // attributes of any size
  Tensor value(const Tensor& x) const { return x * factor(); }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * factor(); }
  double factor() const { return std::accumulate(by, by + 10'000, 0.); }
};

TEST(Many, BytesOfAttributes) {
  const auto op = std::make_unique<Weighted>();
  std::fill(op->by, op->by + 10'000, 3e-4);
  Tensor x = leaf({1, 2});
  Tensor y = apply(*op, x);
  for (int i = 0; i < 3; i++) y = apply(*op, y);
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {81, 81}, 1e-9));
}

// ---- one inside of another

/// Runs passes in passes, each from `within` of the one before, until one is refused.
std::string nested(void (*within)(const Tensor& y, const std::function<void()>& f), int& deepest,
                   int most = std::numeric_limits<int>::max()) {
  int level = 0;
  std::function<void()> next = [&] {
    if (level == most) return;
    deepest = std::max(deepest, ++level);
    const EnableGrad recording;
    Tensor x = leaf({1});
    within(x, next);
    level--;
  };
  return error_of<GradError>(next);
}

void in_a_hook(const Tensor& x, const std::function<void()>& f) {
  const Tensor y = x * 2;
  y.register_hook([&](const Tensor&) { f(); });
  y.sum().backward();
}
void in_a_hook_of_a_leaf(const Tensor& x, const std::function<void()>& f) {
  x.register_hook([&](const Tensor&) { f(); });
  const Tensor g = grad({(x * 2).sum()}, {x})[0];
}
thread_local const std::function<void()>* in_rule = nullptr;
void in_a_rule(const Tensor& x, const std::function<void()>& f) {
  in_rule = &f;
  const Tensor y = custom(
      "nest", {x}, [](Context&, const Tensors& in) { return in[0] * 2; },
      [](const Context&, const Tensor& g) -> Tensors { return (*in_rule)(), Tensors{g * 2}; });
  y.sum().backward();
}
void in_a_trace(const Tensor& x, const std::function<void()>& f) {
  const Tensor y = x * 2;
  y.register_hook([&](const Tensor&) { f(); });
  const Explanation all = explain(y.sum());
}

TEST(Nested, PassesAreRefusedBeforeTheStackEnds) {
  for (const auto within : {in_a_hook, in_a_hook_of_a_leaf, in_a_rule, in_a_trace}) {
    int here = 0, small = 0;
    const std::string error = nested(within, here);
    EXPECT_TRUE(contains(error, fmt::format("backward: nested {} levels deep", here - 1))) << error;
    EXPECT_GT(here, pool::kBypassed ? 100 : 1000);  // the sanitizers' frames are larger
    on_small_stack([&] { EXPECT_TRUE(contains(nested(within, small), "levels deep")); });
    EXPECT_GT(small, 10);
    EXPECT_LT(small, here);
    // A refused one leaves nothing behind.
    int again = 0;
    EXPECT_EQ(nested(within, again, here - 1), "");
  }
  Tensor x = leaf({3});
  (x * x).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {6}));
}

// ---- what would hold itself

TEST(Leaks, GradientsThatLeadBackToTheirTensor) {
  const int64_t before = pool::live_blocks();
  {
    Tensor x = leaf({1, 2});
    x.set_grad(x);
    EXPECT_TRUE(equals(x.grad(), {1, 2}));
    (x * 3).sum().backward();
    EXPECT_TRUE(equals(x.grad(), {4, 5}));
    EXPECT_TRUE(equals(x, {1, 2}));  // it was not added to
  }
  for (const auto view :
       {+[](const Tensor& x) { return x.reshape({2}); }, +[](const Tensor& x) { return x.detach(); },
        +[](const Tensor& x) { return x.detach().slice(0, 0); },
        +[](const Tensor& x) { return x.unsqueeze(0).squeeze(0); }}) {
    Tensor x = leaf({1, 2}), plain = values({1, 2}, {2});
    for (Tensor* t : {&x, &plain}) {
      t->set_grad(view(*t));
      t->grad().mul_(5);
      EXPECT_TRUE(equals(*t, {1, 2}));
      EXPECT_TRUE(equals(t->grad(), {5, 10}));
    }
  }
  {
    Tensor a = leaf({1}), b = leaf({2}), c = values({3}, {1});
    a.set_grad(b);
    b.set_grad(c);
    c.set_grad(a);
    a.grad().set_grad(a);
    a.grad().grad().set_grad(a.grad());
    EXPECT_TRUE(equals(a.grad(), {2}));
  }
  {
    Tensor x = leaf({1}), y = x * x;
    x.set_grad(y);
    EXPECT_TRUE(equals(grad({x.grad()}, {x})[0], {2}));  // it still has its history
    Tensor w = leaf({1, 2}), v = w.reshape({2});
    v.set_grad(w);
    w.set_grad(v);
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Leaks, GradientsThatShareMemoryOtherwise) {
  // The halves of one buffer, the gradient being a handle to what the caller holds.
  const Tensor buffer = values({1, 2, 0, 0}, {4}), half = buffer.slice(0, 2);
  Tensor x = buffer.slice(0, 0, 2).detach().requires_grad_();
  x.set_grad(half);
  x.sum().backward();
  EXPECT_TRUE(equals(buffer, {1, 2, 1, 1}));
  x.set_grad(x.grad());
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

TEST(Leaks, HooksThatGiveTheirTensorUnderCreateGraph) {
  const int64_t before = pool::live_blocks();
  {
    Tensor a = leaf({1, 2}), b = leaf({3, 4});
    // By pointers: a copy would be held by the graph.
    a.register_hook([&b](const Tensor&) { return b.reshape({2}); });
    b.register_hook([&a](const Tensor&) { return a.detach().requires_grad_(); });
    (a * b).sum().backward({}, false, true);
    EXPECT_TRUE(equals(a.grad(), {3, 4}));
    EXPECT_TRUE(equals(b.grad(), {1, 2}));
    Tensor c = leaf({1, 2});
    c.register_hook([&c](const Tensor&) { return c.reshape({2}); });
    c.sum().backward({}, false, true);
    NoGrad no_grad;
    c.grad().zero_();
    EXPECT_TRUE(equals(c, {1, 2}));
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Leaks, HooksThatHoldWhatIsSaidOfThem) {
  const int64_t before = pool::live_blocks();
  {
    Tensor x = leaf({1, 2}), y = x * 2;
    y.register_hook([values = y.detach()](const Tensor& g) { return g * values; });
    const int64_t id = y.register_hook([y](const Tensor& g) { return g * y.detach(); });
    y.sum().backward();
    EXPECT_TRUE(equals(x.grad(), {8, 32}));
    y.remove_hook(id);
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Depth, ChainOfGradientsOfGradients) {
  on_small_stack([] {
    const int64_t before = pool::live_blocks();
    {
      Tensor x = values({1}, {1}), last = x;
      for (int i = 0; i < 300'000; i++) {
        last.set_grad(values({1}, {1}));
        last = last.grad();
      }
    }
    EXPECT_EQ(pool::live_blocks(), before);
  });
}

TEST(Depth, ChainOfHooksThatHoldTheTensorBefore) {
  on_small_stack([] {
    const int64_t before = pool::live_blocks();
    {
      Tensor last = leaf({1});
      for (int i = 0; i < 100'000; i++) {
        Tensor next = i % 2 ? leaf({1}) : leaf({1}) * 2;
        next.register_hook([last](const Tensor&) {});
        next.set_grad(last);
        last = next;
      }
    }
    EXPECT_EQ(pool::live_blocks(), before);
  });
}

// ---- gradients that are shared

void write(const Tensor& g) { Tensor(g).mul_(2); }

TEST(SharedGradients, HooksDoNotWriteIntoThem) {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor h = a * 1, c = values({1, 1}, {2});
  const std::string error =
      "backward: a hook on a result of 'mul' wrote into its gradient, which may be that of other tensors, "
      "too; return the new one instead";
  const int64_t id = h.register_hook(write);
  EXPECT_EQ(error_of<GradError>([&] { ((h + b) * c).sum().backward({}, true); }), error);
  EXPECT_EQ(error_of<GradError>([&] { explain(((h + b) * c).sum()); }), error);
  EXPECT_EQ(error_of<GradError>([&] { grad({((h + b) * c).sum()}, {a}); }), error);
  EXPECT_EQ(error_of<GradError>([&] { ((h + b) * c).sum().backward({}, false, true); }), error);
  EXPECT_FALSE(a.grad().defined() || b.grad().defined());
  h.remove_hook(id);
  const int64_t raw = h.register_hook([](const Tensor& g) {
    Tensor x = g;
    x.mutable_data<double>()[0] = 5;
  });
  EXPECT_EQ(error_of<GradError>([&] { ((h + b) * c).sum().backward({}, true); }), error);
  h.remove_hook(raw);
  const int64_t of_leaf = a.register_hook(write);
  EXPECT_TRUE(
      contains(error_of<GradError>([&] { ((a + b) * c).sum().backward({}, true); }), "a result of 'leaf'"));
  a.remove_hook(of_leaf);
  // What a hook may do: give a new one, or write into a copy.
  h.register_hook([](const Tensor& g) { return g.clone().mul_(2); });
  ((h + b) * c).sum().backward();
  EXPECT_TRUE(equals(a.grad(), {2, 2}));
  EXPECT_TRUE(equals(b.grad(), {1, 1}));
}

struct WritesIntoItsGradient {
  static constexpr auto name = "writes";
  Tensor value(const Tensor& x) const { return x.clone(); }
  Tensor vjp(In<0>, const Back& b) const { return Tensor(b.g()).mul_(2); }
};

TEST(SharedGradients, RulesDoNotWriteIntoThem) {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor of_function = custom(
      "own", {a}, [](Context&, const Tensors& in) { return in[0].clone(); },
      [](const Context&, const Tensor& g) -> Tensors { return {Tensor(g).mul_(2)}; });
  const Tensor of_op = apply(WritesIntoItsGradient{}, a);
  for (const auto& result : {std::pair{of_function, "own"}, std::pair{of_op, "writes"}}) {
    const Tensor& y = result.first;
    const std::string error = fmt::format(
        "backward: the rule of '{}' wrote into the gradient that it was given, which may be that of other "
        "tensors, too; compute a new one instead",
        result.second);
    const Tensor c = values({1, 1}, {2});
    EXPECT_EQ(error_of<GradError>([&] { ((y + b) * c).sum().backward(); }), error);
    EXPECT_EQ(error_of<GradError>([&] { explain(((y + b) * c).sum()); }), error);
    EXPECT_EQ(error_of<GradError>([&] { grad({((y + b) * c).sum()}, {a, b}); }), error);
    EXPECT_FALSE(a.grad().defined() || b.grad().defined());
  }
}

TEST(SharedGradients, HooksThatRemoveThemselvesWhileExplained) {
  Tensor x = leaf({1});
  const Tensor y = x * 2;
  int64_t first = 0;
  first = y.register_hook([&](const Tensor& g) {
    y.remove_hook(first);
    return g * 10;
  });
  y.register_hook([](const Tensor& g) { return g + 1; });
  explain(y.sum());
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {4}));
  y.register_hook([](const Tensor&) { return ones({3}); });
  EXPECT_THROW(explain(y.sum()), GradError);
}

// ---- hooks that are not there

TEST(RemoveHook, RefusesWhatIsNotThere) {
  Tensor x = leaf({1}), other = leaf({1});
  const auto error = [](int64_t id) {
    return fmt::format(
        "remove_hook: this tensor has no hook {}: it was removed before, belongs to another tensor, or to "
        "what "
        "this one was before a write in place",
        id);
  };
  EXPECT_EQ(error_of<GradError>([&] { x.remove_hook(12345); }), error(12345));
  const int64_t id = x.register_hook([](const Tensor& g) { return g * 2; });
  for (const int64_t wrong : {id + 1, id - 1, int64_t{0}, int64_t{-1}, kLeast, kMost})
    EXPECT_EQ(error_of<GradError>([&] { x.remove_hook(wrong); }), error(wrong));
  EXPECT_THROW(other.remove_hook(id), GradError);
  EXPECT_THROW((x * 2).remove_hook(id), GradError);
  EXPECT_EQ(error_of<GradError>([&] { x.detach().remove_hook(id); }),
            "remove_hook: this tensor does not require grad");
  EXPECT_NE(error_of([&] { Tensor().remove_hook(id); }).find("remove_hook: the tensor is undefined"),
            std::string::npos);
  x.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2}));
  x.remove_hook(id);
  EXPECT_EQ(error_of<GradError>([&] { x.remove_hook(id); }), error(id));
}

}  // namespace
}  // namespace gradus
