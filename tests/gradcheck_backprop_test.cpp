#include <gmock/gmock.h>
#include <gradus/gradus.h>

#include <cstdlib>
#include <functional>

#include "core_support.h"

/// The tutorials' backward passes, derived by hand as a student does, line by line: each test replaces a line
/// by a mistake. The first diagnosis must name it, by the evidence alone.
namespace gradus {
namespace {

using testing::HasSubstr;

Tensor row(const std::vector<double>& v) { return tensor(v, {1, static_cast<int64_t>(v.size())}, kFloat64); }

/// One planted mistake: what the first diagnosis must say of `input`, and what else is wrong because of it.
struct Planted {
  const char* mistake;
  Finding kind;
  const char* says;
  const char* input;
};

void expect(const GradcheckReport& report, const Planted& p) {
  SCOPED_TRACE(p.mistake);
  ASSERT_FALSE(report) << report.str();
  EXPECT_EQ(report.reason, "");
  const Diagnosis& d = report.input(p.input).diagnosis;
  EXPECT_STREQ(name_of(d.kind), name_of(p.kind)) << report.str();
  EXPECT_THAT(d.text, HasSubstr(p.says));
  EXPECT_STREQ(name_of(report.diagnosis().kind), name_of(p.kind)) << "the first one\n" << report.str();
  if (p.kind != Finding::NotConnected) {
    EXPECT_LT(d.mismatch, 1e-5);
  }
}

// ---- the first tutorial: 2 -> 4 tanh -> 1 sigmoid, samples in columns

struct Student {
  static constexpr int64_t m = 7;
  Tensor x, y = row({0, 1, 1, 0, 1, 0, 1}), w1, b1, w2, b2;
  double lambda = 0;  // of weight decay
  // The cache.
  Tensor z1, a1, z2, a2;
  // What the lines below give.
  Tensor vdz2, vdw2, vdb2, vdz1, vdw1, vdb1;

  using Line = std::function<Tensor(const Student&)>;
  Line dz2 = [](const Student& s) { return s.a2 - s.y; };
  Line dw2 = [](const Student& s) { return matmul(s.vdz2, s.a1.t()) / m + s.lambda / m * s.w2; };
  Line db2 = [](const Student& s) { return s.vdz2.sum({1}, true) / m; };
  Line dz1 = [](const Student& s) { return matmul(s.w2.t(), s.vdz2) * (1 - square(s.a1)); };
  Line dw1 = [](const Student& s) { return matmul(s.vdz1, s.x.t()) / m + s.lambda / m * s.w1; };
  Line db1 = [](const Student& s) { return s.vdz1.sum({1}, true) / m; };

