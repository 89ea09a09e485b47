// The code of docs/pytorch.md.
#include <gradus/gradus.h>

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

  nn::save("net.safetensors", nn::state_dict(net));
  Net restored;
  nn::load_state_dict(restored, nn::load("net.safetensors"));
  for (const auto& [name, tensor] : nn::state_dict(restored)) fmt::print("{} {}\n", name, tensor.shape());
}
