// Fused losses and softmax gradients against the same in ops, in sizes that reach every kernel.
#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/check/gradcheck.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/autograd/ops/reduce.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradus {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInfinity = std::numeric_limits<double>::infinity();

double tolerance(Dtype dtype) { return dtype == kFloat32 ? 3e-6 : 1e-14; }

void expect_close(const Tensor& a, const Tensor& b, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  const auto x = a.to_vector(), y = b.to_vector();
  for (size_t i = 0; i < x.size(); i++) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    ASSERT_NEAR(x[i], y[i], tolerance(a.dtype()) * (1 + std::abs(y[i]))) << what << ", element " << i;
  }
}

const std::vector<Shape>& loss_shapes() {
  static const std::vector<Shape> all{{64, 10},      {5, 300}, {700, 2}, {2, 7, 130},
                                      {3, 20, 2, 5}, {9},      {0, 4},   {3, 4, 0}};
  return all;
}
/// Classes 0, 1 … of x's samples.
Tensor classes_for(const Tensor& x) {
  Shape shape = x.shape();
  const int dim = x.dim() == 1 ? 0 : 1;
  const int64_t classes = shape[dim];
  shape.erase(dim);
  std::vector<int64_t> target(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < target.size(); i++) target[i] = static_cast<int64_t>(5 * i) % classes;
  return tensor(target, shape, kInt64);
}

TEST(CrossEntropy, IsTheNegativeLogLikelihoodOfLogSoftmax) {
  manual_seed(1);
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const Shape& shape : loss_shapes())
      for (const bool weighted : {false, true})
        for (const int64_t ignored : {-100, 1})
          for (const Reduction reduction : {Reduction::None, Reduction::Mean, Reduction::Sum}) {
            const int dim = shape.rank() == 1 ? 0 : 1;
            const std::string what = fmt::format("{} {} weighted {} ignored {} reduction {}", shape, dtype,
                                                 weighted, ignored, static_cast<int>(reduction));
            Tensor x = (randn(shape, dtype) * 4).detach().requires_grad_();
            const Tensor target = classes_for(x);
            const Tensor weight = weighted ? rand({shape[dim]}, dtype) : Tensor();
            const Tensor fused = cross_entropy(x, target, weight, reduction, ignored);
            const Tensor composed = nll_loss(log_softmax(x, dim), target, weight, reduction, ignored);
            EXPECT_EQ(fused.op_name(), "cross_entropy");
            expect_close(fused, composed, what);
            const Tensor g = randn(fused.shape(), dtype);
            expect_close(grad({fused}, {x}, {g})[0], grad({composed}, {x}, {g})[0], what + ", gradient");
          }
}

TEST(CrossEntropy, TakesStridedOperands) {
  manual_seed(2);
  Tensor x = randn({10, 6}, kFloat64).requires_grad_();
  const Tensor strided = tensor({{3, 0}, {9, 0}, {1, 0}, {0, 0}, {5, 0}, {5, 0}}, kInt64).select(1, 0);
  const Tensor loss = cross_entropy(x.t(), strided, {}, Reduction::None),
               dense = cross_entropy(x.t().contiguous(), strided.contiguous(), {}, Reduction::None);
  EXPECT_EQ(loss.to_vector(), dense.to_vector());
  const Tensor g = ones({1}, kFloat64).expand({6});
  EXPECT_EQ(grad({loss}, {x}, {g})[0].to_vector(), grad({dense}, {x}, {g})[0].to_vector());
}

TEST(CrossEntropy, IgnoredSamplesCountForNothing) {
  Tensor x = tensor({{1., 2.}, {kNan, kInfinity}, {3., 1.}}, kFloat64).requires_grad_();
  const Tensor loss = cross_entropy(x, tensor({0, -100, 1}));
  loss.backward();
  const auto dx = x.grad().to_vector();
  EXPECT_NEAR(loss.item(), (std::log1p(std::exp(1)) + std::log1p(std::exp(2))) / 2, 1e-15);
  EXPECT_EQ(dx[2], 0);
  EXPECT_EQ(dx[3], 0);
  EXPECT_NEAR(dx[0] + dx[1], 0, 1e-16);

  x.set_grad({});
  const Tensor none = cross_entropy(x, tensor({-100, -100, -100}));
  EXPECT_TRUE(std::isnan(none.item()));
  none.backward();
  EXPECT_EQ(x.grad().to_vector(), std::vector<double>(6, 0));
}

