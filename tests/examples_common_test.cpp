#include <common/datasets.h>
#include <common/file.h>
#include <common/hdf5.h>
#include <common/npy.h>
#include <common/png.h>
#include <common/progress.h>
#include <fcntl.h>
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/base/random.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "needs.h"
#include "text_support.h"

namespace gradus::examples {
namespace {

namespace fs = std::filesystem;

std::string fixture(const std::string& name) { return GRADUS_SOURCE_DIR "/tests/data/" + name; }

TEST(File, IsWrittenAsAWholeAndReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder / "new/deep/a.txt";
  write_file(path, "first");
  EXPECT_EQ(text_of(path), "first");
  write_file(path, "the second");
  EXPECT_EQ(text_of(path), "the second");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "new/deep"), fs::directory_iterator()), 1)
      << "no temporary file stays";
}

TEST(File, ErrorsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  write_file(folder / "plain", "kept");
  const std::string below = folder / "plain/a.svg";
  const std::string unwritable = error_of<FileError>([&] { write_file(below, "x"); });
  EXPECT_TRUE(contains(unwritable, below) && contains(unwritable, "Not a directory")) << unwritable;

  fs::create_directories(folder / "taken/full");
  const std::string taken = error_of<FileError>([&] { write_file(folder / "taken", "x"); });
  EXPECT_TRUE(contains(taken, folder / "taken") && contains(taken, "directory")) << taken;
  EXPECT_EQ(folder.entries(), 2u) << "a failed write leaves nothing behind";

  const std::string missing = error_of<FileError>([&] { read_file("op", folder / "missing"); });
  EXPECT_EQ(missing, "op: " + folder / "missing" + ": No such file or directory");
  EXPECT_TRUE(
      contains(error_of<FileError>([&] { read_file("op", folder / "taken"); }), "not a regular file"));
}

TEST(File, AWriteCutShortKeepsTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.svg";
  write_file(path, "old");
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = error_of<FileError>([&] { write_file(path, std::string(100000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "write_file: " + path + ": File too large");
  EXPECT_EQ(text_of(path), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

template <class T>
Array array_of(const Shape& shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype_of<T>, shape, {bytes.begin(), bytes.end()}};
}

TEST(Npy, ReadsAndWritesNumpysBytes) {
  const Array array = read_npy(fixture("planar_x.npy"));
  EXPECT_EQ(array.dtype, kFloat64);
  EXPECT_EQ(array.shape, (Shape{400, 2}));
  EXPECT_EQ(array.values<double>().size(), 800u);
  EXPECT_THROW(array.values<float>(), DtypeError);
  const TemporaryFolder folder;
  write_npy(folder / "a.npy", array);
  EXPECT_EQ(text_of(folder / "a.npy"), text_of(fixture("planar_x.npy")));
}

TEST(Npy, EveryDtypeAndRankComesBack) {
  const TemporaryFolder folder;
  const Array arrays[] = {
      array_of<double>({}, {-0.0}),
      array_of<float>({3}, {1.5f, NAN, -INFINITY}),
      array_of<int64_t>({2, 1, 2}, {INT64_MIN, -1, 0, INT64_MAX}),
      array_of<uint8_t>({1, 1, 1, 1, 1, 1, 1, 2}, {0, 255}),
      array_of<double>({0, 3}, {}),
      {kBool, {2}, {std::byte(1), std::byte(0)}},
  };
  for (const Array& array : arrays) {
    write_npy(folder / "a.npy", array);
    const Array read = read_npy(folder / "a.npy");
    EXPECT_EQ(read.dtype, array.dtype);
    EXPECT_EQ(read.shape, array.shape);
    EXPECT_EQ(read.data, array.data);
    EXPECT_EQ(fs::file_size(folder / "a.npy") % 64, array.data.size() % 64)
        << "the header is padded to 64 bytes";
  }
  EXPECT_THROW(write_npy(folder / "b.npy", Array{kFloat32, {3}, std::vector<std::byte>(13)}), ShapeError);
  EXPECT_FALSE(fs::exists(folder / "b.npy"));
}

std::string npy_file(const std::string& header, const std::string& data) {
  const auto n = header.size();
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(n & 255) + static_cast<char>(n >> 8) +
         header + data;
}

TEST(Npy, RefusesWhatIsNotExactlyAnArray) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy", data(32, '\0');
  const auto reading = [&](const std::string& header) {
    write_file(path, npy_file(header, data));
    return error_of<FileError>([&] { read_npy(path); });
  };
  EXPECT_EQ(reading("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n"), "");
  EXPECT_EQ(reading("{'shape':(4,),'fortran_order':False,'descr':'<i8'}   \n"), "");
  const struct {
    const char *header, *reason;
  } cases[] = {
      {"{'descr': '>f8', 'fortran_order': False, 'shape': (2, 2), }\n", "'>f8'"},
      {"{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2), }\n", "'<f2'"},
      {"{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }\n", "Fortran"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (4), }\n", "not a tuple"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2 2), }\n", "','"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }\n", "'-4"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }\n", "bad size"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,4), }\n", "more than 8 dims"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n", "63 bits"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693956,), }\n", "32 bytes of data"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }\n", "32 bytes of data"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", "32 bytes of data"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }\n", "32 bytes of data"},
      {"{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (4,), }\n", "repeated"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (4,), 'x': 1}\n", "unknown"},
      {"{'descr': '<f8', 'fortran_order': False}\n", "missing"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", "line feed"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n ", "line feed"},
      {"", "expected '{'"},
  };
  for (const auto& [header, reason] : cases) {
    const std::string message = reading(header);
    EXPECT_TRUE(contains(message, reason) && contains(message, path)) << header << " -> " << message;
  }
  write_file(path, npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n", data + " "));
  EXPECT_TRUE(contains(error_of<FileError>([&] { read_npy(path); }), "33 bytes of data"));
  write_file(path, npy_file("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }\n", "\x01\x02"));
  EXPECT_TRUE(contains(error_of<FileError>([&] { read_npy(path); }), "neither 0 nor 1"));
}

TEST(Npy, CutAndDamagedFilesAreRefusedOrRead) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  write_npy(path, array_of<int64_t>({2, 2}, {1, 2, 3, 4}));
  const std::string whole = text_of(path);
  for (size_t length = 0; length < whole.size(); length++) {
    write_file(path, whole.substr(0, length));
    EXPECT_NE(error_of<FileError>([&] { read_npy(path); }), "") << "cut to " << length;
  }
  // Any change to the header must give an array of 32 bytes or a FileError, nothing else.
  size_t refused = 0;
  for (size_t at = 0; at < whole.size() - 32; at++)
    for (const int flip : {1, 2, 16, 128}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      write_file(path, damaged);
      try {
        EXPECT_EQ(read_npy(path).data.size(), 32u);
      } catch (const FileError&) {
        refused++;
      }
    }
  EXPECT_GT(refused, 400u);
}

TEST(Npy, HostileFilesGetTheirVerdicts) {
  const char* corpus = std::getenv("GRADUS_CORPUS");
  const fs::path folder = corpus ? fs::weakly_canonical(corpus).parent_path() / "hostile_files" : fs::path();
  GRADUS_SKIP_WITHOUT(fs::exists(folder / "verdicts.json"), "GRADUS_CORPUS, a folder beside hostile_files");
  const auto verdicts = nlohmann::json::parse(text_of((folder / "verdicts.json").string()));
  int tried = 0;
  for (const auto& entry : verdicts.items()) {
    const fs::path file = folder / entry.key();
    if (file.extension() != ".npy") continue;
    const std::string message = error_of<FileError>([&] { read_npy(file.string()); });
    const std::string verdict = entry.value()["verdict"];
    tried++;
    if (verdict == "either") continue;
    EXPECT_EQ(message.empty(), verdict == "accept") << file << ": " << message;
  }
  EXPECT_GE(tried, 15);
}

const Need hdf5(reads_hdf5(), "libhdf5");

TEST(Hdf5, ReadsPicturesLabelsAndNames) {
  GRADUS_SKIP_WITHOUT(hdf5);
  const std::string path = fixture("small.h5");
  const Array pictures = read_hdf5(path, "pictures", kUInt8, {{-1, 3, 2}});
  EXPECT_EQ(pictures.shape, (Shape{2, 3, 2}));
  for (int i = 0; i < 12; i++) EXPECT_EQ(pictures.values<uint8_t>()[static_cast<size_t>(i)], 20 * i);
  const auto ints = [&](const char* name, const Shape& shape) {
    const Array array = read_hdf5(path, name, kInt64, {shape, {-1, 1}});
    const auto values = array.values<int64_t>();
    return std::vector<int64_t>(values.begin(), values.end());
  };
  EXPECT_EQ(ints("labels", {4}), (std::vector<int64_t>{1, 0, -7, int64_t(1) << 40}));
  EXPECT_EQ(ints("column", {-1}), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(ints("big_endian", {-1}), (std::vector<int64_t>{1, int64_t(1) << 40}));
  EXPECT_EQ(ints("scalar", {}), (std::vector<int64_t>{3}));
  EXPECT_EQ(ints("empty", {-1}), (std::vector<int64_t>{}));
  EXPECT_EQ(read_hdf5(path, "deflated", kUInt8, {{4, 100}}).data, std::vector<std::byte>(400));
  EXPECT_EQ(read_hdf5_strings(path, "names"), (std::vector<std::string>{"non-cat", "cat"}));
}

TEST(Hdf5, ErrorsNameWhatWasFoundAndExpected) {
  GRADUS_SKIP_WITHOUT(hdf5);
  const std::string path = fixture("small.h5");
  testing::internal::CaptureStderr();
  const struct {
    const char* dataset;
    Dtype dtype;
    Shape shape;
    const char* reason;
  } cases[] = {
      {"missing", kUInt8, {-1}, "dataset 'missing': not found"},
      {"group", kUInt8, {-1}, "dataset 'group': not found"},
      {"pictures", kUInt8, {-1, 64, 64, 3}, "found uint8 [2, 3, 2], expected uint8 [-1, 64, 64, 3]"},
      {"pictures", kUInt8, {2, 3, 3}, "found uint8 [2, 3, 2], expected uint8 [2, 3, 3]"},
      {"pictures", kInt64, {2, 3, 2}, "found uint8 [2, 3, 2], expected int64 [2, 3, 2]"},
      {"int32", kInt64, {-1}, "found int32 [4], expected int64 [-1]"},
      {"uint64", kInt64, {-1}, "found uint64 [4]"},
      {"float64", kInt64, {-1}, "found float64 [4]"},
      {"names", kUInt8, {-1}, "found strings of 7 [2]"},
      {"rank9", kUInt8, {-1}, "9 dims"},
      {"huge", kUInt8, {-1}, "1099511627776 bytes are announced, 0 are stored"},
  };
  for (const auto& wrong : cases) {
    const std::string message =
        error_of<FileError>([&] { read_hdf5(path, wrong.dataset, wrong.dtype, {wrong.shape}); });
    EXPECT_TRUE(contains(message, wrong.reason) && contains(message, path)) << message;
  }
  for (const char* dataset : {"free_names", "labels"}) {
    const std::string message = error_of<FileError>([&] { read_hdf5_strings(path, dataset); });
    EXPECT_TRUE(contains(message, "expected fixed-length strings")) << message;
  }
  EXPECT_THROW(read_hdf5(path, "float64", kFloat64, {{-1}}), DtypeError);

  const std::string no_file = error_of<FileError>([] { read_hdf5("/no/such.h5", "a", kUInt8, {{-1}}); });
  EXPECT_EQ(no_file, "read_hdf5: /no/such.h5: no such file");
  const std::string no_hdf5 =
      error_of<FileError>([] { read_hdf5(fixture("planar_x.npy"), "a", kUInt8, {{-1}}); });
  EXPECT_TRUE(contains(no_hdf5, "not an HDF5 file")) << no_hdf5;
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "libhdf5 prints nothing of its own";
}

TEST(Hdf5, CutFilesAreRefused) {
  GRADUS_SKIP_WITHOUT(hdf5);
  const TemporaryFolder folder;
  const std::string path = folder / "cut.h5", whole = text_of(fixture("small.h5"));
  for (size_t length : {size_t(0), size_t(7), size_t(8), size_t(100), whole.size() / 2, whole.size() - 1}) {
    write_file(path, whole.substr(0, length));
    const std::string message = error_of<FileError>([&] {
      read_hdf5(path, "pictures", kUInt8, {{-1, 3, 2}});
    });
    EXPECT_TRUE(contains(message, path)) << length << ": " << message;
  }
  write_file(path, whole.substr(0, whole.size() - 1));
  const std::string message = error_of<FileError>([&] { read_hdf5(path, "pictures", kUInt8, {{-1, 3, 2}}); });
  EXPECT_TRUE(contains(message, "truncated")) << message;
}

TEST(Cats, AreThePicturesOfTheCourse) {
  GRADUS_SKIP_WITHOUT(hdf5);
  GRADUS_SKIP_WITHOUT(environment("GRADUS_DATA"));
  const Cats cats = load_cats(std::getenv("GRADUS_DATA"));
  EXPECT_EQ(cats.classes, (std::vector<std::string>{"non-cat", "cat"}));
  EXPECT_EQ(cats.train.samples, 209);
  EXPECT_EQ(cats.test.samples, 50);
  EXPECT_EQ(cats.train.features, 12288);
  EXPECT_EQ(std::vector(cats.train.x.begin(), cats.train.x.begin() + 3),
            (std::vector{0.06666666666666667, 0.12156862745098039, 0.2196078431372549}));
  EXPECT_EQ(cats.test.x.back(), 0.0196078431372549);
  const auto sum_of_pixels = [](const Dataset& data) {
    int64_t sum = 0;
    for (int64_t i = 0; i < data.samples; i++)
      for (const uint8_t pixel : pixels(data, i)) sum += pixel;
    return sum;
  };
  EXPECT_EQ(sum_of_pixels(cats.train), 264542077);
  EXPECT_EQ(sum_of_pixels(cats.test), 65969547);
  EXPECT_EQ(std::count(cats.train.y.begin(), cats.train.y.end(), 1.0), 72);
  EXPECT_EQ(std::count(cats.test.y.begin(), cats.test.y.end(), 1.0), 33);
  EXPECT_EQ(std::vector(cats.test.y.begin(), cats.test.y.begin() + 6),
            (std::vector<double>{1, 1, 1, 1, 1, 0}));
}

TEST(Cats, WrongFilesAreNamed) {
  GRADUS_SKIP_WITHOUT(hdf5);
  const TemporaryFolder folder;
  const std::string train = folder / "train_catvnoncat.h5";
  const auto loading = [&] { return error_of<FileError>([&] { load_cats(folder / ""); }); };
  EXPECT_TRUE(contains(loading(), "train_catvnoncat.h5: no such file")) << loading();
  fs::copy_file(fixture("small.h5"), train);
  EXPECT_TRUE(contains(loading(), "dataset 'train_set_x': not found")) << loading();
}

TEST(Hdf5, SaysHowToGetIt) {
  GRADUS_SKIP_WITHOUT(!reads_hdf5(), "a build without libhdf5");
  const auto reading = [] { read_hdf5(fixture("small.h5"), "pictures", kUInt8, {{-1, 3, 2}}); };
  EXPECT_TRUE(contains(error_of(reading), "libhdf5-dev"));
  EXPECT_TRUE(contains(error_of([] { load_cats("data"); }), "libhdf5-dev"));
}

TEST(Datasets, TheFlowerIsNumpys) {
  const Dataset flower = load_planar_dataset();
  const Array expected = read_npy(fixture("planar_x.npy"));
  ASSERT_EQ(flower.samples, 400);
  ASSERT_EQ(flower.features, 2);
  ASSERT_EQ(flower.x.size(), 800u);
  for (size_t i = 0; i < 800; i++) {
    const double want = expected.values<double>()[i];
    // NumPy's own sine and cosine differ by processor in the last bits.
    EXPECT_LE(std::abs(flower.x[i] - want), 4e-15 * std::abs(want)) << i;
  }
  for (size_t i = 0; i < 400; i++) EXPECT_EQ(flower.y[i], i < 200 ? 0 : 1);
  EXPECT_NE(load_planar_dataset(2).x, flower.x);
  EXPECT_EQ(load_planar_dataset(1, 2).x.size(), 4u);
  EXPECT_THROW(load_planar_dataset(1, 401), ShapeError);
  EXPECT_THROW(load_planar_dataset(1, 0), ShapeError);
  EXPECT_THROW(load_planar_dataset(-1), Error);
}

TEST(Datasets, TheTestCaseOfThreeSamples) {
  const Dataset data = nn_model_test_case();
  EXPECT_EQ(data.samples, 3);
  EXPECT_EQ(data.x, (std::vector{1.6243453636632417, -1.0729686221561705, -0.6117564136500754,
                                 0.8654076293246785, -0.5281717522634557, -2.3015386968802827}));
  EXPECT_EQ(data.y, (std::vector<double>{1, 0, 1}));
}

/// The mean over the samples with the given label of f(x0, x1).
template <class F>
double mean(const Dataset& data, double label, F f) {
  double sum = 0;
  int64_t n = 0;
  for (size_t i = 0; i < data.y.size(); i++)
    if (data.y[i] == label) {
      sum += f(data.x[2 * i], data.x[2 * i + 1]);
      n++;
    }
  return sum / static_cast<double>(n);
}
double square(double x0, double x1) { return x0 * x0 + x1 * x1; }
double first(double x0, double) { return x0; }
double second(double, double x1) { return x1; }

TEST(Datasets, CirclesAndMoonsLieWhereTheyShould) {
  // Moments with 40,000 samples, against the distributions' own to 5 standard errors.
  const Dataset circles = make_circles(40000);
  EXPECT_EQ(std::count(circles.y.begin(), circles.y.end(), 0.0), 20000);
  EXPECT_NEAR(mean(circles, 0, square), 1 + 2 * 0.09, 0.025);
  EXPECT_NEAR(mean(circles, 1, square), 0.25 + 2 * 0.09, 0.015);
  for (double label : {0.0, 1.0}) {
    EXPECT_NEAR(mean(circles, label, first), 0, 0.012);
    EXPECT_NEAR(mean(circles, label, second), 0, 0.012);
  }
  const Dataset sharp = make_circles(9, 0.5, 0);
  for (size_t i = 0; i < 9; i++)
    EXPECT_NEAR(square(sharp.x[2 * i], sharp.x[2 * i + 1]), sharp.y[i] == 0 ? 1 : 0.25, 1e-15);

  const Dataset moons = make_moons(40000);
  EXPECT_NEAR(mean(moons, 0, first), 0, 0.008);
  EXPECT_NEAR(mean(moons, 0, second), 2 / std::numbers::pi, 0.008);
  EXPECT_NEAR(mean(moons, 1, first), 1, 0.008);
  EXPECT_NEAR(mean(moons, 1, second), 0.5 - 2 / std::numbers::pi, 0.008);
  EXPECT_NEAR(mean(moons, 0, square), 1 + 2 * 0.04, 0.012);
  const Dataset thin = make_moons(11, 0);
  for (size_t i = 0; i < 11; i++) {
    const double x = thin.x[2 * i], y = thin.x[2 * i + 1];
    EXPECT_NEAR(thin.y[i] == 0 ? square(x, y) : square(x - 1, y - 0.5), 1, 1e-15);
    EXPECT_TRUE(thin.y[i] == 0 ? y > -1e-15 : y < 0.5 + 1e-15);
  }
}

TEST(Datasets, BlobsAreScikitLearnsAndQuantilesAreHalves) {
  const Dataset blobs = make_blobs();
  ASSERT_EQ(blobs.samples, 200);
  ASSERT_EQ(blobs.y.size(), 200u);
  EXPECT_EQ((std::vector{blobs.x[0], blobs.x[1], blobs.x[398], blobs.x[399]}),
            (std::vector{-6.752901190627016, 7.20976961295994, -7.999694731451714, 4.339615931524825}));
  EXPECT_EQ(std::count(blobs.y.begin(), blobs.y.end(), 0.0), 34 + 33 + 33);

  const Dataset quantiles = make_gaussian_quantiles(40001);
  double inner = 0, outer = INFINITY, sum = 0;
  for (size_t i = 0; i < quantiles.y.size(); i++) {
    const double r = square(quantiles.x[2 * i], quantiles.x[2 * i + 1]);
    (quantiles.y[i] == 0 ? inner : outer) = quantiles.y[i] == 0 ? std::max(inner, r) : std::min(outer, r);
    sum += r;
  }
  EXPECT_EQ(std::count(quantiles.y.begin(), quantiles.y.end(), 0.0), 20000);
  EXPECT_LE(inner, outer);
  EXPECT_NEAR(inner, std::log(2), 0.025) << "the squared radius is exponential with mean 2 cov = 1";
  EXPECT_NEAR(sum / 40001, 1, 0.025);
}

TEST(Datasets, AreFoundByNameAndCheckTheirArguments) {
  for (const char* name : {"flower", "circles", "moons", "blobs", "quantiles"}) {
    const Dataset data = load_plane(name, 100, 3);
    EXPECT_EQ(data.samples, 100) << name;
    EXPECT_EQ(data.x.size(), 200u) << name;
    EXPECT_EQ(data.y.size(), 100u) << name;
    EXPECT_EQ(load_plane(name, 100, 3).x, data.x) << name;
    EXPECT_NE(load_plane(name, 100, 4).x, data.x) << name;
    EXPECT_THROW(load_plane(name, -1, 3), ShapeError) << name;
  }
  EXPECT_TRUE(contains(error_of([] { load_plane("rose", 100, 1); }), "flower, circles, moons"));
  EXPECT_THROW(make_circles(100, 1), Error);
  EXPECT_THROW(make_circles(100, 0.5, -1), Error);
  EXPECT_THROW(make_blobs(100, 0), Error);
  EXPECT_THROW(make_moons(100, -1), Error);
  EXPECT_THROW(make_moons(100, NAN), Error);
  EXPECT_THROW(make_circles(100, 0.5, INFINITY), Error);
  EXPECT_THROW(make_gaussian_quantiles(100, INFINITY), Error);
  EXPECT_THROW(make_gaussian_quantiles(100, 0), Error);
}

TEST(Datasets, OfAbsurdSizesAreRefusedAtOnce) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  for (const char* name : {"flower", "circles", "moons", "blobs", "quantiles"})
    for (const int64_t samples : {int64_t(1) << 46, INT64_MAX - 1}) {
      const std::string text = fmt::format(": no memory for {} samples", samples);
      EXPECT_TRUE(contains(error_of([&] { load_plane(name, samples, 1); }), text)) << name;
    }
  EXPECT_TRUE(contains(error_of([] { make_blobs(100, INT64_MAX); }), "make_blobs: at least 1 center"));
  EXPECT_TRUE(contains(error_of([] { make_blobs(100, int64_t(1) << 46); }), "no memory"));
}

TEST(Datasets, PixelsAreRounded) {
  Dataset data{{}, {}, 2, 256};
  for (int i = 0; i < 256; i++) data.x.push_back(1);
  for (int i = 0; i < 256; i++) data.x.push_back(i / 255.0);
  for (int i = 0; i < 256; i++) EXPECT_EQ(pixels(data, 1)[static_cast<size_t>(i)], i);
  EXPECT_THROW(pixels(data, 2), IndexError);
}

TEST(Png, IsWhatZlibWouldStore) {
  const uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 254, 255, 10, 13, 0, 128};
  EXPECT_EQ(base64(encode_png(3, 2, rgb)),
            "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAH0lEQVR4AQEUAOv/AP8AAAD/AAAA/wABAgP+/"
            "woNAIA40wWYMlaeQgAAAA"
            "BJRU5ErkJggg==");
  EXPECT_THROW(encode_png(3, 3, rgb), ShapeError);
  EXPECT_THROW(encode_png(0, 2, {}), ShapeError);
}

TEST(Png, BigPicturesTakeSeveralBlocks) {
  std::vector<uint8_t> rgb(200 * 150 * 3);
  for (size_t i = 0; i < rgb.size(); i++) rgb[i] = static_cast<uint8_t>(i * 7 + i / 256);
  const std::string png = encode_png(200, 150, rgb);
  const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<uint8_t>(png[at])); };
  size_t at = 8 + 25 + 8 + 2;  // signature, IHDR, the head of IDAT, the head of zlib's stream
  std::string rows;
  for (bool last = false; !last;) {
    last = byte(at) == 1;
    const size_t length = byte(at + 1) | byte(at + 2) << 8;
    ASSERT_EQ(length ^ 0xffff, byte(at + 3) | byte(at + 4) << 8);
    rows += png.substr(at + 5, length);
    at += 5 + length;
  }
  ASSERT_EQ(rows.size(), 90150u);
  for (size_t y = 0; y < 150; y++) {
    ASSERT_EQ(rows[601 * y], 0);
    ASSERT_EQ(std::memcmp(&rows[601 * y + 1], &rgb[600 * y], 600), 0);
  }
  EXPECT_EQ(byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3), 1780097722u)
      << "Adler-32";
  EXPECT_EQ(at + 4 + 4 + 12, png.size());
}

