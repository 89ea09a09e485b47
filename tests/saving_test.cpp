#include <fcntl.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/safetensors.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/sgd.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <common/file.h>
#include <common/npy.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include "failing_allocations.h"
#include "needs.h"
#include "program.h"
#include "text_support.h"

namespace gradus {
namespace {

namespace fs = std::filesystem;

/// Everything that writes a file as a whole or not at all.
struct Writer {
  const char* name;
  std::function<void(const std::string& path)> write;
};
void PrintTo(const Writer& writer, std::ostream* out) { *out << writer.name; }

const Writer kWriters[] = {
    {"save",
     [](const std::string& path) {
       nn::save(path, {{"w", ones({1 << 12})}});
     }},
    {"write_file", [](const std::string& path) { examples::write_file(path, std::string(1 << 14, 'x')); }},
};

class Saving : public testing::TestWithParam<Writer> {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name) const { GetParam().write(path(name)); }
  std::string refusal(const std::string& name) const {
    return error_of<FileError>([&] { write(name); });
  }
  std::string expected() const {
    write("expected");
    std::string text = text_of(path("expected"));
    fs::remove(path("expected"));
    return text;
  }
  void put(const std::string& name, const std::string& text = "old") const {
    std::ofstream(path(name)) << text;
  }
  mode_t mode_of(const std::string& name) const {
    struct stat s {};
    EXPECT_EQ(::stat(path(name).c_str(), &s), 0);
    return s.st_mode & 07777;
  }

  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Everything, Saving, testing::ValuesIn(kWriters),
                         [](const auto& info) { return info.param.name; });

TEST_P(Saving, ReplacesRegularFilesOnly) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  fs::create_directory(path("folder"));
  fs::create_symlink("fifo", path("link"));
  fs::create_symlink("itself", path("itself"));
  for (const char* name : {"fifo", "folder", "link", "itself"}) EXPECT_NE(refusal(name), "") << name;
  EXPECT_TRUE(fs::is_fifo(path("fifo")));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(folder_.entries(), 4u);
  // A device of our own: a mistake would replace the machine's.
  if (::mknod(path("null").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    EXPECT_NE(refusal("null").find("not a regular file"), std::string::npos);
    EXPECT_TRUE(fs::is_character_file(path("null")));
  }
}

TEST_P(Saving, FollowsLinks) {
  fs::create_directory(path("elsewhere"));
  put("elsewhere/target");
  fs::create_symlink("elsewhere/target", path("link"));
  fs::create_symlink("link", path("second"));
  fs::create_symlink("elsewhere/none", path("dangling"));
  write("second");
  write("dangling");
  EXPECT_EQ(fs::read_symlink(path("second")), "link");
  EXPECT_EQ(fs::read_symlink(path("link")), "elsewhere/target");
  EXPECT_EQ(fs::read_symlink(path("dangling")), "elsewhere/none");
  EXPECT_EQ(text_of(path("elsewhere/target")), expected());
  EXPECT_EQ(text_of(path("elsewhere/none")), expected());
  EXPECT_EQ(folder_.entries(), 4u);
}

TEST_P(Saving, KeepsTheMode) {
  for (const mode_t mode : {0600u, 0640u, 0666u, 0444u}) {
    put("old");
    ASSERT_EQ(::chmod(path("old").c_str(), mode), 0);
    write("old");
    EXPECT_EQ(mode_of("old"), mode);
    fs::remove(path("old"));
  }
  const mode_t before = ::umask(027);
  write("new");
  ::umask(before);
  EXPECT_EQ(mode_of("new"), 0640u);
}

TEST_P(Saving, AFolderThatCannotBeSyncedIsAnErrorBeforeTheFileIsReplaced) {
  put("old");
  ::chmod(folder_.path().c_str(), 0333);
  const int status = in_child([&] {
    // The superuser may read everywhere.
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;
    return refusal("old").find("Permission denied") != std::string::npos ? 0 : 1;
  });
  ::chmod(folder_.path().c_str(), 0755);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text_of(path("old")), "old");
  EXPECT_EQ(folder_.entries(), 1u);
}

