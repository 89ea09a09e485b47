#include <common/datasets.h>
#include <common/handmade.h>
#include <gradus/gradus.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>

namespace gradus::examples {
namespace {

/// ‖a - n‖ / (‖a‖ + ‖n‖) over all gradients as one vector.
double difference(std::span<const Tensor> a, std::span<const Tensor> n) {
  double apart = 0, size_a = 0, size_n = 0;
  for (size_t i = 0; i < a.size(); i++) {
    apart += square(a[i] - n[i]).sum().item();
    size_a += square(a[i]).sum().item();
    size_n += square(n[i]).sum().item();
  }
  EXPECT_GT(size_n, 0);
  return std::sqrt(apart) / (std::sqrt(size_a) + std::sqrt(size_n));
}

Tensor normal(NumpyRandom& random, const Shape& shape, double scale) {
  return tensor(random.randn(shape.numel()), shape, kFloat64) * scale;
}
Tensor labels(NumpyRandom& random, int64_t m) { return (normal(random, {1, m}, 1) > 0).to(kFloat64); }
Tensor copy(const Tensor& x) { return x.detach().clone().requires_grad_(); }

/// Gradus' gradients of the same network, written as one writes it here: samples in rows.
Tensors by_autograd(const Shallow& p, const Tensor& x, const Tensor& y) {
  const Tensors in = {copy(p.w1), copy(p.b1), copy(p.w2), copy(p.b2)};
  const Tensor h = tanh(linear(x.t(), in[0], in[1].flatten()));
  const Tensor a2 = sigmoid(linear(h, in[2], in[3].flatten()));
  return grad({binary_cross_entropy(a2, y.t())}, in);
}
Tensors list(const Shallow& p) { return {p.w1, p.b1, p.w2, p.b2}; }

double shallow_difference(const Shallow& p, const Tensor& x, const Tensor& y) {
  return difference(by_autograd(p, x, y), list(backward_propagation(p, forward_propagation(x, p), x, y)));
}

/// np.random.seed(2); W = randn * 0.01, b = 0
Shallow initialize_parameters(int64_t n_x, int64_t n_h) {
  NumpyRandom random(2);
  const Tensor w1 = normal(random, {n_h, n_x}, 0.01), w2 = normal(random, {1, n_h}, 0.01);
  return {w1, zeros({n_h, 1}, kFloat64), w2, zeros({1, 1}, kFloat64)};
}

TEST(Handmade, ShallowNetworkAtRandomPoints) {
  NumpyRandom random(1);
  for (int trial = 0; trial < 50; trial++) {
    const int64_t n_h = random.randint(1, 21), m = random.randint(1, 60);
    const Shallow p = {normal(random, {n_h, 2}, 1), normal(random, {n_h, 1}, 1), normal(random, {1, n_h}, 1),
                       normal(random, {1, 1}, 1)};
    const Tensor x = normal(random, {2, m}, 1);
    EXPECT_LT(shallow_difference(p, x, labels(random, m)), 1e-11) << n_h << " units, " << m << " samples";
  }
}

TEST(Handmade, ShallowNetworkAlongTheTutorialsTraining) {
  const Dataset flower = load_planar_dataset();
  const Tensor x = tensor(flower.x, {400, 2}, kFloat64).t(), y = tensor(flower.y, {1, 400}, kFloat64);
  Shallow p = initialize_parameters(2, 4);
  for (int i = 0; i <= 10000; i++) {
    const ShallowCache cache = forward_propagation(x, p);
    const Shallow g = backward_propagation(p, cache, x, y);
    if (i % 1000 == 0) {
      EXPECT_LT(difference(by_autograd(p, x, y), list(g)), 1e-11) << "iteration " << i;
    }
    if (i == 1000) {
      EXPECT_NEAR(compute_cost(cache.a2, y).item(), 0.28808329356901846, 1e-9);
    }
    p = {p.w1 - 1.2 * g.w1, p.b1 - 1.2 * g.b1, p.w2 - 1.2 * g.w2, p.b2 - 1.2 * g.b2};
  }
  const double cost = compute_cost(forward_propagation(x, p).a2, y).item();
  EXPECT_NEAR(cost, 0.2178, 0.001);
}

/// What the tutorial's NumPy program computes at iteration 0.
struct Golden {
  const char* name;
  bool three_samples;
  Output output;
  double cost;
  std::vector<double> w1, b1, w2, b2;
};
const Golden kGolden[] = {
    {"flower, sigmoid",
     false,
     Output::Sigmoid,
     0.6930480201239823,
     {0.0002360595501226116, -0.0020791371478307103, 0.00020909587116682522, -0.0017820060442473135,
      -0.00012050884517266065, 0.0010843038748391198, -0.0005149580037159125, 0.00449161814887601},
     {1.0684803032734447e-07, -9.709072521343898e-07, -7.200126582340705e-08, 3.030484519350729e-07},
     {-1.7547871386162506e-05, 0.003702402738599814, -0.0012568673606571873, -0.00255725650272935},
     {-1.0892314028936311e-05}},
    {"flower, tanh",
     false,
     Output::Tanh,
     NAN,
     {-7.452749579633607e-07, -0.0017015095819393456, 7.688422332010274e-06, -0.00145764876270102,
      2.9933614807048708e-06, 0.0008883573742197751, -1.8610627427959427e-06, 0.003673641647851046},
     {0.0052898493344633235, 0.004531695389350739, -0.002753253780837132, -0.01145333032681727},
     {-9.075498977561901e-05, 0.002640343657034572, -0.001358378573598533, -0.00200017866035402},
     {-0.5000435692506281}},
    {"3 samples, sigmoid",
     true,
     Output::Sigmoid,
     0.6927392477233995,
     {0.0030102310175022626, -0.0074726674228085275, 0.0025796771379001716, -0.006412881872938114,
      -0.0015689191587595643, 0.0038930023233633704, -0.006520366868894872, 0.01618242936068202},
     {0.0017620136991550127, 0.0015099473637952504, -0.0009173634631586844, -0.003814217890320202},
     {0.0007884076891215782, 0.017654290634437915, -0.0008416616223118633, -0.010225271239850606},
     {-0.16655711981679266}},
    {"3 samples, tanh",
     true,
     Output::Tanh,
     NAN,
     {0.0038607460477826793, -0.011886980889677306, 0.0033050707344203234, -0.010199926292762646,
      -0.002012104232744674, 0.006191864762859951, -0.008362272034034123, 0.025739736397984353},
     {0.00704820196451184, 0.006045681657339788, -0.0036716749557907527, -0.015262644617153865},
     {0.0008886965923192173, 0.02620821186681324, -0.002911120410471714, -0.01582432254608501},
     {-0.666228479390875}},
};

TEST(Handmade, FirstGradientsAreTheTutorials) {
  for (const Golden& golden : kGolden) {
    const Dataset data = golden.three_samples ? nn_model_test_case() : load_planar_dataset();
    const Tensor x = tensor(data.x, {data.samples, 2}, kFloat64).t(),
                 y = tensor(data.y, {1, data.samples}, kFloat64);
    const Shallow p = initialize_parameters(2, 4);
    const ShallowCache cache = forward_propagation(x, p, golden.output);
    const Shallow g = backward_propagation(p, cache, x, y);
    const Tensor wanted[] = {tensor(golden.w1, {4, 2}, kFloat64), tensor(golden.b1, {4, 1}, kFloat64),
                             tensor(golden.w2, {1, 4}, kFloat64), tensor(golden.b2, {1, 1}, kFloat64)};
    EXPECT_LT(difference(wanted, list(g)), 1e-14) << golden.name;
    // Each element by itself, too: NumPy's dot sums in another order.
    for (size_t i = 0; i < 4; i++) EXPECT_LT(max(abs(list(g)[i] - wanted[i])).item(), 1e-15) << golden.name;
    const double cost = compute_cost(cache.a2, y).item();
    if (std::isnan(golden.cost))
      EXPECT_TRUE(std::isnan(cost)) << golden.name;
    else
      EXPECT_NEAR(cost, golden.cost, 1e-15) << golden.name;
  }
}

Deep initialize_parameters_deep(NumpyRandom& random, const std::vector<int64_t>& sizes) {
  Deep p;
  for (size_t l = 1; l < sizes.size(); l++) {
    p.w.push_back(normal(random, {sizes[l], sizes[l - 1]}, 1 / std::sqrt(static_cast<double>(sizes[l - 1]))));
    p.b.push_back(normal(random, {sizes[l], 1}, 0.1));
  }
  return p;
}

Tensors deep_by_autograd(const Deep& p, const Tensor& x, const Tensor& y) {
  Tensors in;
  Tensor a = x.t();
  const size_t layers = p.w.size();
  for (size_t l = 0; l < layers; l++) {
    in.push_back(copy(p.w[l]));
    in.push_back(copy(p.b[l]));
    const Tensor z = linear(a, in[2 * l], in[2 * l + 1].flatten());
    a = l + 1 < layers ? relu(z) : sigmoid(z);
  }
  return grad({binary_cross_entropy(a, y.t())}, in);
}
Tensors list(const Deep& p) {
  Tensors all;
  for (size_t l = 0; l < p.w.size(); l++) all.insert(all.end(), {p.w[l], p.b[l]});
  return all;
}

TEST(Handmade, DeepNetworksAtRandomPoints) {
  NumpyRandom random(3);
  for (const std::vector<int64_t>& sizes : std::vector<std::vector<int64_t>>{{2, 1},
                                                                             {3, 4, 1},
                                                                             {5, 4, 3, 1},
                                                                             {10, 8, 7, 6, 5, 1},
                                                                             {7, 20, 20, 20, 20, 20, 20, 1},
                                                                             {192, 20, 7, 5, 1},
                                                                             {12288, 20, 7, 5, 1}})
    for (const int64_t m : {1, 17, 209}) {
      const Deep p = initialize_parameters_deep(random, sizes);
      const Tensor x = normal(random, {sizes[0], m}, 1), y = labels(random, m);
      EXPECT_LT(difference(deep_by_autograd(p, x, y), list(deep_backward(deep_forward(x, p), p, y))), 1e-11)
          << sizes.size() - 1 << " layers, " << m << " samples";
    }
}

TEST(Handmade, DeepNetworkAlongItsTraining) {
  NumpyRandom random(4);
  Deep p = initialize_parameters_deep(random, {192, 20, 7, 5, 1});
  const Tensor x = tensor(random.rand(192 * 100), {192, 100}, kFloat64), y = labels(random, 100);
  double first = 0, last = 0;
  for (int i = 0; i <= 600; i++) {
    const DeepCache cache = deep_forward(x, p);
    const Deep g = deep_backward(cache, p, y);
    if (i % 100 == 0) {
      EXPECT_LT(difference(deep_by_autograd(p, x, y), list(g)), 1e-11) << "iteration " << i;
      last = compute_cost(cache.a.back(), y).item();
      if (i == 0) first = last;
    }
    for (size_t l = 0; l < p.w.size(); l++) {
      p.w[l].sub_(0.1 * g.w[l]);
      p.b[l].sub_(0.1 * g.b[l]);
    }
  }
  EXPECT_LT(last, 0.9 * first);
}

TEST(Handmade, MistakesDoNotAgree) {
  // The measure tells: one forgotten factor, and the tutorial's rule for a network that ends in tanh.
  NumpyRandom random(5);
  const Shallow p = {normal(random, {4, 2}, 1), normal(random, {4, 1}, 1), normal(random, {1, 4}, 1),
                     tensor(std::vector<double>{3}, {1, 1}, kFloat64)};
  const Tensor x = normal(random, {2, 30}, 1), y = labels(random, 30);
  Shallow wrong = backward_propagation(p, forward_propagation(x, p), x, y);
  wrong.b1 = wrong.b1 * 1.001;
  EXPECT_GT(difference(by_autograd(p, x, y), list(wrong)), 1e-6);

  const Tensors in = {copy(p.w1), copy(p.b1), copy(p.w2), copy(p.b2)};
  const Tensor a2 = tanh(linear(tanh(linear(x.t(), in[0], in[1].flatten())), in[2], in[3].flatten()));
  ASSERT_GT(min(a2).item(), 0);
  const Tensors right = grad({binary_cross_entropy(a2, y.t())}, in);
  const Shallow printed = backward_propagation(p, forward_propagation(x, p, Output::Tanh), x, y);
  EXPECT_GT(difference(right, list(printed)), 0.1);
}

}  // namespace
}  // namespace gradus::examples