TEST(CrossEntropy, KeepsItsDigitsFarFromZero) {
  Tensor x = tensor({{10000.f, 10001.f}, {-3e38f, 0.f}, {-200.f, 0.f}}).requires_grad_();
  const Tensor losses = cross_entropy(x, tensor({0, 1, 0}), {}, Reduction::None);
  EXPECT_FLOAT_EQ(losses.at<float>({0}), std::log1p(std::exp(1.f)));
  EXPECT_EQ(losses.at({1}), 0);
  EXPECT_EQ(losses.at({2}), 200);
  losses.sum().backward();
  EXPECT_FLOAT_EQ(x.grad().at<float>({0, 1}), 1 / (1 + std::exp(-1.f)));
  EXPECT_EQ(x.grad().at({2, 0}), -1);
  EXPECT_EQ(x.grad().at({2, 1}), 1);
}

TEST(CrossEntropy, AWeightThatIsTrainedHasAGradient) {
  manual_seed(3);
  const Tensor target = tensor({1, 0, 3});
  const auto report =
      gradcheck([&](const Tensor& x, const Tensor& weight) { return cross_entropy(x, target, weight); },
                {randn({3, 4}, kFloat64), rand({4}, kFloat64) + 0.5});
  EXPECT_TRUE(report) << fmt::format("{}", report);
}

TEST(CrossEntropy, NamesTheClassThatIsNone) {
  const auto error = [](const Tensor& target) {
    try {
      cross_entropy(zeros({2, 3}), target);
    } catch (const IndexError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(tensor({0, 3})), "cross_entropy: target 3 is not one of 3 classes");
  EXPECT_EQ(error(tensor({-1, 0})), "cross_entropy: target -1 is not one of 3 classes");
  EXPECT_EQ(error(tensor({-100, 2})), "");
}

TEST(SoftmaxGradient, IsWhatItsFormulaSays) {
  manual_seed(4);
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const Shape& shape : loss_shapes())
      for (int dim = 0; dim < shape.rank(); dim++) {
        const std::string what = fmt::format("{} {} dim {}", shape, dtype, dim);
        Tensor x = randn(shape, dtype).requires_grad_();
        const Tensor g = randn(shape, dtype), y = softmax(x, dim), log_y = log_softmax(x, dim);
        const Tensor dy = grad({y}, {x}, {g})[0], dlog = grad({log_y}, {x}, {g})[0];
        const NoGrad no_grad;
        expect_close(dy, y * (g - (g * y).sum({dim}, true)), what);
        expect_close(dlog, g - y * g.sum({dim}, true), what + " log");
      }
}

TEST(FusedLosses, BitEqualForAnyNumberOfThreads) {
  const int threads = num_threads();
  for (const Shape& shape : {Shape{3000, 100}, Shape{40, 60, 130}}) {
    std::vector<std::vector<float>> first;
    for (const int n : {1, 2, 4, 8}) {
      set_num_threads(n);
      manual_seed(5);
      Tensor x = randn(shape).requires_grad_();
      const Tensor loss = cross_entropy(x, classes_for(x)), y = softmax(x, 1);
      const Tensors dx = grad({loss, y}, {x}, {ones({}), randn(shape)});
      const std::vector<std::vector<float>> all{loss.to_vector<float>(), y.to_vector<float>(),
                                                dx[0].to_vector<float>()};
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << n;
    }
  }
  set_num_threads(threads);
}