TEST(Base64, VectorsOfTheRfc) {
  const char* expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t n = 0; n <= 6; n++) EXPECT_EQ(base64(std::string_view("foobar").substr(0, n)), expected[n]);
}

TEST(Progress, TheLineFitsAndSaysWhatIsLeft) {
  EXPECT_EQ(progress_line("planar", 4200, 10000, 5, "cost 0.2881", 76),
            "planar  42% |###########                 | 4200/10000  cost 0.2881  ETA 0:07");
  EXPECT_EQ(progress_line("planar", 0, 10000, 5, "", 60),
            "planar   0% |" + std::string(38, ' ') + "| 0/10000");
  EXPECT_EQ(progress_line("cats", 2500, 2500, 3725.2, "cost 0.1", 200),
            "cats 100% |" + std::string(40, '#') + "| 2500/2500  cost 0.1  took 1:02:05");
  EXPECT_TRUE(contains(progress_line("x", 1, 100, 1e300, "", 80), "ETA 99:59:59"));
  for (int64_t width = 0; width < 100; width++)
    EXPECT_LE(progress_line("planar", 4200, 10000, 5, "cost 0.2881", width).size(),
              static_cast<size_t>(width));
  EXPECT_TRUE(contains(progress_line("none", 0, 0, 0, "", 80), "100%"));
}

