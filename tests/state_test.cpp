#include <gradus/autograd/ops/create.h>
#include <gradus/nn/activation.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/loss.h>
#include <gradus/nn/safetensors.h>
#include <gradus/nn/sequential.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "needs.h"
#include "text_support.h"

namespace gradus {
namespace {

namespace fs = std::filesystem;

/// Each test has a folder of its own.
class Safetensors : public testing::Test {
 protected:
  std::string path(const std::string& name = "x.safetensors") const { return folder_ / name; }

  TemporaryFolder folder_;
};

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}
/// A header with its length before it, and data after.
std::string file_with(const std::string& header, const std::string& data = "") {
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.contiguous().raw(), b.contiguous().raw(),
                     static_cast<size_t>(a.numel() * item_size(a.dtype()))) == 0;
}
void expect_equal(const nn::NamedTensors& a, const nn::NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_TRUE(equal(a[i].second, b[i].second)) << a[i].first;
  }
}

TEST_F(Safetensors, KeepsEveryDtypeRankAndName) {
  const double nan = std::nan("");
  const nn::NamedTensors state = {
      {"bytes", tensor({1, 2, 255}, kUInt8)},
      {"up.weight", tensor({{1.5, -0.0}, {nan, -HUGE_VAL}})},
      {"empty", zeros({0, 3}, kFloat64)},
      {"scalar", tensor(-3.25, kFloat64)},
      {"mask", tensor({true, false, true})},
      {"ints", tensor({INT64_MIN, int64_t(0), INT64_MAX})},
      {"transposed", tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}).t()},
      {"eight", ones({1, 2, 1, 2, 1, 1, 1, 1})},
      {"", ones({1})},
      {"Zürich \"\\\n/../猫", tensor(1)},
      {std::string("nul\0in", 6), tensor(2)},
  };
  nn::save(path(), state);
  expect_equal(nn::load(path()), state);
  nn::save(path(), {});
  EXPECT_TRUE(nn::load(path()).empty());
  EXPECT_EQ(folder_.entries(), 1u);
}

TEST_F(Safetensors, WritesTheFormatByteForByte) {
  nn::save(path(), {{"u", tensor({7}, kUInt8)}, {"w", tensor({{1.0, 2.0}})}});
  // 8-byte elements would come first, then the floats, then the bytes; the header is padded to a multiple
  // of 8.
  const std::string header =
      R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"w":{"dtype":"F32","shape":[1, 2],"data_offsets":[0,8]}} )";
  std::string padded = header;
  while (padded.size() % 8) padded += ' ';
  EXPECT_EQ(text_of(path()), file_with(padded, std::string("\0\0\x80?\0\0\0@\x07", 9)));
}

TEST_F(Safetensors, ReadsWhatOthersWrite) {
  write_bytes(
      path(),
      file_with(R"({"__metadata__":{"format":"pt"},"b":{"data_offsets":[4,8],"shape":[],"dtype":"F32"},)"
                R"( "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   )",
                std::string("\0\0\x80?\0\0\0@", 8)));
  const nn::NamedTensors state = nn::load(path());
  expect_equal(state, {{"b", tensor(2.0)}, {"a", tensor({1.0})}});
}

TEST_F(Safetensors, LoadedTensorsShareNothing) {
  nn::save(path(), {{"a", zeros({2})}, {"b", zeros({2})}});
  nn::NamedTensors state = nn::load(path());
  state[0].second.fill_(1);
  expect_equal(state, {{"a", ones({2})}, {"b", zeros({2})}});
}

TEST_F(Safetensors, RefusesWithTheReason) {
  const std::string data(8, '\0');
  const struct {
    std::string header, reason;
  } cases[] = {
      {"", "the header does not begin with {"},
      {R"( {})", "the header does not begin with {"},
      {R"([])", "the header does not begin with {"},
      {R"({"a":)", "the header is not JSON at its byte 6"},
      {R"({"a":1})", "'a': a number where none may be"},
      {R"({"a":{}})", "'a': no dtype"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", "'a': no data_offsets"},
      {R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,8]}})", "'a': dtype 'BF16' is not one of"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "'a': duplicate key 'dtype'"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", "'a': unknown key 'more'"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "'a': a number that is no integer"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "'a': a negative number"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "'a': an array where none may be"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})", "'a': more than 8 dims"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       "'a': float32 of shape [3] takes 12 bytes, data_offsets [0, 8] give 8"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,2,2],"data_offsets":[0,8]}})", "is too large"},
      {R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", "is too large"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", "is too large"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "[8, 0] do not lie in [0, 8]"},
      {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "[0, 16] do not lie in [0, 8]"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "'a': 1 data_offsets, not 2"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "'a': more than 2 data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "'a': begins at byte 4 of the data"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "4 bytes follow the last tensor"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "'b': begins at byte 4 of the data, the tensor before ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "duplicate key 'a'"},
      {R"({"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "__metadata__: a number, where only strings may be"},
      {R"({"__metadata__":"pt"})", "'__metadata__': a string where none may be"},
  };
  for (const auto& c : cases) {
    write_bytes(path(), file_with(c.header, data));
    const std::string message = error_of<FileError>([&] { nn::load(path()); });
    EXPECT_TRUE(message.starts_with("load: " + path() + ": ")) << message;
    EXPECT_NE(message.find(c.reason), std::string::npos) << message << "\nof " << c.header;
  }
  write_bytes(path(), file_with(R"({"a":{"dtype":"BOOL","shape":[8],"data_offsets":[0,8]}})",
                                std::string("\1\0\1\0\0\0\0\2", 8)));
  EXPECT_NE(error_of<FileError>([&] { nn::load(path()); }).find("a bool that is neither 0 nor 1"),
            std::string::npos);
}

