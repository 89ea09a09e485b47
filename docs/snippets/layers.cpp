// The code of docs/layers.md.
#include <gradus/gradus.h>

using namespace gradus;

namespace {

/// y = x · scale + shift, with numbers of its own for each feature: x [..., features].
struct Affine {
  nn::Param scale, shift;
  explicit Affine(int64_t features, Dtype dtype = kFloat32)
      : scale(ones({features}, dtype)), shift(zeros({features}, dtype)) {}
  Tensor operator()(const Tensor& x) const { return x * scale + shift; }
  void visit(nn::Visitor& v) {
    v("scale", scale);
    v("shift", shift);
  }
};

/// Each feature less its mean, over its deviation: those of the batch in training, running ones afterwards
/// (Ioffe and Szegedy 2015, "Batch normalization"). x [samples, features].
struct Standardize {
  nn::Buffer mean, variance;  // saved, but not trained
  bool training = true;
  explicit Standardize(int64_t features, Dtype dtype = kFloat32)
      : mean(zeros({features}, dtype)), variance(ones({features}, dtype)) {}
  Tensor operator()(const Tensor& x) {
    if (!training) return (x - mean) / sqrt(variance + 1e-5);
    const Tensor m = x.mean({0}), v = square(x - m).mean({0});
    mean = 0.9 * mean + 0.1 * m;
    variance = 0.9 * variance + 0.1 * v;
    return (x - m) / sqrt(v + 1e-5);
  }
  void visit(nn::Visitor& v) {
    v("mean", mean);
    v("variance", variance);
    v("training", training);
  }
};

/// Linear layers with the two above between them.
struct Network {
  struct Block {
    nn::Linear linear;
    Standardize standardize;
    Affine affine;
    Block(int64_t in, int64_t out)
        : linear(in, out, false, kFloat64), standardize(out, kFloat64), affine(out, kFloat64) {}
    Tensor operator()(const Tensor& x) { return relu(affine(standardize(linear(x)))); }
    void visit(nn::Visitor& v) { v("linear", linear), v("standardize", standardize), v("affine", affine); }
  };
  std::vector<Block> blocks{{2, 8}, {8, 8}};
  nn::Linear last{8, 1, true, kFloat64};

  Tensor operator()(Tensor x) {
    for (Block& block : blocks) x = block(x);
    return last(x);
  }
  void visit(nn::Visitor& v) { v("blocks", blocks), v("last", last); }
};

/// The same as Affine, but visit() forgets a part.
struct Forgetful : Affine {
  using Affine::Affine;
  void visit(nn::Visitor& v) { v("scale", scale); }
};

}  // namespace

int main() {
  manual_seed(1);
  Network network;
  fmt::print("{}\n", nn::summary(network));

  const Tensor x = randn({16, 2}, kFloat64), y = (rand({16, 1}, kFloat64) > 0.5).to(kFloat64);
  const auto loss = [&] { return binary_cross_entropy_with_logits(network(x), y); };
  nn::eval(network);  // a check needs a function that gives the same value each time
  fmt::print("{}\n", gradcheck(loss, nn::named_parameters(network)).ok() ? "right" : "wrong");

  nn::train(network);
  optim::Adam optimizer(nn::parameters(network), {.lr = 0.05});
  Replay step = record([&] {  // the running averages are part of what is recorded
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  });
  for (int i = 3; i < 100; i++) step();
  Network best = network;  // a model of its own
  nn::eval(best);
  fmt::print("trained: {}\n", binary_cross_entropy_with_logits(best(x), y).item() < 0.1 ? "yes" : "no");
  for (const auto& [name, buffer] : nn::named_buffers(network.blocks[0]))
    fmt::print("{} {}\n", name, buffer.shape());

  Forgetful forgetful(2, kFloat64);
  const auto square_loss = [&] { return square(forgetful(x)).mean(); };
  for (const Tensor& leaf : nn::forgotten(square_loss(), forgetful))
    fmt::print("forgotten: a leaf of shape {}\n", leaf.shape());
  fmt::print("{}\n", gradcheck(square_loss, nn::named_parameters(forgetful)));
}
