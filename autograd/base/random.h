#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// NumPy's legacy generator (numpy.random.RandomState), bit for bit: the Mersenne Twister MT19937 (Matsumoto
/// and Nishimura 1998), doubles of 53 bits, normals by Marsaglia's polar method. Calls may be mixed as in
/// NumPy: `a = rand(3)` then `randn(2)` continues one stream. Counts below 0 throw ShapeError, and counts
/// that there is no memory for an Error. Refused while a step is recorded: a replay would not draw again.
class NumpyRandom {
 public:
  /// As numpy.random.RandomState(seed); an Error unless 0 <= seed < 2^32.
  explicit NumpyRandom(int64_t seed);

  /// Uniform in [0, 1): (a · 2^26 + b) / 2^53 with a of 27 and b of 26 random bits.
  double rand();
  std::vector<double> rand(int64_t n);
  /// Standard normal. The polar method makes two at once: the second is kept for the next call.
  double randn();
  std::vector<double> randn(int64_t n);
  /// Uniform in {low … high - 1} by masked rejection; an Error unless low < high.
  int64_t randint(int64_t low, int64_t high);
  std::vector<int64_t> randint(int64_t low, int64_t high, int64_t n);
  /// low + (high - low) · rand(), which rounding may make `high` itself, as in NumPy; an Error where
  /// high - low is not finite.
  double uniform(double low, double high);
  std::vector<double> uniform(double low, double high, int64_t n);
  /// mean + std · randn(); an Error where std is negative or NaN.
  double normal(double mean, double std);
  std::vector<double> normal(double mean, double std, int64_t n);
  /// 0 … n - 1 in random order.
  std::vector<int64_t> permutation(int64_t n);
  /// Puts `values` into random order (Fisher and Yates, from the last element down).
  template <class T>
  void shuffle(std::span<T> values) {
    for (size_t i = values.size(); i-- > 1;) std::swap(values[i], values[interval(i)]);
  }

 private:
  uint32_t next();
  uint64_t interval(uint64_t max);

  std::array<uint32_t, 624> state_;
  size_t position_;
  double kept_ = 0;
  bool has_kept_ = false;
};

/// NumPy's legacy generator, seeded: numpy_random(2).randn(8) is np.random.seed(2); np.random.randn(8).
inline NumpyRandom numpy_random(int64_t seed) { return NumpyRandom(seed); }

/// Philox4x32-10: 128 random bits as a pure function of a counter and a key
/// (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A row of random numbers in which number i is a pure function of (seed, first block, i): however a loop
/// over it is split, over threads or in time, the numbers are the same.
class Draws {
 public:
  /// The numbers of the stream of `seed` from a block of four 32-bit words on.
  Draws(uint64_t seed, uint64_t first_block) : seed_(seed), first_block_(first_block) {}
  /// Numbers begin … end - 1 to out[0 … end - begin - 1], uniform in [0, 1) with 53 bits.
  void uniform(int64_t begin, int64_t end, double* out) const;
  /// The same, standard normal (Box and Muller 1958).
  void normal(int64_t begin, int64_t end, double* out) const;

 private:
  template <class Pair>
  void fill(int64_t begin, int64_t end, double* out, Pair pair) const;

  uint64_t seed_, first_block_;
};

/// Gradus' own generator, for initialisers and dropout: a seed and a count of the Philox blocks handed out.
/// May be used by several threads at once: each call gets numbers of its own. While a step is recorded only
/// kernels (rand, randn, dropout) draw from it, and it can't be seeded.
class Generator {
 public:
  /// At the beginning of the stream of `seed`.
  constexpr explicit Generator(uint64_t seed = 0) noexcept : seed_(seed) {}
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  /// Starts again at the beginning of the stream of `seed`.
  void manual_seed(uint64_t seed);
  /// The next n numbers of the stream, to be computed when and where they are wanted.
  Draws draws(int64_t n);
  /// n numbers, uniform in [0, 1).
  void uniform(double* out, int64_t n) { draws(n).uniform(0, n, out); }
  /// n standard normal numbers.
  void normal(double* out, int64_t n) { draws(n).normal(0, n, out); }

 private:
  uint64_t seed_, next_block_ = 0;
};

/// The generator that everything uses which is not given another. Its seed is 0 until manual_seed.
Generator& default_generator();
/// Seeds the default generator.
void manual_seed(uint64_t seed);

}  // namespace gradus

#pragma GCC visibility pop