TEST_F(Safetensors, RefusesLengthsThatTheFileDoesNotHold) {
  for (const uint64_t n :
       {uint64_t(100), uint64_t(1) << 30, uint64_t(100'000'001), uint64_t(1) << 63, ~uint64_t(0)}) {
    std::string bytes = file_with("{}");
    std::memcpy(bytes.data(), &n, 8);
    write_bytes(path(), bytes);
    EXPECT_NE(error_of<FileError>([&] { nn::load(path()); }).find(std::to_string(n)), std::string::npos);
  }
  EXPECT_NE(error_of<FileError>([&] { nn::load(path("missing")); }).find("No such file"), std::string::npos);
  EXPECT_NE(error_of<FileError>([&] { nn::load(folder_.path()); }).find("not a regular file"),
            std::string::npos);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_NE(error_of<FileError>([&] { nn::load(path("pipe")); }).find("not a regular file"),
            std::string::npos);
}

TEST_F(Safetensors, RefusesMoreTensorsThanMemoryWouldBear) {
  std::string header = "{";
  for (int i = 0; i < 65'537; i++)
    header += fmt::format(R"("{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},)", i);
  header.back() = '}';
  write_bytes(path(), file_with(header));
  EXPECT_NE(error_of<FileError>([&] { nn::load(path()); }).find("more than 65536 tensors"),
            std::string::npos);
}

TEST_F(Safetensors, EveryCutAndEveryFlippedBitIsAnErrorOrAValidFile) {
  nn::save(path(), {{"w", tensor({{1.0, 2.0}, {3.0, 4.0}})}, {"m", tensor({true, false})}});
  const std::string whole = text_of(path());
  for (size_t n = 0; n < whole.size(); n++) {
    write_bytes(path(), whole.substr(0, n));
    EXPECT_NE(error_of<FileError>([&] { nn::load(path()); }), "") << "cut to " << n;
  }
  write_bytes(path(), whole);
  std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](size_t at, int byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
  };
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      put(at, whole[at] ^ (1 << bit));
      // Anything but a FileError fails the test.
      try {
        for (const auto& [name, x] : nn::load(path())) EXPECT_LE(x.numel() * item_size(x.dtype()), 18);
      } catch (const FileError&) {
        refused++;
      }
    }
    put(at, whole[at]);
  }
  EXPECT_EQ(text_of(path()), whole);
  EXPECT_GT(refused, whole.size() * 4);
}

TEST_F(Safetensors, HostileFilesGetTheirVerdicts) {
  const char* corpus = std::getenv("GRADUS_CORPUS");
  const fs::path hostile = corpus ? fs::weakly_canonical(corpus).parent_path() / "hostile_files" : fs::path();
  GRADUS_SKIP_WITHOUT(fs::exists(hostile / "verdicts.json"), "GRADUS_CORPUS, a folder beside hostile_files");
  const auto verdicts = nlohmann::json::parse(text_of((hostile / "verdicts.json").string()));
  int tried = 0;
  for (const auto& entry : verdicts.items()) {
    const fs::path file = hostile / entry.key();
    if (file.extension() != ".safetensors") continue;
    const std::string message = error_of<FileError>([&] { nn::load(file.string()); });
    const std::string verdict = entry.value()["verdict"];
    tried++;
    if (verdict == "either") continue;
    EXPECT_EQ(message.empty(), verdict == "accept") << file << ": " << message;
  }
  EXPECT_GE(tried, 80);
}