TEST_P(Saving, RemovesWhatKilledProcessesLeft) {
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ::waitpid(gone, nullptr, 0);
  const std::string left = ".gradus-save-" + std::to_string(gone);
  put(left + "-0");
  put(left + "-17");
  const std::string kept[] = {left + "-1x",
                              left + "-01",
                              left + "-",
                              left,
                              left + "-1-2",
                              ".gradus-save-0" + std::to_string(gone) + "-1",
                              ".gradus-save-0-1",
                              ".gradus-save--5-1",
                              "x" + left + "-1",
                              ".gradus-save-1-0",
                              ".gradus-save-" + std::to_string(::getpid()) + "-999999"};
  for (const std::string& name : kept) put(name);
  fs::create_directory(path(left + "-2"));
  fs::create_symlink(kept[0], path(left + "-3"));
  write("new");
  EXPECT_FALSE(fs::exists(path(left + "-0")));
  EXPECT_FALSE(fs::exists(path(left + "-17")));
  for (const std::string& name : kept) EXPECT_TRUE(fs::exists(path(name))) << name;
  EXPECT_TRUE(fs::is_directory(path(left + "-2")));
  EXPECT_TRUE(fs::is_symlink(path(left + "-3")));
  EXPECT_EQ(folder_.entries(), std::size(kept) + 3);
}

TEST_P(Saving, ALimitOfAFilesSizeIsAnErrorAndNoSignal) {
  put("old");
  EXPECT_EQ(in_child([&] {
              const rlimit limit{1 << 12, 1 << 12};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              if (refusal("old").find("File too large") == std::string::npos) return 1;
              sigset_t pending, mask;
              ::sigpending(&pending);
              ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
              return ::sigismember(&pending, SIGXFSZ) || ::sigismember(&mask, SIGXFSZ) ? 2 : 0;
            }),
            0);
  EXPECT_EQ(text_of(path("old")), "old");
  EXPECT_EQ(folder_.entries(), 1u);
}

TEST_P(Saving, WithoutMemoryTheOldFileStands) {
  with_failing_allocations([&] { put("old"); }, [&] { write("old"); },
                           [&] {
                             EXPECT_EQ(text_of(path("old")), "old");
                             EXPECT_EQ(folder_.entries(), 1u);
                           });
  EXPECT_EQ(text_of(path("old")), expected());
}

// ---- states: all or nothing

struct TwoLayers {
  nn::Linear a{2, 3}, b{3, 1};
  nn::Buffer mean = zeros({2});
  void visit(nn::Visitor& v) {
    v("a", a);
    v("b", b);
    v("mean", mean);
  }
  Tensor loss() const { return b(a(ones({4, 2}) - mean)).sum(); }
};

using Values = std::vector<double>;
/// Dtypes, elements and gradients.
std::vector<std::pair<Dtype, Values>> all_of(TwoLayers& model) {
  std::vector<std::pair<Dtype, Values>> list;
  for (const auto& [name, x] : nn::state_dict(model)) list.emplace_back(x.dtype(), x.to_vector());
  for (const Tensor& x : nn::parameters(model))
    if (x.grad().defined()) list.emplace_back(x.grad().dtype(), x.grad().to_vector());
  return list;
}

TEST(AllOrNothing, LoadStateDict) {
  TwoLayers from, to;
  from.mean.fill_(7);
  nn::NamedTensors state = nn::state_dict(from);
  // Elements that do not lie in rows.
  state[0].second = state[0].second.t().contiguous().t();
  const auto before = all_of(to);
  with_failing_allocations([] {}, [&] { nn::load_state_dict(to, state); },
                           [&] { EXPECT_EQ(all_of(to), before); });
  EXPECT_EQ(all_of(to), all_of(from));
}

TEST(AllOrNothing, LoadStateDictOfItsOwnElements) {
  TwoLayers model;
  struct Pair {
    nn::Buffer a = tensor({1.0, 2.0}), b = tensor({3.0, 4.0});
    void visit(nn::Visitor& v) {
      v("a", a);
      v("b", b);
    }
  } pair;
  const auto before = all_of(model);
  nn::load_state_dict(model, nn::state_dict(model));
  EXPECT_EQ(all_of(model), before);
  nn::load_state_dict(pair, {{"a", pair.b}, {"b", pair.a}});
  EXPECT_EQ(pair.a.to_vector(), (Values{3, 4}));
  EXPECT_EQ(pair.b.to_vector(), (Values{1, 2}));
}

TEST(AllOrNothing, To) {
  TwoLayers model;
  model.loss().backward();
  const auto before = all_of(model);
  with_failing_allocations([] {}, [&] { nn::to(model, kFloat64); },
                           [&] { EXPECT_EQ(all_of(model), before); });
  for (const auto& [dtype, values] : all_of(model)) EXPECT_EQ(dtype, kFloat64);
}