TEST(FusedLosses, AreTheMeanOrTheSumOfTheirElements) {
  using Loss = Tensor (*)(const Tensor& x, const Tensor& target, Reduction);
  const Loss losses[] = {
      [](const Tensor& x, const Tensor& t, Reduction r) { return mse_loss(x, t, r); },
      [](const Tensor& x, const Tensor& t, Reduction r) { return binary_cross_entropy(x, t, {}, r); },
      [](const Tensor& x, const Tensor& t, Reduction r) {
        return binary_cross_entropy_with_logits(x, t, {}, {}, r);
      },
      [](const Tensor& x, const Tensor& t, Reduction r) {
        return binary_cross_entropy_with_logits(x, t, {}, full(x.shape(), 2, x.dtype()), r);
      }};
  // The gradients, and those of a function of them.
  const auto gradients = [](const Tensor& y, const Tensor& x, const Tensor& target) {
    const Tensors plain = grad({y}, {x, target}, {}, {.retain_graph = true}),
                  g = grad({y}, {x, target}, {}, {.create_graph = true}),
                  second =
                      grad({square(g[0]).sum() + (g[1] * x).sum()}, {x, target}, {}, {.allow_unused = true});
    return Tensors{plain[0], plain[1], g[0], g[1], second[0], second[1]};
  };
  manual_seed(3);
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{400, 1}, Shape{70, 300}, Shape{0, 3}})
      for (size_t k = 0; k < std::size(losses); k++)
        for (const Reduction reduction : {Reduction::Mean, Reduction::Sum}) {
          const bool mean = reduction == Reduction::Mean;
          const std::string what = fmt::format("loss {}, {} {}, {}", k, dtype, shape, mean ? "mean" : "sum");
          // A matrix lies column by column.
          const auto random = [&] {
            Tensor x = rand(shape, dtype);
            if (x.dim() == 2) x = x.t().clone().t();
            return x.requires_grad_();
          };
          const Tensor x = random(), target = random();
          const Tensor each = losses[k](x, target, Reduction::None), fused = losses[k](x, target, reduction),
                       composed = mean ? each.mean() : each.sum();
          EXPECT_NE(fused.op_name(), x.numel() ? composed.op_name() : "") << what;
          expect_close(fused, composed, what);
          const Tensors a = gradients(fused, x, target), b = gradients(composed, x, target);
          for (size_t i = 0; i < a.size(); i++) {
            ASSERT_EQ(a[i].defined(), b[i].defined()) << what << ", gradient " << i;
            if (a[i].defined()) expect_close(a[i], b[i], what + ", gradient " + std::to_string(i));
          }
        }
}

TEST(BinaryCrossEntropy, FindsTheProbabilityThatIsNone) {
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const int64_t n : {1, 3, 17, 130, 200'000})
      for (const double bad : {-1e-30, 1.000001, kNan, kInfinity, -kInfinity})
        for (const int64_t at : {int64_t(0), n / 2, n - 1}) {
          std::vector<double> values(static_cast<size_t>(n), 1);
          values.front() = 0;
          const auto refuses = [&] {
            const Tensor p = tensor(values, {n}, dtype);
            const auto refused = [&](const Tensor& x) {
              try {
                binary_cross_entropy(x, zeros(x.shape(), dtype));
              } catch (const Error& e) {
                return std::string(e.what()).starts_with(
                    "binary_cross_entropy: probabilities must lie in [0, 1], these reach from ");
              }
              return false;
            };
            const bool strided = refused(p.unsqueeze(1).expand({n, 2}));
            EXPECT_EQ(refused(p), strided);
            return strided;
          };
          EXPECT_FALSE(refuses());
          values[static_cast<size_t>(at)] = bad;
          EXPECT_TRUE(refuses()) << bad << " at " << at << " of " << n;
        }
}

TEST(BinaryCrossEntropy, LooksAtProbabilitiesThatNoLossIsLeftOf) {
  const Tensor p = tensor({2.f}), target = zeros({1}), none = zeros({0});
  EXPECT_THROW(binary_cross_entropy(p, target, none, Reduction::Sum), Error);
  EXPECT_THROW(binary_cross_entropy(p, target, none, Reduction::None), Error);
}

}  // namespace
}  // namespace gradus