TEST_F(Safetensors, SaveRefusesWhatCannotBeReadBack) {
  nn::save(path(), {{"a", ones({1})}});
  const auto refused = [&](const nn::NamedTensors& state) {
    try {
      nn::save(path(), state);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused({{"a", ones({1})}, {"a", ones({1})}}), "save: two tensors are named 'a'");
  EXPECT_EQ(refused({{"a", Tensor()}}), "save: 'a' is undefined");
  EXPECT_EQ(refused({{"__metadata__", ones({1})}}), "save: no tensor can be named '__metadata__'");
  EXPECT_EQ(refused({{"\xff", ones({1})}}), "save: the name of tensor 0 is not UTF-8");
  EXPECT_EQ(nn::load(path()).size(), 1u);
}

TEST_F(Safetensors, AFailedSaveLeavesTheOldFileAndNothingElse) {
  nn::save(path(), {{"a", ones({1})}});
  const std::string before = text_of(path());
  const nn::NamedTensors large = {{"a", ones({1 << 16})}};
  // A limit on the size of files cuts the write in the middle.
  EXPECT_EQ(
      in_child([&] {
        const rlimit limit{1 << 12, 1 << 12};
        ::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
        return error_of<FileError>([&] { nn::save(path(), large); }).starts_with("save: " + path() + ": ")
                   ? 0
                   : 1;
      }),
      0);
  EXPECT_EQ(text_of(path()), before);
  EXPECT_EQ(folder_.entries(), 1u);

  EXPECT_NE(error_of<FileError>([&] { nn::save(path("none/x"), large); }).find("No such file"),
            std::string::npos);
  fs::create_directory(path("folder"));
  EXPECT_NE(error_of<FileError>([&] { nn::save(path("folder"), large); }), "");
  EXPECT_EQ(folder_.entries(), 2u);
}

TEST_F(Safetensors, AReadOnlyFolderIsAnError) {
  nn::save(path(), {{"a", ones({1})}});
  ::chmod(folder_.path().c_str(), 0555);
  const int status = in_child([&] {
    // The superuser may write everywhere.
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;
    return error_of<FileError>([&] { nn::save(path(), {}); }) == "save: " + path() + ": Permission denied"
               ? 0
               : 1;
  });
  ::chmod(folder_.path().c_str(), 0755);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(nn::load(path()).size(), 1u);
}

TEST_F(Safetensors, KillingASaveLeavesOneOfTheTwoFiles) {
  const nn::NamedTensors a = {{"w", zeros({1 << 16})}}, b = {{"w", ones({1 << 15})}};
  nn::save(path(), a);
  int replaced = 0;
  for (int round = 0; round < 25; round++) {
    struct stat before {
    }, after{};
    ::stat(path().c_str(), &before);
    const pid_t child = ::fork();
    if (child == 0)
      for (;;) {
        nn::save(path(), b);
        nn::save(path(), a);
      }
    ::usleep(static_cast<useconds_t>(1000 + 700 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    const Tensor w = nn::load(path()).at(0).second;
    EXPECT_TRUE(equal(w, a[0].second) || equal(w, b[0].second));
    ::stat(path().c_str(), &after);
    replaced += before.st_ino != after.st_ino;
  }
  EXPECT_GT(replaced, 0);
}

TEST_F(Safetensors, TrainingResumesBitForBit) {
  using Maker = std::function<std::unique_ptr<optim::Optimizer>(const Tensors&)>;
  const Maker makers[] = {
      [](const Tensors& p) {
        return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.1, .momentum = 0.9});
      },
      [](const Tensors& p) { return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.1}); },
      [](const Tensors& p) { return std::make_unique<optim::Adam>(p, optim::AdamOptions{.amsgrad = true}); },
      [](const Tensors& p) {
        return std::make_unique<optim::RMSprop>(p, optim::RMSpropOptions{.momentum = 0.9, .centered = true});
      }};
  const Tensor x = rand({16, 3}), y = rand({16, 1});
  const auto make_model = [] { return nn::Sequential{nn::Linear(3, 5), nn::Tanh(), nn::Linear(5, 1)}; };
  const auto train = [&](nn::Sequential& model, optim::Optimizer& optimizer) {
    for (int t = 0; t < 7; t++) {
      optimizer.zero_grad();
      nn::MSELoss{}(model(x), y).backward();
      optimizer.step();
    }
  };
  for (const Maker& make : makers) {
    nn::Sequential model = make_model(), resumed = make_model();
    const auto optimizer = make(nn::parameters(model));
    train(model, *optimizer);
    optimizer->set_lr(0.037);
    nn::save(path("model"), nn::state_dict(model));
    nn::save(path("optimizer"), optimizer->state_dict());
    train(model, *optimizer);

    const auto second = make(nn::parameters(resumed));
    nn::load_state_dict(resumed, nn::load(path("model")));
    second->load_state_dict(nn::load(path("optimizer")));
    EXPECT_EQ(second->lr(), 0.037);
    train(resumed, *second);
    expect_equal(nn::state_dict(resumed), nn::state_dict(model));
    expect_equal(second->state_dict(), optimizer->state_dict());
  }
}

}  // namespace
}  // namespace gradus
