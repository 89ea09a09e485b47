#include <common/cats.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/loss.h>

#include <cmath>

namespace gradus::examples {

CatsNetwork::CatsNetwork(const std::vector<int64_t>& sizes, Dtype dtype, int64_t seed, double dropout,
                         double clip)
    : layers(make_network(sizes, "relu", dtype, dropout)), clip(clip) {
  init_as_numpy(layers, seed, [](double r, double fan_in) { return r / std::sqrt(fan_in); });
}

Tensor CatsNetwork::operator()(const Tensor& x) const { return sigmoid(layers(x)); }

Tensor CatsNetwork::cost(const Tensor& x, const Tensor& y) const {
  const Tensor a = (*this)(x);
  return binary_cross_entropy(clip > 0 ? clamp(a, clip, 1 - clip) : a, y);
}

PictureGrid mislabelled(const Dataset& data, const std::vector<double>& a,
                        const std::vector<std::string>& classes) {
  PictureGrid grid;
  for (int64_t i = 0; i < data.samples; i++) {
    const auto at = static_cast<size_t>(i);
    const bool says_cat = a[at] > 0.5, is_cat = data.y[at] > 0.5;
    if (says_cat == is_cat) continue;
    grid.pictures.push_back(
        {64,
         64,
         pixels(data, i),
         {fmt::format("says {} ({:.0f} %)", classes[says_cat], 100 * (says_cat ? a[at] : 1 - a[at])),
          fmt::format("is {}", classes[is_cat])}});
  }
  grid.title = fmt::format("{} of {} test images are mislabelled", grid.pictures.size(), data.samples);
  return grid;
}

}  // namespace gradus::examples