/// What is written first is small, and there is no memory for the second: in Release small blocks come from a
/// pool, and the failures above do not reach them.
struct SmallAndLarge {
  static constexpr int64_t kSize = 4096;
  nn::Buffer small = zeros({2}), large = zeros({kSize, kSize});
  void visit(nn::Visitor& v) {
    v("small", small);
    v("large", large);
  }
};
int with_little_memory(const std::function<void(SmallAndLarge&)>& f) {
  return in_child([&] {
    SmallAndLarge model;
    const Tensor given_back = empty({SmallAndLarge::kSize, SmallAndLarge::kSize});  // by zeros()
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t bytes = pages * static_cast<rlim_t>(::getpagesize()) + (32 << 20);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return 3;
    try {
      f(model);
      return 2;
    } catch (const Error&) {
    } catch (const std::bad_alloc&) {
    }
    return model.small.dtype() == kFloat32 && model.small.to_vector() == Values{0, 0} ? 0 : 1;
  });
}

TEST(AllOrNothing, WithMemoryForTheFirstOnly) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  EXPECT_EQ(with_little_memory([](SmallAndLarge& model) { nn::to(model, kFloat64); }), 0);
  EXPECT_EQ(with_little_memory([](SmallAndLarge& model) {
              nn::load_state_dict(model, {{"small", ones({2})}, {"large", model.large.t()}});
            }),
            0);
}

TEST(AllOrNothing, OptimizersLoadStateDict) {
  TwoLayers model;
  optim::Adam trained(nn::parameters(model), {.lr = 0.5}), fresh(nn::parameters(model), {.lr = 0.1});
  model.loss().backward();
  trained.step();
  const auto state = trained.state_dict();
  with_failing_allocations([] {}, [&] { fresh.load_state_dict(state); },
                           [&] {
                             EXPECT_EQ(fresh.lr(), 0.1);
                             EXPECT_EQ(fresh.state_dict().size(), 1u);
                           });
  EXPECT_EQ(fresh.state_dict().size(), state.size());
  EXPECT_EQ(fresh.lr(), 0.5);
}

TEST(AllOrNothing, Load) {
  const TemporaryFolder folder;
  TwoLayers model;
  nn::save(folder / "x", nn::state_dict(model));
  nn::NamedTensors state;
  with_failing_allocations([] {}, [&] { state = nn::load(folder / "x"); },
                           [&] { EXPECT_TRUE(state.empty()); });
  EXPECT_EQ(state.size(), 5u);
}

TEST(States, StepCountsThatNobodyHasCounted) {
  TwoLayers model;
  optim::SGD sgd(nn::parameters(model), {.lr = 0.1, .momentum = 0.5});
  model.loss().backward();
  sgd.step();
  auto state = sgd.state_dict();
  for (const int64_t steps : {INT64_MAX, INT64_MAX - 1, (int64_t{1} << 53) + 1, int64_t{-1}, INT64_MIN}) {
    state[1].second = tensor(steps);
    EXPECT_EQ(error_of([&] { sgd.load_state_dict(state); }),
              fmt::format("SGD: load_state_dict: '0.step' must lie in [1, 9007199254740992]: {}", steps));
  }
  state[1].second = tensor(int64_t{1} << 53);
  sgd.load_state_dict(state);
  sgd.step();
  EXPECT_EQ(sgd.state_dict()[1].second.item<int64_t>(), (int64_t{1} << 53) + 1);
}

TEST(States, NotStrict) {
  TwoLayers model;
  const nn::IncompatibleKeys keys = nn::load_state_dict(
      model, {{"mean", ones({2})}, {"scale", ones({2})}, {"a.bias", zeros({3})}, {"c", Tensor()}}, false);
  EXPECT_EQ(keys.missing_keys, (std::vector<std::string>{"a.weight", "b.weight", "b.bias"}));
  EXPECT_EQ(keys.unexpected_keys, (std::vector<std::string>{"scale", "c"}));
  EXPECT_EQ(model.mean.to_vector(), (Values{1, 1}));
  EXPECT_EQ(model.a.bias.to_vector(), (Values{0, 0, 0}));
  // What both have must fit all the same.
  const auto load = [&](const nn::NamedTensors& state) {
    return error_of([&] { nn::load_state_dict(model, state, false); });
  };
  EXPECT_EQ(load({{"mean", ones({3})}}), "load_state_dict: 'mean' has shape [3], in the model [2]");
  EXPECT_EQ(load({{"mean", Tensor()}}), "load_state_dict: 'mean' is undefined");
  EXPECT_EQ(load({{"mean", zeros({2})}, {"mean", zeros({2})}}), "load_state_dict: 'mean' is given twice");
  EXPECT_EQ(model.mean.to_vector(), (Values{1, 1}));
  const auto none = nn::load_state_dict(model, nn::state_dict(model));
  EXPECT_TRUE(none.missing_keys.empty() && none.unexpected_keys.empty());
}

// ---- dtypes that files have and tensors don't