TEST(Progress, TheCurveIsDrawnInDots) {
  std::vector<double> values;
  for (int i = 0; i <= 100; i++) values.push_back(i / 100.0);
  const auto rising = text_curve(values, 20, 5);
  ASSERT_EQ(rising.size(), 5u);
  EXPECT_TRUE(rising[0].starts_with("        1|")) << rising[0];
  EXPECT_TRUE(rising[4].starts_with("        0|")) << rising[4];
  // From the lower left dot to the upper right one: U+2840 and U+2808.
  EXPECT_TRUE(rising[4].substr(10, 3) >= "\u2840") << rising[4];
  EXPECT_TRUE(rising[0].ends_with("\u2808") || rising[0].ends_with("\u280a") || rising[0].ends_with("\u2809"))
      << rising[0];
  for (const std::string& line : rising) EXPECT_EQ(line.size(), 10 + 3 * 10u);

  const std::string blank = "\u2800";
  const auto gap = text_curve(std::vector<double>{1, NAN, 0}, 16, 1);
  ASSERT_EQ(gap.size(), 1u);
  EXPECT_GE(count_of(gap[0], blank), 2u);
  EXPECT_LE(count_of(gap[0], blank), 4u);
  EXPECT_TRUE(text_curve(std::vector<double>{1, 1}, 40, 5).empty());
  EXPECT_TRUE(text_curve(std::vector<double>{}, 40, 5).empty());
  EXPECT_TRUE(text_curve(std::vector<double>{-1e308, 1e308}, 40, 5).empty());
  EXPECT_TRUE(text_curve(values, 11, 5).empty()) << "no room";
}

