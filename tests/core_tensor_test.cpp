#include <gradus/autograd/base/pool.h>

#include <limits>
#include <sstream>

#include "core_support.h"
#include "needs.h"

namespace gradus {
namespace {

constexpr Dtype kAll[] = {kBool, kUInt8, kInt64, kFloat32, kFloat64};

// ---- creation, elements, conversions

TEST(Create, ShapesAndDtypes) {
  EXPECT_EQ(zeros({2, 3}).dtype(), kFloat32);
  for (Dtype d : kAll) {
    EXPECT_TRUE(equals(zeros({2}, d), {0, 0}));
    EXPECT_TRUE(equals(ones({2}, d), {1, 1}));
    EXPECT_EQ(ones({2}, d).dtype(), d);
    EXPECT_EQ(zeros_like(ones({2, 0}, d)).shape(), (Shape{2, 0}));
    EXPECT_TRUE(equals(eye(2, d), values({1, 0, 0, 1}, {2, 2})));
    EXPECT_EQ(empty({3}, d).dtype(), d);
  }
  EXPECT_TRUE(equals(full({2}, 7, kUInt8), {7, 7}));
  EXPECT_TRUE(equals(full({}, 2.5), {2.5}));
  EXPECT_EQ(full({}, 2.5).dim(), 0);
}

TEST(Create, DtypeFollowsTheCxxType) {
  EXPECT_EQ(tensor(1).dtype(), kInt64);
  EXPECT_EQ(tensor(1.5).dtype(), kFloat32);
  EXPECT_EQ(tensor(true).dtype(), kBool);
  EXPECT_EQ(tensor({1, 2}).dtype(), kInt64);
  EXPECT_EQ(tensor({1.f, 2.f}).dtype(), kFloat32);
  EXPECT_EQ(tensor({1., 2.}).dtype(), kFloat32);
  EXPECT_EQ(tensor({1., 2.}, kFloat64).dtype(), kFloat64);
  EXPECT_EQ(tensor({true, false}).dtype(), kBool);
  EXPECT_EQ(tensor(std::vector<uint8_t>{1, 255}).dtype(), kUInt8);
  EXPECT_EQ(tensor(std::vector<bool>{true, false, true}).dtype(), kBool);
  EXPECT_TRUE(equals(tensor({{1, 2, 3}, {4, 5, 6}}), values({1, 2, 3, 4, 5, 6}, {2, 3})));
  EXPECT_TRUE(equals(tensor({0.1}, kFloat64), {0.1}));
  EXPECT_TRUE(equals(tensor({0.1}), {static_cast<double>(0.1f)}));
}

TEST(Create, ArangeAndLinspace) {
  EXPECT_EQ(arange(3).dtype(), kInt64);
  EXPECT_TRUE(equals(arange(3), {0, 1, 2}));
  EXPECT_TRUE(equals(arange(5, 0, -2), {5, 3, 1}));
  EXPECT_EQ(arange(0, 5, 1).numel(), 5);
  EXPECT_EQ(arange(5, 0).numel(), 0);
  EXPECT_EQ(arange(2.5).dtype(), kFloat32);
  EXPECT_TRUE(equals(arange(0.5, 2), {0.5, 1.5}));
  EXPECT_TRUE(equals(arange(0, 1, 0.25, kFloat64), {0, 0.25, 0.5, 0.75}));
  EXPECT_TRUE(equals(linspace(0, 1, 5, kFloat64), {0, 0.25, 0.5, 0.75, 1}));
  EXPECT_TRUE(equals(linspace(3, 7, 1), {3}));
  EXPECT_EQ(linspace(3, 7, 0).numel(), 0);
}

TEST(Create, RandomNumbersFollowTheSeedAndNotTheDtype) {
  manual_seed(5);
  const Tensor a = rand({100}, kFloat64), b = randn({100}, kFloat64);
  manual_seed(5);
  EXPECT_TRUE(equals(rand({100}, kFloat32), a.to(kFloat32)));
  EXPECT_TRUE(equals(randn({100}, kFloat64), b));
  EXPECT_GE(min(a).item(), 0);
  EXPECT_LT(max(a).item(), 1);
  EXPECT_NEAR(a.mean().item(), 0.5, 0.15);
  EXPECT_NEAR(square(b).mean().item(), 1, 0.5);
}

TEST(Elements, AtItemDataAndToVector) {
  Tensor x = tensor({{1., 2., 3.}, {4., 5., 6.}});
  EXPECT_EQ(x.at({1, -1}), 6);
  EXPECT_EQ(x.t().at({-1, 0}), 3);
  EXPECT_EQ(x.at<int64_t>({0, 1}), 2);
  EXPECT_EQ(x[1][2].item<float>(), 6.f);
  EXPECT_EQ(tensor({{7}}).item<int64_t>(), 7);
  EXPECT_EQ(x.data<float>()[5], 6.f);
  EXPECT_EQ(x[1].data<float>()[0], 4.f);
  x.mutable_data<float>()[0] = 9;
  EXPECT_EQ(x.at({0, 0}), 9);
  EXPECT_EQ(x.t().to_vector<int64_t>(), (std::vector<int64_t>{9, 4, 2, 5, 3, 6}));
  EXPECT_EQ(tensor({std::numeric_limits<int64_t>::max()}).item<int64_t>(),
            std::numeric_limits<int64_t>::max());
}

TEST(Elements, Conversions) {
  const Tensor x = tensor({0., -1.5, 2.7, 255.});
  EXPECT_TRUE(equals(x.to(kInt64), {0, -1, 2, 255}));
  EXPECT_TRUE(equals(x.to(kBool), {0, 1, 1, 1}));
  EXPECT_TRUE(equals(x.slice(0, 2).to(kUInt8), {2, 255}));
  EXPECT_TRUE(equals(tensor({true, false}).to(kFloat64), {1, 0}));
  EXPECT_EQ(x.to(kFloat32).impl(), x.impl());
  Tensor w = leaf({1, 2});
  w.to(kFloat32).sum().backward();
  EXPECT_EQ(w.grad().dtype(), kFloat64);
  EXPECT_FALSE(w.to(kInt64).requires_grad());
}

TEST(Elements, HandlesShareAndClonesDoNot) {
  Tensor x = tensor({1., 2.}), same = x, other = x.clone();
  same.add_(1);
  EXPECT_TRUE(equals(x, {2, 3}));
  EXPECT_TRUE(equals(other, {1, 2}));
  const Tensor column = tensor({{1., 2.}, {3., 4.}}).t();
  EXPECT_FALSE(column.is_contiguous());
  EXPECT_TRUE(column.clone().is_contiguous());
  EXPECT_EQ(x.contiguous().impl(), x.impl());
}

// ---- promotion: torch.result_type of the same operands

TEST(Promotion, TensorsWithDims) {
  for (Dtype a : kAll)
    for (Dtype b : kAll)
      EXPECT_EQ((ones({2}, a) * ones({2}, b)).dtype(), std::max(a, b)) << name_of(a) << " " << name_of(b);
}

TEST(Promotion, ZeroDimTensorsRaiseTheCategoryOnly) {
  const auto category = [](Dtype d) { return is_floating(d) ? 2 : d == kBool ? 0 : 1; };
  for (Dtype a : kAll)
    for (Dtype b : kAll) {
      const Dtype wanted = category(b) > category(a) ? b : a;
      EXPECT_EQ((ones({2}, a) * ones({}, b)).dtype(), wanted) << name_of(a) << " 0-d " << name_of(b);
      EXPECT_EQ((ones({}, b) * ones({2}, a)).dtype(), wanted) << name_of(a) << " 0-d " << name_of(b);
      EXPECT_EQ((ones({}, a) * ones({}, b)).dtype(), std::max(a, b)) << "two 0-d";
    }
  // The cases one at a time.
  EXPECT_EQ((ones({2}, kFloat32) + ones({}, kFloat64)).dtype(), kFloat32);
  EXPECT_EQ((ones({2}, kInt64) + ones({}, kFloat64)).dtype(), kFloat64);
  EXPECT_EQ((ones({2}, kUInt8) + ones({}, kInt64)).dtype(), kUInt8);
  EXPECT_EQ((ones({2}, kBool) + ones({}, kUInt8)).dtype(), kUInt8);
}

TEST(Promotion, Scalars) {
  const Dtype with_integer[] = {kInt64, kUInt8, kInt64, kFloat32, kFloat64};
  const Dtype with_floating[] = {kFloat32, kFloat32, kFloat32, kFloat32, kFloat64};
  for (int i = 0; i < 5; i++)
    for (const Shape& shape : {Shape{2}, Shape{}}) {
      EXPECT_EQ((ones(shape, kAll[i]) * 3).dtype(), with_integer[i]) << name_of(kAll[i]);
      EXPECT_EQ((3 * ones(shape, kAll[i])).dtype(), with_integer[i]) << name_of(kAll[i]);
      EXPECT_EQ((ones(shape, kAll[i]) * 0.5).dtype(), with_floating[i]) << name_of(kAll[i]);
      EXPECT_EQ((ones(shape, kAll[i]) * true).dtype(), kAll[i]) << name_of(kAll[i]);
    }
}

TEST(Promotion, OpsWithoutIntegerKernelsGiveFloat32) {
  for (Dtype d : {kBool, kUInt8, kInt64}) {
    EXPECT_EQ((ones({2}, d) / ones({2}, d)).dtype(), kFloat32);
    EXPECT_EQ(exp(ones({2}, d)).dtype(), kFloat32);
    EXPECT_EQ(ones({2}, d).mean().dtype(), kFloat32);
    EXPECT_EQ(ones({2}, d).sum().dtype(), kInt64);
    EXPECT_EQ((ones({2}, d) < 1.5).dtype(), kBool);
  }
  EXPECT_TRUE(equals(tensor({3, -4}) / tensor({2, 3}), {1.5, -4.f / 3}));
  EXPECT_TRUE(equals(tensor({1, 2}) < 1.5, {1, 0}));
  EXPECT_EQ(tensor({1LL << 53}).sum().item<int64_t>(), 1LL << 53);
  EXPECT_EQ((tensor({(1LL << 53) + 1}) * 1).item<int64_t>(), (1LL << 53) + 1);
}

TEST(Promotion, GradientsComeBackInTheirInputsDtype) {
  Tensor a = ones({2}, kFloat32).requires_grad_(), b = ones({2}, kFloat64).requires_grad_();
  Tensor c = ones({}, kFloat64).requires_grad_();
  (a * b * c).sum().backward();
  EXPECT_EQ(a.grad().dtype(), kFloat32);
  EXPECT_EQ(b.grad().dtype(), kFloat64);
  EXPECT_TRUE(equals(c.grad(), values({2}, {})));
}

// ---- printing

TEST(Print, ExactText) {
  EXPECT_EQ(str(tensor({1., 2., 3.})), "tensor([1., 2., 3.])");
  EXPECT_EQ(str(tensor({1.5, -2.25})), "tensor([ 1.5000, -2.2500])");
  EXPECT_EQ(str(tensor(2.5)), "tensor(2.5000)");
  EXPECT_EQ(str(tensor(3)), "tensor(3)");
  EXPECT_EQ(str(tensor({{1, 20}, {-3, 4}})), "tensor([[ 1, 20],\n        [-3,  4]])");
  EXPECT_EQ(str(tensor({true, false})), "tensor([ true, false])");
  EXPECT_EQ(str(tensor({1., 2.}, kFloat64)), "tensor([1., 2.], dtype=float64)");
  EXPECT_EQ(str(ones({2}, kUInt8)), "tensor([1, 1], dtype=uint8)");
  EXPECT_EQ(str(tensor({1e-5, 1.})), "tensor([1.0000e-05, 1.0000e+00])");
  EXPECT_EQ(str(tensor({1e10})), "tensor([1.0000e+10])");
  EXPECT_EQ(str(tensor({0.5f, NAN, INFINITY, -INFINITY})), "tensor([0.5000,    nan,    inf,   -inf])");
  EXPECT_EQ(str(zeros({0})), "tensor([])");
  EXPECT_EQ(str(zeros({2, 0})), "tensor([[],\n        []], shape=[2, 0])");
  EXPECT_EQ(str(zeros({0}, kInt64)), "tensor([], dtype=int64)");
  EXPECT_EQ(str(zeros({2, 1, 2})), "tensor([[[0., 0.]],\n        [[0., 0.]]])");
  EXPECT_EQ(str(arange(1001)), "tensor([   0,    1,    2, ...,  998,  999, 1000])");
  EXPECT_EQ(str(tensor({std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()})),
            "tensor([-9223372036854775808,  9223372036854775807])");
  EXPECT_EQ(str(tensor({(1LL << 53) + 1})), "tensor([9007199254740993])");
  Tensor x = tensor({1., 2.}).requires_grad_();
  EXPECT_EQ(str(x), "tensor([1., 2.], requires_grad=true)");
  EXPECT_EQ(str(tanh(x) * 0), "tensor([0., 0.], op=mul)");
  EXPECT_EQ(str(Tensor()), "tensor(undefined)");
  std::ostringstream out;
  out << tensor({1, 2});
  EXPECT_EQ(out.str(), "tensor([1, 2])");
  EXPECT_EQ(fmt::format("{} {}", tensor({1}), Shape{2, 3}), "tensor([1]) [2, 3]");
}

// ---- refusals: each says the op, what is wrong and the values, and changes nothing

struct Refusal {
  const char* text;
  void (*call)();
};

template <class E>
void expect_refusals(std::initializer_list<Refusal> list) {
  for (const Refusal& r : list) EXPECT_EQ(error_of<E>(r.call), r.text);
}

const Tensor& x23() {
  static const Tensor x = tensor({{1., 2., 3.}, {4., 5., 6.}});
  return x;
}

TEST(Refusals, Shapes) {
  expect_refusals<ShapeError>({
      {"add: shapes do not broadcast: [2, 3] and [2] (3 != 2 in dim 1)", [] { x23() + ones({2}); }},
      {"mul: shapes do not broadcast: [2, 3] and [3, 3] (2 != 3 in dim 0)",
       [] {
         x23() * ones({3, 3});
       }},
      {"<: shapes do not broadcast: [2, 3] and [4] (3 != 4 in dim 1)", [] { (void)(x23() < ones({4})); }},
      {"where: shapes do not broadcast: [2, 3] and [2] (3 != 2 in dim 1)",
       [] { where(x23() > 0, x23(), ones({2})); }},
      {"matmul: inner sizes differ: [32, 2] x [3, 16] (2 != 3)",
       [] {
         matmul(ones({32, 2}), ones({3, 16}));
       }},
      {"matmul: 0-d operands have no rows or columns: [] x [2]", [] { matmul(ones({}), ones({2})); }},
      {"dot: sizes differ: [2] and [3]", [] { dot(ones({2}), ones({3})); }},
      {"dot: two 1-d tensors are expected, not [2, 3] and [3]", [] { dot(x23(), ones({3})); }},
      {"linear: x [2, 3] does not end in the 4 features that the weight [5, 4] takes",
       [] {
         linear(x23(), ones({5, 4}));
       }},
      {"linear: the bias [3] does not fit the weight [5, 3]: [5] is expected",
       [] {
         linear(x23(), ones({5, 3}), ones({3}));
       }},
      {"reshape: [2, 3] has 6 elements, [4] would have 4", [] { x23().reshape({4}); }},
      {"reshape: only one size may be -1: [-1, -1]",
       [] {
         x23().reshape({-1, -1});
       }},
      {"reshape: [2, 3] has 6 elements, no multiple of 4: [4, -1]",
       [] {
         x23().reshape({4, -1});
       }},
      {"reshape: -1 is ambiguous: [0, 3] into [-1, 0]",
       [] {
         ones({0, 3}).reshape({-1, 0});
       }},
      {"reshape: impossible sizes: [-2, 3]",
       [] {
         x23().reshape({-2, 3});
       }},
      {"expand: [2, 3] cannot become [4, 3]: only dims of size 1 are repeated",
       [] {
         x23().expand({4, 3});
       }},
      {"expand: [2, 3] has more dims than [3]", [] { x23().expand({3}); }},
      {"permute: 1 dims are named for [2, 3]: [0]", [] { x23().permute({0}); }},
      {"permute: dim 0 is named twice: [0, 0]",
       [] {
         x23().permute({0, 0});
       }},
      {"t: at most 2 dims are expected, not [1, 1, 1]; mT() transposes a batch of matrices",
       [] {
         ones({1, 1, 1}).t();
       }},
      {"mT: at least 2 dims are expected, not [3]", [] { ones({3}).mT(); }},
      {"item: the tensor must have one element, this has 6: [2, 3]", [] { x23().item(); }},
      {"cat: sizes differ outside dim 0: [2, 3] and, as number 1, [2, 2]",
       [] {
         cat({x23(), ones({2, 2})});
       }},
      {"cat: 0-d tensors have no dim to join along; use stack", [] { cat({ones({})}); }},
      {"stack: shapes differ: [2] and, as number 1, [3]",
       [] {
         stack({ones({2}), ones({3})});
       }},
      {"tensor: rows of different lengths: 2 and 1",
       [] {
         tensor({{1, 2}, {3}});
       }},
      {"tensor: 2 values do not fill [3]",
       [] {
         tensor(std::vector<int64_t>{1, 2}, {3});
       }},
      {"zeros: a size is negative: [2, -1]",
       [] {
         zeros({2, -1});
       }},
      {"shape: 9 dims: at most 8 are supported",
       [] {
         zeros({1, 1, 1, 1, 1, 1, 1, 1, 1});
       }},
      {"max: there is no element to choose from: [0]", [] { max(ones({0})); }},
      {"max: dim 1 has no element to choose from: [2, 0]",
       [] {
         max(ones({2, 0}), 1);
       }},
      {"binary_cross_entropy: x and target must have one shape: [2] and [3]",
       [] { binary_cross_entropy(0.5 * ones({2}), ones({3})); }},
  });
}

TEST(Refusals, Indices) {
  expect_refusals<IndexError>({
      {"at: index [0, 3] is out of range for [2, 3]",
       [] {
         x23().at({0, 3});
       }},
      {"at: 1 indices for a tensor of 2 dims: [0] into [2, 3]", [] { x23().at({0}); }},
      {"select: index 2 is out of range for dim 0 of [2, 3]", [] { x23()[2]; }},
      {"select: a 0-d tensor has nothing to select from", [] { ones({})[0]; }},
      {"slice: step must be positive, not 0", [] { x23().slice(0, 0, 1, 0); }},
      {"slice: a 0-d tensor has nothing to slice", [] { ones({}).slice(0); }},
      {"sum: dim 2 is out of range: it must lie in [-2, 1]", [] { x23().sum({2}); }},
      {"sum: dim 0 is named twice: [0, -2]",
       [] {
         x23().sum({0, -2});
       }},
      {"transpose: dim -3 is out of range: it must lie in [-2, 1]", [] { x23().transpose(0, -3); }},
      {"unsqueeze: dim 3 is out of range: it must lie in [-3, 2]", [] { x23().unsqueeze(3); }},
      {"flatten: start_dim 1 comes after end_dim 0", [] { x23().flatten(1, 0); }},
      {"size: a 0-d tensor has no dim 0", [] { ones({}).size(0); }},
      {"gather: index 3 is out of range for dim 1 of [2, 3]",
       [] {
         gather(x23(), 1, tensor({{3}, {0}}));
       }},
  });
}

TEST(Refusals, Dtypes) {
  expect_refusals<DtypeError>({
      {"data: the tensor is float32, not float64", [] { x23().data<double>(); }},
      {"neg: not defined for bool", [] { -ones({2}, kBool); }},
      {"sub: not defined for bool", [] { ones({2}, kBool) - ones({2}, kBool); }},
      {"where: the condition must be bool, not float32", [] { where(x23(), x23(), x23()); }},
      {"gather: the index must be int64, not float32", [] { gather(x23(), 0, x23()); }},
      {"matmul: floating operands are expected, not int64 and int64",
       [] {
         matmul(ones({1, 1}, kInt64), ones({1, 1}, kInt64));
       }},
      {"rand: random numbers are floating, not int64", [] { rand({2}, kInt64); }},
      {"mul: in place: not defined for bool", [] { ones({2}, kBool).mul_(true); }},
  });
}

TEST(Refusals, AbsurdSizes) {
  const auto overflows = [](const Shape& s) {
    return "zeros: the number of elements does not fit into 63 bits: " + s.str();
  };
  EXPECT_EQ(error_of<ShapeError>([] { zeros({1LL << 40, 1LL << 40}); }), overflows({1LL << 40, 1LL << 40}));
  // Also where one size is 0: strides would overflow.
  EXPECT_EQ(error_of<ShapeError>([] { zeros({0, 1LL << 62, 4}); }), overflows({0, 1LL << 62, 4}));
  EXPECT_EQ(error_of<ShapeError>([] { zeros({2, 2, 1, 1LL << 61}); }), overflows({2, 2, 1, 1LL << 61}));
  EXPECT_EQ(error_of<ShapeError>([] { zeros({1LL << 61}, kFloat64); }),
            "zeros: the size in bytes does not fit into 63 bits: [2305843009213693952] of float64");
  EXPECT_THROW(ones({1}).expand({1LL << 62, 4}), ShapeError);
  EXPECT_THROW(x23().reshape({1LL << 62, 1LL << 62}), ShapeError);
  EXPECT_THROW(eye(1LL << 40), ShapeError);
  EXPECT_THROW(eye(-1), ShapeError);
  EXPECT_THROW(arange(0, 1e300, 1e-300), Error);
  EXPECT_THROW(arange(0, 1, 0), Error);
  EXPECT_THROW(linspace(0, 1, -1), ShapeError);
  // A step beyond the end is no arithmetic overflow.
  EXPECT_TRUE(equals(x23().slice(0, 0, {}, std::numeric_limits<int64_t>::max()), values({1, 2, 3}, {1, 3})));
  EXPECT_EQ(x23().slice(0, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()).shape(),
            (Shape{2, 3}));
}

TEST(Refusals, MemoryThatIsNotThere) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  EXPECT_EQ(error_of([] { full({1LL << 40}, 1, kFloat64); }), "allocate: no memory for 8796093022208 bytes");
  EXPECT_EQ(error_of([] { rand({1LL << 40}); }), "allocate: no memory for 8796093022208 bytes");
  EXPECT_THROW(zeros({1LL << 59}), Error);
  EXPECT_THROW(arange(int64_t{1} << 50), Error);
  EXPECT_THROW(ones({1}).expand({1LL << 45}).clone(), Error);
  EXPECT_THROW(matmul(ones({1, 1}).expand({1LL << 21, 1}), ones({1, 1}).expand({1, 1LL << 21})), Error);
  EXPECT_TRUE(equals(ones({2}) + 1, {2, 2}));
}

}  // namespace
}  // namespace gradus