template <class T>
std::string safetensors_of(const char* dtype, const std::vector<T>& x) {
  const std::string header = fmt::format(R"({{"x":{{"dtype":"{}","shape":[{}],"data_offsets":[0,{}]}}}})",
                                         dtype, x.size(), x.size() * sizeof(T));
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header +
         std::string(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(T));
}
template <class T>
std::string npy_of(const char* dtype, const std::vector<T>& x) {
  const std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}\n", dtype, x.size());
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
         std::string(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(T));
}

/// Elements of both kinds of files, converted; without a request they are refused with `dtype` to ask for.
template <class To, class T>
std::vector<To> converted(const char* safetensors, const char* npy, const std::vector<T>& x) {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  examples::write_file(path, safetensors_of(safetensors, x));
  EXPECT_EQ(error_of<FileError>([&] { nn::load(path); }),
            fmt::format("load: {}: 'x': dtype '{}' is not one of F32, F64, I64, U8, BOOL; load(path, "
                        "{{.convert = true}}) makes it {}",
                        path, safetensors, dtype_of<To>));
  const Tensor y = nn::load(path, {.convert = true}).at(0).second;
  EXPECT_EQ(y.dtype(), dtype_of<To>);
  std::vector<To> values(x.size());
  std::memcpy(values.data(), y.raw(), x.size() * sizeof(To));
  if (npy) {
    examples::write_file(path, npy_of(npy, x));
    EXPECT_TRUE(contains(error_of<FileError>([&] { examples::read_npy(path); }), "save array.astype('<f8')"));
    const examples::Array array = examples::read_npy(path, true);
    EXPECT_EQ(array.dtype, dtype_of<To>);
    EXPECT_EQ(array.data.size(), x.size() * sizeof(To));
    EXPECT_EQ(std::memcmp(array.data.data(), values.data(), array.data.size()), 0);
  }
  return values;
}

template <class T>
void integers_are_kept(const char* safetensors, const char* npy) {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> x{0, 1, static_cast<T>(-1), Limits::min(), Limits::max(), 100, Limits::max() / 3};
  EXPECT_EQ(converted<int64_t>(safetensors, npy, x), std::vector<int64_t>(x.begin(), x.end()));
}

TEST(ForeignDtypes, Integers) {
  integers_are_kept<int8_t>("I8", "|i1");
  integers_are_kept<int16_t>("I16", "<i2");
  integers_are_kept<int32_t>("I32", "<i4");
  integers_are_kept<uint16_t>("U16", "<u2");
  integers_are_kept<uint32_t>("U32", "<u4");
}

TEST(ForeignDtypes, EveryFloat16AndBfloat16) {
  std::vector<uint16_t> x(65536);
  std::iota(x.begin(), x.end(), 0);
  const std::vector<float> f16 = converted<float>("F16", "<f2", x),
                           bf16 = converted<float>("BF16", nullptr, x);
  for (size_t i = 0; i < x.size(); i++) {
    ASSERT_EQ(std::bit_cast<uint32_t>(bf16[i]), i * 65536);
    const int exponent = static_cast<int>(i >> 10 & 31), fraction = static_cast<int>(i & 1023);
    ASSERT_EQ(std::signbit(f16[i]), i >= 32768);
    const double size = std::abs(f16[i]);
    if (exponent == 31 && fraction) {
      ASSERT_TRUE(std::isnan(f16[i]));
    } else if (exponent == 31) {
      ASSERT_TRUE(std::isinf(f16[i]));
    } else {
      ASSERT_EQ(size, exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
    }
  }
}

TEST(ForeignDtypes, OthersAreRefusedWithWhatToDo) {
  const TemporaryFolder folder;
  examples::write_file(folder / "x", safetensors_of<uint64_t>("U64", {1}));
  for (const bool convert : {false, true})
    EXPECT_EQ(error_of<FileError>([&] { nn::load(folder / "x", {.convert = convert}); }),
              "load: " + folder / "x" +
                  ": 'x': dtype 'U64' is not one of F32, F64, I64, U8, BOOL; save it as one of them");
  // Too few bytes for the elements that the file says it has.
  std::string text = safetensors_of<uint16_t>("F16", {1, 2});
  text.replace(text.find("F16"), 3, "I32");
  text.pop_back();
  examples::write_file(folder / "x", text);
  EXPECT_NE(error_of<FileError>([&] { nn::load(folder / "x", {.convert = true}); }), "");
  text = safetensors_of<uint16_t>("F16", {1, 2});
  text.replace(text.find("[2]"), 3, "[4]");
  examples::write_file(folder / "x", text);
  EXPECT_TRUE(contains(error_of<FileError>([&] { nn::load(folder / "x", {.convert = true}); }),
                       "F16 of shape [4] takes 8 bytes, data_offsets [0, 4] give 4"));
}

}  // namespace
}  // namespace gradus