TEST(Progress, IsSilentInAPipe) {
  std::FILE* file = std::tmpfile();
  ASSERT_TRUE(file);
  testing::internal::CaptureStdout();
  {
    Progress progress("planar", 100, file);
    for (int i = 1; i <= 100; i++) progress.update(i, "cost");
    progress.print("iteration 0: cost 0.69");
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "iteration 0: cost 0.69\n");
  EXPECT_EQ(std::ftell(file), 0);
  std::fclose(file);
}

TEST(Progress, RedrawsOneLineOnATerminal) {
  GRADUS_SKIP_WITHOUT(terminal());
  const int controller = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_EQ(grantpt(controller), 0);
  ASSERT_EQ(unlockpt(controller), 0);
  const int terminal_end = open(ptsname(controller), O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal_end, 0);
  std::FILE* file = fdopen(terminal_end, "w");
  testing::internal::CaptureStdout();
  {
    Progress progress("planar", 40, file);
    for (int i = 1; i <= 40; i++) progress.update(i, "cost 0.25", std::vector<double>{1, 0.5, 0.25});
    progress.print("above");
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "above\n");
  std::fclose(file);
  // One read may give a part of it; after the last there is an error.
  std::string shown;
  char buffer[4096];
  for (ssize_t got; (got = read(controller, buffer, sizeof buffer)) > 0;)
    shown.append(buffer, static_cast<size_t>(got));
  close(controller);
  ASSERT_FALSE(shown.empty());
  EXPECT_GE(count_of(shown, "planar"), 2u);
  EXPECT_LE(count_of(shown, "planar"), 20u) << "40 quick updates draw a few times";
  EXPECT_TRUE(contains(shown, "\nplanar 100% |")) << shown;
  // Eight lines of plot above the bar: each redrawing goes up over them, the last one ends the line.
  const size_t drawn = count_of(shown, "planar");
  EXPECT_EQ(count_of(shown, "        1|"), drawn);
  EXPECT_EQ(count_of(shown, "\n"), 8 * drawn + 1);
  EXPECT_EQ(count_of(shown, "\x1b[1A\x1b[2K"), 8 * (drawn - 1));
  EXPECT_EQ(shown.back(), '\n');
}

}  // namespace
}  // namespace gradus::examples
