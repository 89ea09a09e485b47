// The code of docs/gradcheck.md.
#include <gradus/gradus.h>

using namespace gradus;

namespace {

void a_function() {
  const auto f = [](const Tensor& x, const Tensor& w) { return tanh(matmul(x, w)); };
  manual_seed(1);
  const Tensor x = randn({3, 2}, kFloat64), w = randn({2, 4}, kFloat64);

  const GradcheckReport report = gradcheck(f, {x, w}, {.order = 2, .names = {"x", "w"}});
  fmt::print("{}", report);
  if (!report) fmt::print("the gradients are wrong\n");
}

void a_model() {
  manual_seed(1);
  nn::Sequential model{nn::Linear(3, 5, true, kFloat64), nn::Tanh(), nn::Linear(5, 2, true, kFloat64)};
  const Tensor x = randn({7, 3}, kFloat64), y = randn({7, 2}, kFloat64);

  fmt::print("{}", gradcheck([&] { return mse_loss(model(x), y); }, nn::named_parameters(model)));
}

/// Logistic regression on m samples, and gradients as a student derived them.
void by_hand() {
  manual_seed(1);
  const int64_t m = 8;
  const Tensor x = randn({m, 3}, kFloat64), y = (rand({m, 1}, kFloat64) > 0.5).to(kFloat64);
  const Tensor w = randn({1, 3}, kFloat64), b = zeros({1}, kFloat64);
  const auto cost = [&](const Tensor& w, const Tensor& b) {
    return binary_cross_entropy(sigmoid(linear(x, w, b)), y);
  };

  const Tensor dz = sigmoid(linear(x, w, b)) - y;  // the derivative of the sum; the cost is a mean
  const Tensor dw = matmul(dz.t(), x);
  const Tensor db = dz.sum({0});
  const GradcheckReport report =
      check_gradient(cost, {w, b}, {dw, db}, {.names = {"w", "b"}, .sizes = {{"samples", m}}});
  fmt::print("{}\n", report);

  for (const GradcheckInput& input : report.inputs)
    fmt::print("{}: {}, numeric / claimed = {}\n", input.name, name_of(input.diagnosis.kind), input.ratio());

  const Tensor dw_repaired = dw / m, db_repaired = db / m;
  fmt::print("repaired: {}\n",
             check_gradient(cost, {w, b}, {dw_repaired, db_repaired}).ok() ? "right" : "wrong");
}

void what_cannot_be_told() {
  const auto at = [](const Tensor& x) {
    return gradcheck([](const Tensor& t) { return relu(t).sum(); }, {x});
  };
  fmt::print("{}\n", at(tensor({-1., 0., 2.}, kFloat64)));  // a kink at 0

  const auto root = [](const Tensor& x) { return sqrt(x).sum(); };
  fmt::print("{}\n", gradcheck(root, {tensor({1., -1.}, kFloat64)}));  // no number

  try {
    gradcheck(root, {tensor({1., 2.})});  // float32
  } catch (const DtypeError& error) {
    fmt::print("{}\n", error.what());
  }
}

}  // namespace

int main() {
  a_function();
  a_model();
  by_hand();
  what_cannot_be_told();
}