  explicit Student(int64_t seed = 0) {
    x = normal({2, m}, seed + 3);
    w1 = normal({4, 2}, seed + 4), b1 = normal({4, 1}, seed + 5);
    w2 = normal({1, 4}, seed + 6), b2 = normal({1, 1}, seed + 7);
    forward();
  }
  void forward() {
    z1 = matmul(w1, x) + b1;
    a1 = tanh(z1);
    z2 = matmul(w2, a1) + b2;
    a2 = sigmoid(z2);
  }
  GradcheckReport check(const Tensors& previous = {}) {
    vdz2 = dz2(*this);
    vdw2 = dw2(*this);
    vdb2 = db2(*this);
    vdz1 = dz1(*this);
    vdw1 = dw1(*this);
    vdb1 = db1(*this);
    const auto cost = [&](const Tensors& p) {
      const Tensor a = sigmoid(matmul(p[2], tanh(matmul(p[0], x) + p[1])) + p[3]);
      const Tensor c = binary_cross_entropy(a, y);
      return lambda == 0 ? c : c + (square(p[0]).sum() + square(p[2]).sum()) * (lambda / (2 * m));
    };
    return check_gradient(
        cost, {w1, b1, w2, b2}, {vdw1, vdb1, vdw2, vdb2},
        {.names = {"W1", "b1", "W2", "b2"}, .sizes = {{"samples", m}}, .previous = previous});
  }
};

using S = const Student&;
constexpr int64_t m = Student::m;

/// `line` is replaced by `wrong`.
void plant(Student::Line Student::*line, Student::Line wrong, const Planted& p) {
  Student s;
  s.*line = std::move(wrong);
  expect(s.check(), p);
}

/// Right gradients of many networks: none is called wrong, and nearly all are proved. (Where a sigmoid is
/// saturated log(1 - a) has too few digits for differences.)
void expect_right(const std::function<GradcheckReport(int64_t seed)>& check) {
  const int64_t trials = std::getenv("GRADUS_LONG") ? 2000 : 60;
  int64_t proved = 0;
  for (int64_t seed = 0; seed < trials; seed++) {
    const auto report = check(100 * seed);
    ASSERT_EQ(report.diagnosis().kind, Finding::None) << "seed " << seed << "\n" << report.str();
    proved += report.ok();
  }
  EXPECT_GE(proved, trials * 97 / 100);
}

TEST(Backprop, RightOnesPass) {
  expect_right([](int64_t seed) { return Student(seed).check(); });
  expect_right([](int64_t seed) {
    Student s(seed);
    s.lambda = 0.3;
    return s.check();
  });
  expect_right([](int64_t seed) {
    Student s(seed);
    s.dw1 = [](S s) { return (matmul(s.vdz1, s.x.t()) / m).to(kFloat32); };
    return s.check();
  });
}

TEST(Backprop, SignsAndFactors) {
  plant(&Student::dz2, [](S s) { return s.y - s.a2; },
        {"sign of dZ2", Finding::Sign, "sign is flipped", "W1"});
  plant(&Student::dw2, [](S s) { return -matmul(s.vdz2, s.a1.t()) / m; },
        {"sign of dW2", Finding::Sign, "numeric / gradient = -1", "W2"});
  plant(&Student::dw1, [](S s) { return matmul(s.vdz1, s.x.t()); },
        {"dW1 without 1/m", Finding::Size, "7 = the number of samples: the gradient is 7 times too large",
         "W1"});
  plant(&Student::db1, [](S s) { return s.vdz1.sum({1}, true); },
        {"db1 without 1/m", Finding::Size, "Is the division by it missing", "b1"});
  plant(&Student::db2, [](S s) { return s.vdz2.sum({1}, true) / m / m; },
        {"1/m twice", Finding::Size, "7 times too small. Divided by it once too often", "b2"});
  plant(&Student::dz2, [](S s) { return (s.a2 - s.y) / m; },
        {"1/m already in dZ2", Finding::Size, "Divided by it once too often", "W1"});
  plant(&Student::db1, [](S s) { return s.vdz1.mean({1}, true) / m; },
        {"mean instead of sum", Finding::Size, "a mean where a sum belongs", "b1"});
  plant(&Student::dw1, [](S s) { return 2 * matmul(s.vdz1, s.x.t()) / m; },
        {"factor 2", Finding::Factor, "numeric / gradient = 0.5 everywhere", "W1"});
  plant(&Student::dz2, [](S s) { return (s.a2 - s.y) / 2; },
        {"factor 1/2", Finding::Factor, "numeric / gradient = 2 everywhere", "W2"});
}

TEST(Backprop, ShapesAndSums) {
  plant(&Student::db1, [](S s) { return s.vdz1 / m; },
        {"db1 not summed", Finding::MissingSum, "of shape [4, 7] for b1 of shape [4, 1]", "b1"});
  plant(&Student::db2, [](S s) { return s.vdz2; },
        {"db2 neither summed nor divided", Finding::MissingSum, "not averaged", "b2"});
  plant(&Student::dw1, [](S s) { return matmul(s.x, s.vdz1.t()) / m; },
        {"dW1 transposed", Finding::Transposed, "of shape [2, 4] for W1 of shape [4, 2]", "W1"});
  plant(&Student::dw2, [](S s) { return matmul(s.a1, s.vdz2.t()) / m; },
        {"dW2 transposed", Finding::Transposed, "of shape [4, 1] for W2 of shape [1, 4]", "W2"});
  plant(&Student::db1, [](S s) { return s.vdb2; },
        {"db1 = db2", Finding::Swapped, "this is the gradient of b2: of shape [1, 1] for b1 of shape [4, 1]",
         "b1"});
}

TEST(Backprop, ActivationDerivatives) {
  const auto dz1 = [](Tensor (*derivative)(S)) -> Student::Line {
    return [derivative](S s) { return matmul(s.w2.t(), s.vdz2) * derivative(s); };
  };
  const auto check = [&](Tensor (*derivative)(S), const Planted& p) {
    Student s;
    s.dz1 = dz1(derivative);
    const auto report = s.check();
    expect(report, p);
    EXPECT_EQ(report.input("b1").diagnosis.kind, p.kind);
    EXPECT_TRUE(report.input("W2").ok() && report.input("b2").ok());
  };
  check([](S s) { return ones_like(s.a1); }, {"no derivative", Finding::MissingDerivative,
                                              "the derivative of tanh, (1 - y) (1 + y), is missing", "W1"});
  check(
      [](S s) { return 1 - square(s.z1); },
      {"at the input", Finding::WrongPlace, "is taken at y = the input of tanh instead of its output", "W1"});
  check([](S s) { return 1 - square(tanh(s.a1)); },
        {"at the output", Finding::WrongPlace, "is taken at the output of tanh instead of its input", "W1"});
  check([](S s) { return s.a1 * (1 - s.a1); }, {"sigmoid's", Finding::OtherDerivative,
                                                "the derivative of sigmoid, y (1 - y) with y = its output, "
                                                "stands where that of tanh, (1 - y) (1 + y), "
                                                "belongs: off by the factor ((1 - y) (1 + y)) / (y (1 - y)) "
                                                "there; with this mistake the backward pass gives "
                                                "the claimed gradients of 2 inputs",
                                                "W1"});
  check([](S s) { return sigmoid(s.z1) * (1 - sigmoid(s.z1)); },
        {"sigmoid's, of the input", Finding::OtherDerivative,
         "the derivative of sigmoid, y (1 - y) with y = its own value", "W1"});
  check([](S s) { return (s.z1 > 0).to(kFloat64); },
        {"relu's", Finding::OtherDerivative, "the derivative of relu", "W1"});
  check([](S s) { return square(1 - square(s.a1)); },
        {"twice", Finding::OtherDerivative, "is in it twice", "W1"});
  check([](S s) { return 1 - s.a1; },
        {"no square", Finding::OtherDerivative,
         "1 - y stands where the derivative of tanh, (1 - y) (1 + y), belongs", "W1"});
}

TEST(Backprop, Samples) {
  plant(&Student::dw1, [](S s) { return matmul(s.vdz1.slice(1, 0, 1), s.x.slice(1, 0, 1).t()) / m; },
        {"dW1 of the first sample", Finding::OneSample, "only number 0 of the 7 samples counts", "W1"});
  plant(&Student::db1, [](S s) { return s.vdz1.slice(1, -1) / m; },
        {"db1 of the last sample", Finding::OneSample, "only number 6 of the 7 samples counts", "b1"});
  plant(&Student::dz2,
        [](S s) {
          Tensor g = zeros_like(s.y);
          g.select(1, 3).copy_((s.a2 - s.y).select(1, 3));
          return g * m;
        },
        {"all of one sample, not divided by m", Finding::OneSample,
         "only number 3 of the 7 samples counts: the sum over the samples is missing, and it is 7 times too "
         "large",
         "W1"});
}

TEST(Backprop, StaleCaches) {
  const auto check = [](const std::function<void(Student & now, const Student& before)>& use,
                        const Planted& p) {
    const Student before;
    Student now;
    for (Tensor* w : {&now.w1, &now.b1, &now.w2, &now.b2}) *w = *w - 0.1 * normal(w->shape(), 9);
    now.forward();
    use(now, before);
    const Tensors previous = {before.w1, before.b1, before.w2, before.b2};
    expect(now.check(previous), p);
    // Without the previous parameters nobody can tell; but it is wrong.
    const auto report = now.check();
    EXPECT_FALSE(report);
    EXPECT_NE(report.diagnosis().kind, Finding::Stale);
  };
  check([](Student& now,
           const Student& before) { now.dw2 = [before](S s) { return matmul(s.vdz2, before.a1.t()) / m; }; },
        {"last step's A1 in dW2", Finding::Stale, "matmul", "W2"});
  check([](Student& now, const Student& before) { now.a1 = before.a1, now.a2 = before.a2; },
        {"last step's cache", Finding::Stale,
         "the cache holds the results of the previous parameters, not of these", "W1"});
  check(
      [](Student& now, const Student& before) {
        now.dz2 = [before](S) { return before.a2 - before.y; };
        now.dw2 = [before](S s) { return matmul(s.vdz2, before.a1.t()) / m; };
        now.dz1 = [before](S s) { return matmul(before.w2.t(), s.vdz2) * (1 - square(before.a1)); };
      },
      {"last step's gradients", Finding::Stale, "this is the gradient at the previous parameters", "W1"});
}

TEST(Backprop, WeightDecay) {
  Student twice;
  twice.lambda = 0.7;
  twice.dw1 = [](S s) { return matmul(s.vdz1, s.x.t()) / m + 2 * s.lambda / m * s.w1; };
  expect(twice.check(), {"twice", Finding::WeightDecay,
                         "off by 0.1 times W1 itself: weight decay counted once too often", "W1"});
  Student forgotten;
  forgotten.lambda = 0.7;
  forgotten.dw2 = [](S s) { return matmul(s.vdz2, s.a1.t()) / m; };
  expect(forgotten.check(), {"forgotten", Finding::WeightDecay, "counted once too little", "W2"});
}

TEST(Backprop, OtherValuesInAProduct) {
  plant(&Student::dw2, [](S s) { return matmul(s.vdz2, s.z1.t()) / m; },
        {"Z1 instead of A1", Finding::WrongOperand, "belongs", "W2"});
  plant(&Student::dw1,
        [](S) {
          return zeros({4, 2}, kFloat64);
        },
        {"zero", Finding::NotConnected, "it is not connected", "W1"});
}

// ---- the second tutorial: relu layers of equal widths, then a sigmoid

struct DeepStudent {
  static constexpr int64_t m = 6, layers = 4, width = 3;
  Tensor x, y = row({0, 1, 1, 0, 1, 0});
  Tensors w, b, a, z;  // of layer l at l; w[0] and z[0] are not used
  explicit DeepStudent(int64_t seed = 0) {
    x = normal({width, m}, seed + 11);
    a = {x};
    w.emplace_back(), b.emplace_back(), z.emplace_back();
    for (int64_t l = 1; l <= layers; l++) {
      const int64_t out = l == layers ? 1 : width;
      w.push_back(normal({out, width}, seed + 20 + l));
      b.push_back(normal({out, 1}, seed + 31 + l) * 0.5);
      z.push_back(matmul(w.back(), a.back()) + b.back());
      a.push_back(l == layers ? sigmoid(z.back()) : relu(z.back()));
    }
  }
  const Tensor& W(int64_t l) const { return w[static_cast<size_t>(l)]; }
  const Tensor& A(int64_t l) const { return a[static_cast<size_t>(l)]; }
  const Tensor& Z(int64_t l) const { return z[static_cast<size_t>(l)]; }

