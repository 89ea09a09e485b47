// The code of docs/pytorch.md.
#include <gradus/gradus.h>

#include <cmath>

using namespace gradus;

namespace {

struct Net {
  nn::Linear fc1{784, 128}, fc2{128, 10};
  nn::Dropout dropout{0.2};

  Tensor operator()(const Tensor& x) const { return fc2(dropout(relu(fc1(x.flatten(1))))); }
  void visit(nn::Visitor& v) { v("fc1", fc1), v("fc2", fc2), v("dropout", dropout); }
};

double train_one_epoch(Net& net, optim::Optimizer& optimizer, const Tensor& images, const Tensor& classes) {
  nn::train(net);
  double total = 0;
  const int64_t batch = 32, n = images.size(0);
  for (int64_t i = 0; i < n; i += batch) {
    const Tensor x = images.slice(0, i, i + batch), y = classes.slice(0, i, i + batch);
    optimizer.zero_grad();
    const Tensor loss = cross_entropy(net(x), y);
    loss.backward();
    optimizer.step();
    total += loss.item() * static_cast<double>(x.size(0));
  }
  return total / static_cast<double>(n);
}

double accuracy(Net& net, const Tensor& images, const Tensor& classes) {
  nn::eval(net);
  NoGrad no_grad;
  return (argmax(net(images), 1) == classes).to(kFloat32).mean().item();
}

void step_of(Net& net, optim::Optimizer& optimizer, const Tensor& x, const Tensor& y, int64_t parts) {
  optimizer.zero_grad();
  const int64_t part = x.size(0) / parts;
  for (int64_t i = 0; i < x.size(0); i += part)
    (cross_entropy(net(x.slice(0, i, i + part)), y.slice(0, i, i + part)) / parts).backward();
  optimizer.step();
}

/// Pictures of stripes: class k has bright pixels in every row i with i mod 10 = k.
Tensor stripes(const Tensor& classes) {
  const Tensor row = arange(28).reshape({28, 1});
  Tensor images = rand({classes.size(0), 28, 28});
  for (int64_t i = 0; i < classes.size(0); i++) {
    const Tensor bright = row - 10 * floor(row / 10).to(kInt64) == classes.at<int64_t>({i});
    images[i].add_(bright.to(kFloat32).expand({28, 28}));
  }
  return images;
}

/// Throws where what the page says of training loops is not so.
void check(bool right, const char* what) {
  if (!right) fail("pytorch: {}", what);
}
double distance(const Tensor& a, const Tensor& b) { return max(abs(a.detach() - b.detach())).item(); }

void freeze(Net net, const Tensor& x, const Tensor& y) {
  const Net before = net;
  for (Tensor p : nn::parameters(net.fc1)) p.requires_grad_(false);
  optim::SGD head(nn::parameters(net.fc2), {.lr = 0.1});
  head.set_lr(0.5 * head.lr());
  cross_entropy(net(x), y).backward();
  head.step();
  check(distance(net.fc1.weight, before.fc1.weight) == 0, "a frozen layer moved");
  const double moved = distance(net.fc2.weight, before.fc2.weight),
               wanted = 0.05 * max(abs(net.fc2.weight.grad())).item();
  check(std::abs(moved - wanted) < 1e-6, "the other layer did not move by half the learning rate");
}

void accumulate(Net net, const Tensor& images, const Tensor& classes) {
  nn::eval(net);
  const int64_t parts = 4;
  Net other = net, whole = net;
  optim::SGD eager(nn::parameters(other), {.lr = 0.1}), at_once(nn::parameters(whole), {.lr = 0.1}),
      optimizer(nn::parameters(net), {.lr = 0.1});
  step_of(other, eager, images, classes, parts);
  step_of(whole, at_once, images, classes, 1);
  Tensor x = images.slice(0, 0, 64).clone(), y = classes.slice(0, 0, 64).clone();

  Tensors parameters = nn::parameters(net);
  for (Tensor& p : parameters) p.set_grad(zeros_like(p));
  Replay add_gradients = record([&] { (cross_entropy(net(x), y) / parts).backward(); });

  for (Tensor& p : parameters) p.grad().zero_();  // recording ran it three times
  for (int64_t i = 0; i < parts; i++) {
    x.copy_(images.slice(0, i * 64, (i + 1) * 64));
    y.copy_(classes.slice(0, i * 64, (i + 1) * 64));
    add_gradients();
  }
  optimizer.step();
  check(distance(net.fc2.weight, other.fc2.weight) < 1e-7, "replayed parts are not the eager ones");
  check(distance(other.fc2.weight, whole.fc2.weight) < 1e-6, "parts are not the whole");
}

void replace_data(Net net) {
  const Tensor leaf = net.fc2.weight, half = 0.5 * leaf.detach();
  NoGrad no_grad;
  net.fc2.bias.copy_(zeros({10}));      // p.data = …, p.data.copy_(…)
  net.fc2.weight.mul_(0.5);             // p.data *= 0.5
  net.fc1.weight[0] = ones({28 * 28});  // p.data[0] = …
  check(distance(leaf, half) == 0 && net.fc2.weight.requires_grad(), "the leaf is another");
  check(net.fc1.weight.at({0, 783}) == 1, "a row was not written");
}

void elements() {
  Tensor x = zeros({3, 4});
  x[1] = tensor({1., 2., 3., 4.});  // a row
  x[2][0] = 7;                      // an element
  x.slice(1, 2, 4) += 10;           // columns 2 and 3
  fmt::print("{}\n{} {}\n", x, x.at({2, 0}), x.at<int64_t>({0, -1}));

  fmt::print("{}\n", index_select(x, 0, tensor({2, 0, 2})));

  const Tensor mask = (x > 5) * (x < 13);       // x > 5 and x < 13
  fmt::print("{}\n", where(mask, 0, x));        // x[mask] = 0; x.copy_(…) writes it into x
  fmt::print("{}\n", where(mask, x, 0).sum());  // x[mask].sum(), whatever the others are, NaN too
  fmt::print("{}\n", where(mask, x, 0).sum() / mask.sum());  // x[mask].mean()
}

}  // namespace

int main() {
  manual_seed(0);
  const Tensor classes = (rand({256}) * 10).to(kInt64), images = stripes(classes);

  Net net;
  optim::SGD optimizer(nn::parameters(net), {.lr = 0.1, .momentum = 0.9});
  double loss = 0;
  for (int epoch = 0; epoch < 10; epoch++) loss = train_one_epoch(net, optimizer, images, classes);
  fmt::print("loss {}, accuracy {:.0f} %\n", loss < 0.01 ? "below 0.01" : "too large",
             100 * accuracy(net, images, classes));

  freeze(net, images, classes);
  accumulate(net, images, classes);
  replace_data(net);
  elements();

  nn::save("net.safetensors", nn::state_dict(net));
  Net restored;
  nn::load_state_dict(restored, nn::load("net.safetensors"));
  for (const auto& [name, tensor] : nn::state_dict(restored)) fmt::print("{} {}\n", name, tensor.shape());
}
