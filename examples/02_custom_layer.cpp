// A layer of one's own: a struct with a call operator and one line that names its parts.
#include <common/datasets.h>
#include <gradus/gradus.h>

using namespace gradus;

namespace {

/// y = x + down(relu(up(x))): the block learns only what it adds to x.
struct Residual {
  nn::Linear up, down;
  Residual(int64_t width, int64_t hidden) : up{width, hidden}, down{hidden, width} {}
  Tensor operator()(const Tensor& x) const { return x + down(relu(up(x))); }
  void visit(nn::Visitor& v) { v("up", up), v("down", down); }
};

/// A model is a layer like any other; vectors of layers are parts, too.
struct Network {
  nn::Linear first{2, 8};
  std::vector<Residual> blocks{{8, 16}, {8, 16}, {8, 16}};
  nn::Linear last{8, 1};

  Tensor operator()(const Tensor& x) const {
    Tensor h = tanh(first(x));
    for (const Residual& block : blocks) h = block(h);
    return last(h);
  }
  void visit(nn::Visitor& v) { v("first", first), v("blocks", blocks), v("last", last); }
};

}  // namespace

int main() {
  manual_seed(1);
  const examples::Dataset moons = examples::make_moons(200, 0.15);
  const Tensor x = tensor(moons.x, {moons.samples, 2}), y = tensor(moons.y, {moons.samples, 1});

  Network network;
  fmt::print("{}\n", nn::summary(network));

  const nn::BCEWithLogitsLoss loss;
  optim::Adam optimizer(nn::parameters(network), {.lr = 0.01});
  double cost = 0;
  for (int step = 0; step <= 200; step++) {
    optimizer.zero_grad();
    const Tensor l = loss(network(x), y);
    l.backward();
    // A part that visit() forgets would silently not be trained.
    if (step == 0 && !nn::forgotten(l, network).empty()) return 1;
    optimizer.step();
    cost = l.item();
    if (step % 50 == 0) fmt::print("step {:3}   loss {:.4f}\n", step, cost);
  }

  const double right = ((network(x) > 0) == (y > 0.5)).to(kFloat32).mean().item();
  fmt::print("\n{} points of two half moons: {:.1f} % on the right side\n", moons.samples, 100 * right);

  // A copy is a network of its own: changing one leaves the other as it was.
  const Network copy = network;
  {
    NoGrad no_grad;
    network.last.weight.zero_();
  }
  const double kept = loss(copy(x), y).item(), lost = loss(network(x), y).item();
  fmt::print("With its last weights set to 0 the network's loss is {:.4f}; its copy's is still {:.4f}\n",
             lost, kept);
  return right > 0.98 && kept < 0.1 && lost > 0.5 ? 0 : 1;
}
