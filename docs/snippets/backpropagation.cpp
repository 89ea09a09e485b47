// The code of docs/backpropagation.md.
#include <gradus/gradus.h>

using namespace gradus;

namespace {

void a_small_graph() {
  Tensor a = tensor(2., kFloat64).requires_grad_();
  Tensor b = tensor(-0.75, kFloat64).requires_grad_();
  Tensor c = a * b;    // -1.5
  Tensor d = c + a;    // 0.5: a is used a second time
  Tensor y = tanh(d);  // 0.462117

  // Leaves keep their gradients; a result does where it is asked to.
  for (Tensor* result : {&c, &d, &y}) result->retain_grad();
  y.backward();
  const std::pair<const char*, Tensor> tensors[] = {{"y", y}, {"d", d}, {"c", c}, {"a", a}, {"b", b}};
  for (const auto& [name, t] : tensors)
    fmt::print("{} = {:9.6f}   dy/d{} = {:9.6f}   {}\n", name, t.item(), name, t.grad().item(), t.op_name());
}

void the_nodes() {
  Tensor a = tensor(2., kFloat64).requires_grad_();
  Tensor b = tensor(-0.75, kFloat64).requires_grad_();
  const Tensor y = tanh(a * b + a);
  for (const Node* node : graph_nodes(y)) {
    fmt::print("{:<5}", node->name());
    for (const Edge& edge : node->edges()) fmt::print(" -> {}", edge.node->name());
    fmt::print("\n");
  }
}

void explained() {
  Tensor a = tensor(2., kFloat64).requires_grad_();
  Tensor b = tensor(-0.75, kFloat64).requires_grad_();
  const Tensor c = a * b, d = c + a, y = tanh(d);
  fmt::print("{}", explain(y, {{"a", a}, {"b", b}, {"c", c}, {"d", d}}));
}

void a_broadcast() {
  const Tensor x = tensor({{1., 2.}, {3., 4.}, {5., 6.}}, kFloat64);  // three samples
  Tensor b = tensor({0.5, -0.5}, kFloat64).requires_grad_();
  const Tensor z = x + b;  // b is added to each of the three rows
  z.backward(tensor({{1., 10.}, {2., 20.}, {3., 30.}}, kFloat64));
  fmt::print("db = {}\n", b.grad());
}

void twice() {
  Tensor w = tensor({1., 2.}, kFloat64).requires_grad_();
  square(w).sum().backward();
  fmt::print("once:   {}\n", w.grad());
  square(w).sum().backward();
  fmt::print("twice:  {}\n", w.grad());
  w.set_grad({});
  square(w).sum().backward();
  fmt::print("afresh: {}\n", w.grad());
}

void refused() {
  Tensor w = tensor({1., 2.}, kFloat64).requires_grad_();
  const auto try_it = [](const char* what, auto f) {
    try {
      f();
    } catch (const GradError& error) {
      fmt::print("{}\n  {}\n", what, error.what());
    }
  };

  const Tensor y = exp(w).sum();
  y.backward();
  try_it("a second pass over the same graph:", [&] { y.backward(); });

  Tensor h = exp(w);
  const Tensor z = h.sum();
  h.mul_(2);  // exp's rule reads its own result, which is overwritten here
  try_it("a saved value that was changed:", [&] { (z + h.sum()).backward(); });

  try_it("a leaf written to in place:", [&] { w.add_(1); });
  try_it("more than one element:", [&] { exp(w).backward(); });
}

void higher_orders() {
  Tensor x = tensor(0.5, kFloat64).requires_grad_();
  Tensor y = tanh(x);
  for (int order = 0; order <= 4; order++) {
    fmt::print("order {}: {:9.6f}\n", order, y.item());
    y = grad({y}, {x}, {}, {.create_graph = true})[0];
  }
}

void hooks() {
  Tensor x = tensor({0.5, 3., -8.}, kFloat64).requires_grad_();
  const Tensor h = tanh(x);
  h.register_hook([](const Tensor& g) { fmt::print("at h: {}\n", g); });
  x.register_hook([](const Tensor& g) { fmt::print("at x: {}\n", g); });
  h.sum().backward();
}

}  // namespace

int main() {
  the_nodes();
  a_small_graph();
  explained();
  a_broadcast();
  twice();
  refused();
  higher_orders();
  hooks();
}