  using D = const DeepStudent&;
  std::function<Tensor(D)> loss = [](D s) { return -(s.y / s.A(layers) - (1 - s.y) / (1 - s.A(layers))); };
  /// dZ of layer l from its dA.
  std::function<Tensor(D, int64_t, const Tensor&)> dz = [](D s, int64_t l, const Tensor& da) {
    return l == layers ? da * s.A(l) * (1 - s.A(l)) : where(s.Z(l) > 0, da, 0);
  };
  std::function<Tensor(D, int64_t, const Tensor&)> dw = [](D s, int64_t l, const Tensor& dz) {
    return matmul(dz, s.A(l - 1).t()) / m;
  };
  std::function<Tensor(D, int64_t, const Tensor&)> db = [](D, int64_t, const Tensor& dz) {
    return dz.sum({1}, true) / m;
  };
  /// dA of the layer before.
  std::function<Tensor(D, int64_t, const Tensor&)> da = [](D s, int64_t l, const Tensor& dz) {
    return matmul(s.W(l).t(), dz);
  };

  GradcheckReport check(const std::function<void(Tensors& dw, Tensors& db)>& swap = {}) const {
    Tensors dws(layers + 1), dbs(layers + 1);
    Tensor g = loss(*this);
    for (int64_t l = layers; l >= 1; l--) {
      const Tensor d = dz(*this, l, g);
      dws[static_cast<size_t>(l)] = dw(*this, l, d);
      dbs[static_cast<size_t>(l)] = db(*this, l, d);
      g = da(*this, l, d);
    }
    if (swap) swap(dws, dbs);
    Tensors parameters, claims;
    GradcheckOptions options{.sizes = {{"samples", m}}};
    for (int64_t l = 1; l <= layers; l++) {
      const auto at = static_cast<size_t>(l);
      parameters.insert(parameters.end(), {w[at], b[at]});
      claims.insert(claims.end(), {dws[at], dbs[at]});
      options.names.insert(options.names.end(), {fmt::format("W{}", l), fmt::format("b{}", l)});
    }
    const auto cost = [&](const Tensors& p) {
      Tensor h = x;
      for (size_t l = 0; l < layers; l++) {
        h = matmul(p[2 * l], h) + p[2 * l + 1];
        h = l + 1 == layers ? sigmoid(h) : relu(h);
      }
      return -(y * log(h) + (1 - y) * log(1 - h)).sum() / m;
    };
    return check_gradient(cost, parameters, claims, options);
  }
};
using D = const DeepStudent&;
constexpr int64_t L = DeepStudent::layers;

TEST(DeepBackprop, RightOnesPass) {
  expect_right([](int64_t seed) { return DeepStudent(seed).check(); });
}

TEST(DeepBackprop, Derivatives) {
  DeepStudent all;
  all.dz = [](D s, int64_t l, const Tensor& da) { return l == L ? da * s.A(l) * (1 - s.A(l)) : da; };
  expect(all.check(),
         {"no relu derivative anywhere", Finding::MissingDerivative, "is missing (in all 3 places)", "W1"});
  DeepStudent one;
  one.dz = [](D s, int64_t l, const Tensor& da) {
    return l == L ? da * s.A(l) * (1 - s.A(l)) : l == 2 ? da : where(s.Z(l) > 0, da, 0);
  };
  expect(one.check(),
         {"none in layer 2", Finding::MissingDerivative, "the derivative of relu after b2", "W2"});
  DeepStudent last;
  last.dz = [](D s, int64_t l, const Tensor& da) { return l == L ? da : where(s.Z(l) > 0, da, 0); };
  expect(last.check(), {"none at the output", Finding::MissingDerivative,
                        "the derivative of sigmoid, y (1 - y), is missing", "W1"});
  DeepStudent tanh_last;
  tanh_last.dz = [](D s, int64_t l, const Tensor& da) {
    return l == L ? da * (1 - square(s.A(l))) : where(s.Z(l) > 0, da, 0);
  };
  expect(tanh_last.check(),
         {"tanh's at the output", Finding::OtherDerivative,
          "the derivative of tanh, (1 - y) (1 + y) with y = its output, stands where that of "
          "sigmoid, y (1 - y), belongs",
          "W1"});
  DeepStudent tanhs;
  tanhs.dz = [](D s, int64_t l, const Tensor& da) {
    return l == L ? da * s.A(l) * (1 - s.A(l)) : da * (1 - square(s.A(l)));
  };
  expect(tanhs.check(),
         {"tanh's in the hidden layers", Finding::OtherDerivative, "the derivative of tanh", "W1"});
  DeepStudent simplified;
  simplified.loss = [](D s) { return s.A(L) - s.y; };
  expect(simplified.check(),
         {"A - Y as dA: its derivative is in it twice", Finding::OtherDerivative, "is in it twice", "W1"});
}

TEST(DeepBackprop, Layers) {
  DeepStudent skipped;
  skipped.da = [](D s, int64_t l, const Tensor& dz) { return l == 2 ? dz : matmul(s.W(l).t(), dz); };
  expect(skipped.check(), {"W2 left out on the way back", Finding::SkippedLayer, "a layer is skipped", "W1"});
  DeepStudent mask;
  mask.dz = [](D s, int64_t l, const Tensor& da) {
    return l == L ? da * s.A(l) * (1 - s.A(l)) : where(s.Z(l == 3 ? 2 : l) > 0, da, 0);
  };
  expect(mask.check(), {"another layer's Z", Finding::WrongPlace,
                        "the derivative of relu after b3, 0 where y ≤ 0, else 1, is taken at y = ", "W1"});
  DeepStudent weights;
  weights.da = [](D s, int64_t l, const Tensor& dz) { return matmul(s.W(l == 2 ? 3 : l).t(), dz); };
  expect(weights.check(), {"W3 instead of W2", Finding::WrongOperand, "W3 stands in the product", "W1"});
  DeepStudent transposed;
  transposed.da = [](D s, int64_t l, const Tensor& dz) { return matmul(l == 2 ? s.W(l) : s.W(l).t(), dz); };
  expect(transposed.check(),
         {"W2 instead of its transpose", Finding::Transposed,
          "W2 stands in the product on the way back through matmul with W2 where W2ᵀ belongs", "W1"});
  DeepStudent cached;
  cached.dw = [](D s, int64_t l, const Tensor& dz) {
    return matmul(dz, s.A(l == 3 ? 1 : l - 1).t()) / DeepStudent::m;
  };
  expect(cached.check(),
         {"another layer's A in dW3", Finding::WrongOperand, "relu after b1 stands in the product", "W3"});

  expect(DeepStudent().check([](Tensors&, Tensors& db) { db[1] = db[2]; }),
         {"db1 = db2", Finding::Swapped, "this is the gradient of b2", "b1"});
  expect(DeepStudent().check([](Tensors& dw, Tensors&) { std::swap(dw[1], dw[2]); }),
         {"dW1 and dW2 exchanged", Finding::Swapped, "the gradients of W1 and W2 are exchanged", "W1"});
  expect(DeepStudent().check([](Tensors& dw, Tensors&) { dw[2] = dw[2].t(); }),
         {"dW2 transposed, square", Finding::Transposed, "the gradient of W2ᵀ", "W2"});
}

TEST(DeepBackprop, TheLossItself) {
  DeepStudent sign;
  sign.loss = [](D s) { return -(s.y / s.A(L) + (1 - s.y) / (1 - s.A(L))); };
  expect(sign.check(), {"a sign in one term", Finding::Sign, "the sign is flipped of what", "W1"});
  DeepStudent term;
  term.loss = [](D s) { return -s.y / s.A(L); };
  expect(term.check(), {"one term only", Finding::MissingPath, "a path is missing", "W1"});
}

TEST(Diagnosis, SaysWhenSeveralMistakesExplainAGradientEquallyWell) {
  const auto f = [](const Tensor& v) { return (exp(v) * v).sum(); };
  const auto text = [&](const Tensor& x, const Tensor& claim) {
    const auto report = check_gradient(f, {x}, {claim});
    EXPECT_FALSE(report);
    return report.diagnosis().text;
  };
  const Tensor x = row({1, 2, -2}), two = row({2, 2, 2});
  EXPECT_TRUE(check_gradient(f, {x}, {exp(x) * (x + 1)}));
  EXPECT_THAT(text(x, exp(x) * x),
              HasSubstr("a path is missing: of 2 gradients that meet at x the one from mul"));
  EXPECT_THAT(text(x, exp(x) * x), testing::Not(HasSubstr("As well")));
  // Where x is 2, half of one path is as much as all of the other.
  EXPECT_THAT(text(two, exp(two) * two), testing::StartsWith("off by the factor 2: what mul gives exp"));
  EXPECT_THAT(text(two, exp(two) * two), HasSubstr("As well explained by: a path is missing"));
}

struct SigmoidsTanh {
  static constexpr auto name = "sigmoids_tanh";
  template <class T>
  constexpr T value(T x) const {
    return tanh(x);
  }
  template <class T>
  constexpr T vjp(In<0>, T, T y, T g) const {
    return g * y * (1 - y);
  }
};

TEST(Diagnosis, ReadsNetworksWithSamplesInRows) {
  const int64_t m = 6;
  const Tensor x = normal({m, 3}, 1), y = row({0, 1, 1, 0, 1, 0}).t();
  const Tensor w1 = normal({3, 3}, 2), b1 = normal({3}, 3), w2 = normal({3, 3}, 4), b2 = normal({3}, 5);
  const Tensor w3 = normal({1, 3}, 6), b3 = normal({1}, 7);
  const Tensor a1 = tanh(linear(x, w1, b1)), a2 = tanh(linear(a1, w2, b2));
  const Tensor dz3 = (sigmoid(linear(a2, w3, b3)) - y) / m, dz2 = matmul(dz3, w3) * (1 - square(a2));
  const auto check = [&](const Tensor& dz1, const Tensor& dw2, const Planted& p) {
    const auto f = [&](const Tensors& v) {
      const Tensor h = tanh(linear(tanh(linear(x, v[0], v[1])), v[2], v[3]));
      return binary_cross_entropy_with_logits(linear(h, v[4], v[5]), y);
    };
    const auto report = check_gradient(
        f, {w1, b1, w2, b2, w3, b3},
        {matmul(dz1.t(), x), dz1.sum({0}), dw2, dz2.sum({0}), matmul(dz3.t(), a2), dz3.sum({0})},
        {.names = {"W1", "b1", "W2", "b2", "W3", "b3"}, .sizes = {{"samples", m}}});
    if (p.mistake)
      expect(report, p);
    else
      EXPECT_TRUE(report) << report.str();
  };
  const Tensor dz1 = matmul(dz2, w2) * (1 - square(a1)), dw2 = matmul(dz2.t(), a1);
  check(dz1, dw2, {});
  check(matmul(dz2, w2), dw2, {"no derivative", Finding::MissingDerivative, "tanh after b1", "W1"});
  check(matmul(dz2, w2.t()) * (1 - square(a1)), dw2,
        {"transpose", Finding::Transposed,
         "W2ᵀ stands in the product on the way back through linear with b2 where W2", "W1"});
  check(dz2 * (1 - square(a1)), dw2,
        {"no W2", Finding::SkippedLayer, "the derivatives of linear with b2 are", "W1"});
  check(matmul(dz2, w2) * (1 - square(a2)), dw2,
        {"A2 for A1", Finding::WrongPlace, "is taken at y = tanh after b2", "W1"});
  check(dz1, matmul(dz2.t(), x),
        {"X for A1", Finding::WrongOperand, "the data of shape [6, 3] stands", "W2"});
  check(dz1, matmul(dz2.slice(0, 2, 3).t(), a1.slice(0, 2, 3)),
        {"one sample", Finding::OneSample, "only number 2 of the 6 samples counts", "W2"});
}

TEST(Diagnosis, FindsAWrongRuleInTheMidstOfAModel) {
  nn::Sequential model{
      nn::Linear(3, 4, true, kFloat64), [](const Tensor& x) { return pointwise(SigmoidsTanh{}, x); },
      nn::Linear(4, 4, true, kFloat64), [](const Tensor& x) { return pointwise(SigmoidsTanh{}, x); },
      nn::Linear(4, 1, true, kFloat64)};
  const Tensor x = normal({6, 3}, 1), y = normal({6, 1}, 2);
  const auto report = gradcheck([&] { return mse_loss(model(x), y); }, nn::named_parameters(model));
  for (const char* name : {"0.weight", "0.bias", "2.weight", "2.bias"}) {
    const Diagnosis& d = report.input(name).diagnosis;
    EXPECT_EQ(d.kind, Finding::OtherDerivative) << report.str();
    EXPECT_THAT(
        d.text,
        HasSubstr("the derivative of sigmoid, y (1 - y) with y = its output, stands where that of tanh "
                  "in 'sigmoids_tanh', (1 - y) (1 + y), belongs"));
  }
  EXPECT_TRUE(report.input("4.weight").ok());
}

TEST(Diagnosis, NeedsNoGraph) {
  const Tensor x = normal({2, 3}, 1);
  const auto f = [](const Tensor& v) {
    const NoGrad no_grad;
    return tanh(v).sum();
  };
  EXPECT_TRUE(check_gradient(f, {x}, {1 - square(tanh(x))}));
  EXPECT_EQ(check_gradient(f, {x}, {square(tanh(x)) - 1}).diagnosis().kind, Finding::Sign);
  EXPECT_EQ(check_gradient(f, {x}, {ones({2, 3}, kFloat64)}).diagnosis().kind, Finding::Unknown);
}

TEST(Diagnosis, RefusesPreviousInputsThatDoNotFit) {
  const Tensor x = normal({3}, 1);
  const auto f = [](const Tensor& v) { return square(v).sum(); };
  EXPECT_THROW(check_gradient(f, {x}, {2 * x}, {.previous = {x, x}}), Error);
  EXPECT_THROW(check_gradient(f, {x}, {2 * x}, {.previous = {normal({4}, 1)}}), ShapeError);
  EXPECT_TRUE(check_gradient(f, {x}, {2 * x}, {.previous = {x + 1}}));
}

}  // namespace
}  // namespace gradus
