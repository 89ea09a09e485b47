#include <common/datasets.h>
#include <common/hdf5.h>
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/random.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradus::examples {
namespace {

/// As numpy.linspace(start, stop, n) rounds: the last of the n points is `stop` itself.
double linspace(double start, double stop, int64_t n, int64_t i) {
  if (i == n - 1 && n > 1) return stop;
  return static_cast<double>(i) * ((stop - start) / static_cast<double>(std::max<int64_t>(n - 1, 1))) + start;
}

Dataset empty(const char* op, int64_t samples, int64_t at_least) {
  if (samples < at_least) fail<ShapeError>("{}: at least {} samples are needed: {}", op, at_least, samples);
  Dataset data{{}, {}, samples, 2};
  const auto size = static_cast<size_t>(samples);
  try {
    data.x.reserve(2 * size);
    data.y.reserve(size);
    return data;
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  fail("{}: no memory for {} samples", op, samples);
}

void add(Dataset& data, double x0, double x1, int64_t label) {
  data.x.push_back(x0);
  data.x.push_back(x1);
  data.y.push_back(static_cast<double>(label));
}

void check_noise(const char* op, double noise) {
  if (!(noise >= 0 && std::isfinite(noise))) fail("{}: noise must be finite and at least 0: {}", op, noise);
}
void add_noise(Dataset& data, double deviation, NumpyRandom& random) {
  for (double& x : data.x) x += random.normal(0, deviation);
}

Dataset load_pictures(const std::string& path, const std::string& set) {
  const Array x = read_hdf5(path, set + "_set_x", kUInt8, {{-1, 64, 64, 3}});
  const Array y = read_hdf5(path, set + "_set_y", kInt64, {{-1}, {-1, 1}});
  if (x.shape[0] != y.shape[0])
    fail<FileError>("load_cats: {}: {} pictures, but {} labels", path, x.shape[0], y.shape[0]);
  Dataset data{{}, {}, x.shape[0], 64 * 64 * 3};
  for (const uint8_t pixel : x.values<uint8_t>()) data.x.push_back(pixel / 255.0);
  for (const int64_t label : y.values<int64_t>()) {
    if (label != 0 && label != 1)
      fail<FileError>("load_cats: {}: a label is neither 0 nor 1: {}", path, label);
    data.y.push_back(static_cast<double>(label));
  }
  return data;
}

}  // namespace

Dataset load_planar_dataset(int64_t seed, int64_t m) {
  Dataset data = empty("load_planar_dataset", m, 2);
  if (m % 2) fail<ShapeError>("load_planar_dataset: the number of samples must be even: {}", m);
  NumpyRandom random = numpy_random(seed);
  const int64_t half = m / 2;
  for (int64_t label = 0; label < 2; label++) {
    const std::vector<double> angle_noise = random.randn(half), radius_noise = random.randn(half);
    for (int64_t i = 0; i < half; i++) {
      const auto at = static_cast<size_t>(i);
      const double start = static_cast<double>(label) * 3.12, stop = static_cast<double>(label + 1) * 3.12;
      const double angle = linspace(start, stop, half, i) + angle_noise[at] * 0.2;
      const double radius = 4 * std::sin(4 * angle) + radius_noise[at] * 0.2;
      add(data, radius * std::sin(angle), radius * std::cos(angle), label);
    }
  }
  return data;
}

Dataset nn_model_test_case() {
  NumpyRandom random = numpy_random(1);
  const std::vector<double> x = random.randn(6), y = random.randn(3);
  Dataset data = empty("nn_model_test_case", 3, 3);
  for (size_t i = 0; i < 3; i++) add(data, x[i], x[3 + i], y[i] > 0);
  return data;
}

Dataset make_circles(int64_t samples, double factor, double noise, int64_t seed) {
  Dataset data = empty("make_circles", samples, 2);
  if (!(factor >= 0 && factor < 1)) fail("make_circles: factor must lie in [0, 1): {}", factor);
  check_noise("make_circles", noise);
  NumpyRandom random = numpy_random(seed);
  const int64_t sizes[] = {samples / 2, samples - samples / 2};
  for (int64_t label = 0; label < 2; label++)
    for (int64_t i = 0; i < sizes[label]; i++) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(sizes[label]);
      const double radius = label ? factor : 1;
      add(data, radius * std::cos(angle), radius * std::sin(angle), label);
    }
  add_noise(data, noise, random);
  return data;
}

Dataset make_moons(int64_t samples, double noise, int64_t seed) {
  Dataset data = empty("make_moons", samples, 2);
  check_noise("make_moons", noise);
  NumpyRandom random = numpy_random(seed);
  const int64_t upper = samples / 2, lower = samples - upper;
  for (int64_t i = 0; i < upper; i++) {
    const double angle = linspace(0, std::numbers::pi, upper, i);
    add(data, std::cos(angle), std::sin(angle), 0);
  }
  for (int64_t i = 0; i < lower; i++) {
    const double angle = linspace(0, std::numbers::pi, lower, i);
    add(data, 1 - std::cos(angle), 0.5 - std::sin(angle), 1);
  }
  add_noise(data, noise, random);
  return data;
}

Dataset make_blobs(int64_t samples, int64_t centers, int64_t seed) {
  Dataset data = empty("make_blobs", samples, 1);
  if (centers < 1 || centers > INT64_MAX / 2)
    fail("make_blobs: at least 1 center is needed, and a number that can be doubled: {}", centers);
  NumpyRandom random = numpy_random(seed);
  const std::vector<double> middle = random.uniform(-10, 10, 2 * centers);
  for (int64_t k = 0; k < centers; k++) {
    const auto at = static_cast<size_t>(2 * k);
    const int64_t size = samples / centers + (k < samples % centers);
    for (int64_t i = 0; i < size; i++) {
      const double x0 = random.normal(middle[at], 1);
      add(data, x0, random.normal(middle[at + 1], 1), k % 2);
    }
  }
  return data;
}

Dataset make_gaussian_quantiles(int64_t samples, double cov, int64_t seed) {
  Dataset data = empty("make_gaussian_quantiles", samples, 2);
  if (!(cov > 0 && std::isfinite(cov)))
    fail("make_gaussian_quantiles: cov must be above 0 and finite: {}", cov);
  NumpyRandom random = numpy_random(seed);
  struct Point {
    double x0, x1;
    double square() const { return x0 * x0 + x1 * x1; }
  };
  std::vector<Point> points = make_vector<Point>("make_gaussian_quantiles", samples);
  for (Point& point : points) {
    point.x0 = random.normal(0, std::sqrt(cov));
    point.x1 = random.normal(0, std::sqrt(cov));
  }
  std::ranges::stable_sort(points, {}, &Point::square);
  for (int64_t i = 0; const Point& point : points) add(data, point.x0, point.x1, i++ >= samples / 2);
  return data;
}

Dataset load_plane(const std::string& name, int64_t samples, int64_t seed) {
  if (name == "flower") return load_planar_dataset(seed, samples);
  if (name == "circles") return make_circles(samples, 0.5, 0.3, seed);
  if (name == "moons") return make_moons(samples, 0.2, seed);
  if (name == "blobs") return make_blobs(samples, 6, seed);
  if (name == "quantiles") return make_gaussian_quantiles(samples, 0.5, seed);
  fail("load_plane: no such data set: '{}' (there are flower, circles, moons, blobs, quantiles)", name);
}

Cats load_cats(const std::string& folder) {
  const std::string train = folder + "/train_catvnoncat.h5", test = folder + "/test_catvnoncat.h5";
  Cats cats{load_pictures(train, "train"), load_pictures(test, "test"),
            read_hdf5_strings(test, "list_classes")};
  if (cats.classes.size() != 2)
    fail<FileError>("load_cats: {}: list_classes must name 2 classes: {}", test, cats.classes.size());
  return cats;
}

std::vector<uint8_t> pixels(const Dataset& data, int64_t sample) {
  if (sample < 0 || sample >= data.samples)
    fail<IndexError>("pixels: sample {} is out of range: there are {}", sample, data.samples);
  const double* row = data.x.data() + sample * data.features;
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < data.features; i++)
    bytes.push_back(static_cast<uint8_t>(std::lround(std::clamp(row[i], 0.0, 1.0) * 255)));
  return bytes;
}

}  // namespace gradus::examples
