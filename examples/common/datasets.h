#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace gradus::examples {

/// Samples in rows: sample i is x[i · features] … x[(i + 1) · features - 1], its label y[i] is 0 or 1.
struct Dataset {
  std::vector<double> x, y;
  int64_t samples, features;
};

/// The flower of the course: m/2 points of either class on four petals of a rose curve, r = 4 sin(4t) with
/// noise of deviation 0.2 on t and r. The random draws are NumPy's (np.random.seed(seed)) to the bit. m must
/// be even.
Dataset load_planar_dataset(int64_t seed = 1, int64_t m = 400);

/// The tutorial's test case of three samples: randn(2, 3) transposed, labels randn(1, 3) > 0, from seed 1.
Dataset nn_model_test_case();

/// Two noisy circles around the origin, of radius 1 (class 0) and `factor` (class 1), as
/// sklearn.datasets.make_circles.
Dataset make_circles(int64_t samples = 200, double factor = 0.5, double noise = 0.3, int64_t seed = 1);

/// Two noisy half circles that reach into one another, as sklearn.datasets.make_moons.
Dataset make_moons(int64_t samples = 200, double noise = 0.2, int64_t seed = 1);

/// `centers` clusters of deviation 1 around points uniform in [-10, 10]²; the label is the cluster's number
/// modulo 2, as the course takes it. The points are those of sklearn.datasets.make_blobs(random_state=seed),
/// unshuffled.
Dataset make_blobs(int64_t samples = 200, int64_t centers = 6, int64_t seed = 5);

/// A normal distribution of variance `cov` in the plane, its inner half class 0 and its outer half class 1,
/// as sklearn.datasets.make_gaussian_quantiles.
Dataset make_gaussian_quantiles(int64_t samples = 200, double cov = 0.5, int64_t seed = 1);

/// One of the sets in the plane by its name: flower, circles, moons, blobs, quantiles. An Error lists them.
Dataset load_plane(const std::string& name, int64_t samples, int64_t seed);

/// The cat pictures of the course: pixels / 255 in rows of 64 · 64 · 3 = 12288, label 1 for a cat.
struct Cats {
  Dataset train, test;
  std::vector<std::string> classes;
};

/// Reads train_catvnoncat.h5 and test_catvnoncat.h5 from `folder`: train_set_x, train_set_y, test_set_x,
/// test_set_y and list_classes. FileError where anything is missing or not as it should be.
Cats load_cats(const std::string& folder);

/// Row `sample` of values in [0, 1] as bytes, for showing a picture.
std::vector<uint8_t> pixels(const Dataset& data, int64_t sample);

}  // namespace gradus::examples
