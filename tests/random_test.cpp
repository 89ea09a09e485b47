#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/random.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>

namespace gradus {
namespace {

/// FNV-1a over the bytes of numbers, so that thousands of draws compare to the last bit with one literal.
class Hash {
 public:
  template <class T>
  void operator()(const std::vector<T>& values) {
    static_assert(sizeof(T) == 8);
    for (const T& value : values) {
      unsigned char bytes[8];
      std::memcpy(bytes, &value, 8);
      for (const unsigned char byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001b3;
    }
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

// What NumPy 1.24.2 draws. Its normals go through log, and glibc has two: with and without fused multiply-add
// they differ in the last bit of about one number in 20,000.
struct Stream {
  int64_t seed;
  uint64_t exact, normals, normals_without_fma;
};
constexpr Stream kStreams[] = {
    {0, 0x3eb139fa9f02c8b1, 0x4d61a23dac02a10d, 0x4b45e7104b1514d7},
    {1, 0xd7e495d5142953ae, 0xcc0f0bc78e16ac7a, 0xcc0f0bc78e16ac7a},
    {2, 0xb4fbbfced4dbc306, 0x493a5a47a9370fb3, 0x493a5a47a9370fb3},
    {3, 0x96119b066cf63974, 0x538ffc397c1f0e0c, 0x538ffc397c1f0e0c},
    {42, 0x13ad5664ae1a9dc3, 0x6402c20c0694d9aa, 0x6402c20c0694d9aa},
    {4294967295, 0x3197ca68af429d4b, 0xbc325d0b57b2dd40, 0xbc325d0b57b2dd40},
};

TEST(NumpyRandom, MixedCallsAreNumpysToTheBit) {
  for (const Stream& stream : kStreams) {
    NumpyRandom random = numpy_random(stream.seed);
    Hash exact, normals;
    for (int i = 0; i < 3; i++) {
      exact(random.rand(1000));
      normals(random.randn(1001));
      exact(random.randint(0, 10, 1000));
      exact(random.randint(-5, int64_t(1) << 33, 500));
      normals(random.randn(3));
      exact(random.permutation(257));
      exact(random.uniform(-3, 7, 500));
      normals(random.normal(2, 0.5, 501));
      std::vector<int64_t> cards(100);
      std::iota(cards.begin(), cards.end(), 0);
      random.shuffle(std::span(cards));
      exact(cards);
      exact(random.randint(0, int64_t(1) << 32, 10));
      exact(random.randint(0, (int64_t(1) << 32) + 1, 10));
      exact(random.randint(INT64_MIN, INT64_MAX, 10));
      exact(random.randint(7, 8, 3));
      exact(random.rand(5));
    }
    EXPECT_EQ(exact.value(), stream.exact) << "seed " << stream.seed;
    EXPECT_TRUE(normals.value() == stream.normals || normals.value() == stream.normals_without_fma)
        << "seed " << stream.seed << ": " << normals.value();
  }
}

TEST(NumpyRandom, FirstAndLastNumbers) {
  struct Case {
    int64_t seed;
    std::vector<double> uniform, normal;
  };
  const Case cases[] = {
      {0,
       {0.5488135039273248, 0.7151893663724195, 0.9585931029863481},
       {1.764052345967664, 0.4001572083672233, -0.48379749195754734}},
      {1,
       {0.417022004702574, 0.7203244934421581, 0.2503166518227775},
       {1.6243453636632417, -0.6117564136500754, -2.252118359519573}},
      {4294967295,
       {0.0976320289940138, 0.9123828453026218, 0.13836320683579428},
       {0.6484086742306527, 0.6693235306338161, 0.1035678784622017}},
  };
  for (const Case& expected : cases) {
    const auto uniform = numpy_random(expected.seed).rand(5000);
    EXPECT_EQ((std::vector{uniform[0], uniform[1], uniform.back()}), expected.uniform);
    const auto normal = numpy_random(expected.seed).randn(100001);
    EXPECT_EQ((std::vector{normal[0], normal[1], normal.back()}), expected.normal);
  }
}

TEST(NumpyRandom, IntegersPermutationsAndScaledDraws) {
  using Ints = std::vector<int64_t>;
  NumpyRandom a = numpy_random(1);
  EXPECT_EQ(a.randint(0, 10, 12), (Ints{5, 8, 9, 5, 0, 0, 1, 7, 6, 9, 2, 4}));
  EXPECT_EQ(a.randint(-3, int64_t(3) << 40, 4),
            (Ints{1092267192674, 2105520001689, 2417697057345, 925381648340}));
  EXPECT_EQ(a.randint(0, int64_t(1) << 32, 3), (Ints{2399554537, 1849836273, 602957303}));
  EXPECT_EQ(a.randint(INT64_MIN, INT64_MAX, 3),
            (Ints{8100478049624442720, 5135374983450433677, 3983952745271917961}));

  NumpyRandom b = numpy_random(1);
  EXPECT_EQ(b.permutation(10), (Ints{2, 9, 6, 4, 0, 3, 1, 7, 8, 5}));
  EXPECT_EQ(b.permutation(5), (Ints{3, 0, 1, 2, 4}));
  EXPECT_EQ(b.permutation(1), (Ints{0}));
  EXPECT_EQ(b.permutation(0), (Ints{}));
  Ints elevens{0, 11, 22, 33, 44, 55, 66, 77, 88, 99};
  b.shuffle(std::span(elevens));
  EXPECT_EQ(elevens, (Ints{88, 11, 0, 77, 66, 33, 99, 22, 55, 44}));

  NumpyRandom c = numpy_random(3);
  EXPECT_EQ(c.uniform(-3, 7, 3), (std::vector{2.5079790257457546, 4.081478226181048, -0.0909526108705565}));
  EXPECT_EQ(c.normal(2, 0.5, 3), (std::vector{2.4902769351454417, 2.0135095208972618, 1.7699789396686583}));
  EXPECT_EQ(c.rand(), 0.4568332243947111);
  EXPECT_EQ(c.randn(), -0.05792084059435568) << "the second of a pair, kept while a uniform number was drawn";
}

TEST(NumpyRandom, DrawsAsTheStandardTwisterDoes) {
  NumpyRandom ours = numpy_random(5489);
  std::mt19937 standard(5489);
  // A range of 2^32 takes each 32-bit number as it comes.
  for (int i = 0; i < 10000; i++)
    ASSERT_EQ(ours.randint(0, int64_t(1) << 32), static_cast<int64_t>(standard()));
  EXPECT_EQ(ours.randint(0, int64_t(1) << 32), static_cast<int64_t>(standard()));
}

TEST(NumpyRandom, RefusesBadArguments) {
  EXPECT_THROW(numpy_random(-1), Error);
  EXPECT_THROW(numpy_random(int64_t(1) << 32), Error);
  NumpyRandom random = numpy_random(0);
  EXPECT_THROW(random.randint(3, 3), Error);
  EXPECT_THROW(random.randint(4, -4, 2), Error);
  EXPECT_THROW(random.randn(-1), ShapeError);
  EXPECT_THROW(random.permutation(-2), ShapeError);
  EXPECT_THROW(random.normal(0, -1), Error);
  EXPECT_THROW(random.normal(0, NAN), Error);
  EXPECT_THROW(random.uniform(0, INFINITY), Error);
  EXPECT_THROW(random.uniform(-1.5e308, 1.5e308), Error);
  EXPECT_EQ(random.rand(), 0.5488135039273248) << "a refused call draws nothing";
}

TEST(Philox, KnownAnswersOfThePaper) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Generator, FollowsFromItsSeed) {
  Generator a(7), b(8);
  std::vector<double> x(101), y(101), z(101);
  a.uniform(x.data(), 101);
  a.uniform(y.data(), 101);
  EXPECT_NE(x, y) << "a second call continues";
  b.uniform(z.data(), 101);
  EXPECT_NE(x, z) << "another seed, other numbers";
  b.manual_seed(7);
  b.uniform(z.data(), 101);
  EXPECT_EQ(x, z);
  b.uniform(z.data(), 101);
  EXPECT_EQ(y, z);
  b.manual_seed(uint64_t(1) << 32 | 7);
  b.uniform(z.data(), 101);
  EXPECT_NE(x, z) << "the seed's upper half counts";
  EXPECT_THROW(a.uniform(x.data(), -1), ShapeError);
}

TEST(Generator, CallsNeverShareNumbers) {
  Generator generator(3);
  std::set<double> seen;
  for (int64_t n : {1, 2, 3, 5, 8, 101}) {
    std::vector<double> x(static_cast<size_t>(n));
    generator.uniform(x.data(), n);
    for (double value : x) EXPECT_TRUE(seen.insert(value).second) << value;
  }
}

TEST(Generator, AnySplitGivesTheSameNumbers) {
  const int64_t n = 1001;
  const Draws draws = Generator(11).draws(n);
  std::vector<double> uniform(n), normal(n), piece(n);
  draws.uniform(0, n, uniform.data());
  draws.normal(0, n, normal.data());
  for (int64_t step : {1, 2, 3, 7, 64, 500}) {
    for (int64_t i = 0; i < n; i += step) draws.uniform(i, std::min(n, i + step), piece.data() + i);
    EXPECT_EQ(piece, uniform) << step;
    for (int64_t i = n - 1; i >= 0; i--) draws.normal(i, i + 1, piece.data() + i);
    EXPECT_EQ(piece, normal) << step;
  }
}

TEST(Generator, ThreadsGetNumbersOfTheirOwn) {
  Generator generator(5);
  constexpr int kThreads = 4, kCalls = 200, kEach = 10;
  std::vector<double> drawn(kThreads * kCalls * kEach), alone(drawn.size());
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; i++) generator.uniform(drawn.data() + (t * kCalls + i) * kEach, kEach);
    });
  for (std::thread& thread : threads) thread.join();
  Generator(5).uniform(alone.data(), static_cast<int64_t>(alone.size()));
  std::sort(drawn.begin(), drawn.end());
  std::sort(alone.begin(), alone.end());
  EXPECT_EQ(drawn, alone) << "together, the numbers that one thread would have drawn";
}

/// The largest distance between the sample's distribution and the given one (Kolmogorov and Smirnov), times
/// sqrt(n).
template <class Distribution>
double distance(std::vector<double> sample, Distribution distribution) {
  std::sort(sample.begin(), sample.end());
  const double n = static_cast<double>(sample.size());
  double worst = 0;
  for (size_t i = 0; i < sample.size(); i++) {
    const double p = distribution(sample[i]), at = static_cast<double>(i);
    worst = std::max({worst, std::abs(p - at / n), std::abs((at + 1) / n - p)});
  }
  return worst * std::sqrt(n);
}

TEST(Generator, IsUniformAndNormal) {
  // 1.95 is passed by one honest sample in 1000; these samples are fixed.
  std::vector<double> x(200000);
  for (uint64_t seed = 0; seed < 4; seed++) {
    Generator generator(seed);
    generator.uniform(x.data(), 200000);
    EXPECT_LT(distance(x, [](double v) { return v; }), 1.95) << seed;
    EXPECT_TRUE(std::all_of(x.begin(), x.end(), [](double v) { return v >= 0 && v < 1; }));
    generator.normal(x.data(), 200000);
    EXPECT_LT(distance(x, [](double v) { return std::erfc(-v / std::sqrt(2)) / 2; }), 1.95) << seed;
    double neighbours = 0;
    for (size_t i = 1; i < x.size(); i++) neighbours += x[i] * x[i - 1];
    EXPECT_LT(std::abs(neighbours) / std::sqrt(200000), 3.3) << "neighbours are not correlated";
  }
}

TEST(Generator, TheDefaultOneIsShared) {
  manual_seed(9);
  double a[3], b[3];
  default_generator().normal(a, 3);
  Generator(9).normal(b, 3);
  EXPECT_TRUE(std::equal(a, a + 3, b));
}

}  // namespace
}  // namespace gradus
