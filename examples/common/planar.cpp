#include <common/handmade.h>
#include <common/planar.h>
#include <gradus/autograd/engine/custom.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/loss.h>

namespace gradus::examples {
namespace {

/// The tutorial's cost and backward step of a network that ends in tanh: a function of one's own.
Tensor cost_as_printed(const Tensor& z, const Tensor& y) {
  return custom(
      "cost_as_printed", {z, y},
      [](Context& ctx, const Tensors& in) {
        ctx.save(in[0]);
        ctx.save(in[1]);
        return compute_cost(tanh(in[0]).t(), in[1].t());
      },
      [](const Context& ctx, const Tensor& g) -> Tensors {
        const Tensor &z = ctx[0], &y = ctx[1];
        return {g * (tanh(z) - y) / z.numel(), Tensor()};
      });
}

}  // namespace

PlanarNetwork::PlanarNetwork(int64_t hidden, const std::string& activation, const std::string& output,
                             Dtype dtype, int64_t seed)
    : layers(make_network({2, hidden, 1}, activation, dtype)), ends_in_tanh(output == "tanh") {
  if (!ends_in_tanh && output != "sigmoid")
    fail("PlanarNetwork: no such output: '{}' (there are sigmoid, tanh)", output);
  init_as_numpy(layers, seed, [](double r, double) { return r * 0.01; });
}

Tensor PlanarNetwork::operator()(const Tensor& x) const {
  const Tensor z = layers(x);
  return ends_in_tanh ? tanh(z) : sigmoid(z);
}

Tensor PlanarNetwork::cost(const Tensor& x, const Tensor& y) const {
  return ends_in_tanh ? cost_as_printed(layers(x), y) : binary_cross_entropy((*this)(x), y);
}

}  // namespace gradus::examples
