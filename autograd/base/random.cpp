#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/random.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace gradus {
namespace {

template <class Draw>
auto repeat(const char* op, int64_t n, Draw draw) {
  if (n < 0) fail<ShapeError>("{}: the count is negative: {}", op, n);
  auto values = make_vector<decltype(draw())>(op, n);
  for (auto& value : values) value = draw();
  return values;
}

double unit_interval(uint32_t high, uint32_t low) { return ((high >> 5) * 0x1p26 + (low >> 6)) * 0x1p-53; }

}  // namespace

NumpyRandom::NumpyRandom(int64_t seed) : position_(624) {
  if (seed < 0 || seed > UINT32_MAX) fail("numpy_random: the seed must lie in [0, 2^32): {}", seed);
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < 624; i++) state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

uint32_t NumpyRandom::next() {
  check_not_recording("numpy_random");
  if (position_ == 624) {
    for (size_t i = 0; i < 624; i++) {
      const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % 624] & 0x7fffffffu);
      state_[i] = state_[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    position_ = 0;
  }
  uint32_t y = state_[position_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

// A number in {0 … max}: as many low bits as max has, drawn again while they exceed it.
uint64_t NumpyRandom::interval(uint64_t max) {
  if (max == 0) return 0;
  const uint64_t mask = ~uint64_t(0) >> std::countl_zero(max);
  for (;;) {
    uint64_t value = next();
    if (max > UINT32_MAX) value = value << 32 | next();
    if ((value & mask) <= max) return value & mask;
  }
}

double NumpyRandom::rand() {
  const uint32_t high = next();
  return unit_interval(high, next());
}

double NumpyRandom::randn() {
  if (has_kept_) {
    has_kept_ = false;
    return kept_;
  }
  double a, b, square;
  do {
    a = 2 * rand() - 1;
    b = 2 * rand() - 1;
    square = a * a + b * b;
  } while (square >= 1 || square == 0);
  const double scale = std::sqrt(-2 * std::log(square) / square);
  kept_ = scale * a;
  has_kept_ = true;
  return scale * b;
}

int64_t NumpyRandom::randint(int64_t low, int64_t high) {
  if (low >= high) fail("randint: low must be below high: {} and {}", low, high);
  // Unsigned, since high - low may not fit into an int64.
  const uint64_t start = static_cast<uint64_t>(low);
  return static_cast<int64_t>(start + interval(static_cast<uint64_t>(high) - start - 1));
}

double NumpyRandom::uniform(double low, double high) {
  const double range = high - low;
  if (!std::isfinite(range)) fail("uniform: high - low is not finite: low {}, high {}", low, high);
  return low + range * rand();
}

double NumpyRandom::normal(double mean, double std) {
  if (!(std >= 0)) fail("normal: std must be at least 0: {}", std);
  return mean + std * randn();
}

std::vector<double> NumpyRandom::rand(int64_t n) {
  return repeat("rand", n, [&] { return rand(); });
}
std::vector<double> NumpyRandom::randn(int64_t n) {
  return repeat("randn", n, [&] { return randn(); });
}
std::vector<int64_t> NumpyRandom::randint(int64_t low, int64_t high, int64_t n) {
  return repeat("randint", n, [&] { return randint(low, high); });
}
std::vector<double> NumpyRandom::uniform(double low, double high, int64_t n) {
  return repeat("uniform", n, [&] { return uniform(low, high); });
}
std::vector<double> NumpyRandom::normal(double mean, double std, int64_t n) {
  return repeat("normal", n, [&] { return normal(mean, std); });
}

std::vector<int64_t> NumpyRandom::permutation(int64_t n) {
  std::vector<int64_t> order = repeat("permutation", n, [i = int64_t(0)]() mutable { return i++; });
  shuffle(std::span(order));
  return order;
}

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; round++) {
    const uint64_t a = uint64_t(0xd2511f53) * c[0], b = uint64_t(0xcd9e8d57) * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return c;
}

// A block of 128 bits makes two numbers: numbers 2k and 2k + 1 come from block k.
template <class Pair>
void Draws::fill(int64_t begin, int64_t end, double* out, Pair pair) const {
  const std::array key{static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)};
  for (int64_t i = begin; i < end;) {
    const uint64_t block = first_block_ + static_cast<uint64_t>(i / 2);
    const auto bits = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}, key);
    const auto two = pair(unit_interval(bits[0], bits[1]), unit_interval(bits[2], bits[3]));
    for (const int64_t stop = std::min(end, i / 2 * 2 + 2); i < stop; i++)
      *out++ = two[static_cast<size_t>(i % 2)];
  }
}

void Draws::uniform(int64_t begin, int64_t end, double* out) const {
  fill(begin, end, out, [](double u, double v) { return std::array{u, v}; });
}

void Draws::normal(int64_t begin, int64_t end, double* out) const {
  fill(begin, end, out, [](double u, double v) {
    const double radius = std::sqrt(-2 * std::log(1 - u)), angle = 2 * std::numbers::pi * v;
    return std::array{radius * std::cos(angle), radius * std::sin(angle)};
  });
}

void Generator::manual_seed(uint64_t seed) {
  check_not_recording("manual_seed");
  const std::lock_guard held(detail::locks.generators);
  seed_ = seed;
  next_block_ = 0;
}

Draws Generator::draws(int64_t n) {
  if (n < 0) fail<ShapeError>("random: the count is negative: {}", n);
  check_not_recording("Generator");
  const std::lock_guard held(detail::locks.generators);
  const Draws draws(seed_, next_block_);
  next_block_ += static_cast<uint64_t>(n) / 2 + static_cast<uint64_t>(n) % 2;
  return draws;
}

Generator& default_generator() {
  static constinit Generator generator;
  return generator;
}

void manual_seed(uint64_t seed) { default_generator().manual_seed(seed); }

}  // namespace gradus
