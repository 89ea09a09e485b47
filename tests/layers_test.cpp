#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;
using Sources =
    std::map<std::string, Lines>;  // path from the root of the tree -> the headers it includes, in order

Lines includes_in(std::istream& text) {
  static const std::regex include(R"(^\s*#\s*include\s*[<"](?:gradus/)?([^>"]+)[>"].*)");
  Lines headers;
  std::smatch match;
  for (std::string line; std::getline(text, line);) {
    if (std::regex_match(line, match, include)) headers.push_back(match[1]);
  }
  return headers;
}

Sources source_tree() {
  const fs::path root = GRADUS_SOURCE_DIR;
  Sources sources;
  auto add = [&](const fs::path& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    sources[path.lexically_relative(root).generic_string()] = includes_in(file);
  };
  for (const char* part : {"autograd", "nn", "optim"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / part)) {
      const auto extension = entry.path().extension();
      if (extension == ".h" || extension == ".cpp") add(entry.path());
    }
  }
  add(root / "gradus.h");
  return sources;
}

/// Where a file stands; nothing for a header that is not ours. nn and optim stand side by side on autograd.
std::optional<int> floor_of(const std::string& path) {
  static const std::vector<std::string> floors = {"autograd/base/", "autograd/kernels/", "autograd/core/",
                                                  "autograd/ops/",  "autograd/engine/",  "autograd/check/"};
  for (size_t i = 0; i < floors.size(); ++i) {
    if (path.starts_with(floors[i])) return static_cast<int>(i);
  }
  const int above = static_cast<int>(floors.size());
  if (path.starts_with("nn/") || path.starts_with("optim/")) return above;
  if (path == "gradus.h") return above + 1;
  return std::nullopt;
}

Lines upward_includes(const Sources& sources) {
  Lines found;
  for (const auto& [path, headers] : sources) {
    for (const auto& header : headers) {
      const auto floor = floor_of(header);
      const bool sideways = (path.starts_with("optim/") && header.starts_with("nn/")) ||
                            (path.starts_with("nn/") && header.starts_with("optim/"));
      if (floor && (*floor > floor_of(path) || sideways)) found.push_back(path + " -> " + header);
    }
  }
  return found;
}

void reach(const Sources& sources, const std::string& path, std::set<std::string>& reached) {
  if (!sources.contains(path) || !reached.insert(path).second) return;
  for (const auto& header : sources.at(path)) reach(sources, header, reached);
}

/// Below the ops, a header comes along where one above it needs it.
Lines headers_not_in_umbrella(const Sources& sources) {
  std::set<std::string> reached;
  reach(sources, "gradus.h", reached);
  Lines found;
  for (const auto& [path, headers] : sources) {
    static const std::set<std::string> internal{"autograd/ops/table.h",
                                                "autograd/check/comparison.h",
                                                "autograd/check/diagnose.h",
                                                "autograd/check/known.h",
                                                "autograd/check/mistakes.h",
                                                "autograd/check/numeric.h",
                                                "autograd/check/trace.h",
                                                "nn/foreign_dtype.h",
                                                "nn/new_file.h",
                                                "optim/element_loop.h",
                                                "optim/training.h"};
    const bool open = floor_of(path) >= floor_of("autograd/ops/") && !internal.contains(path);
    if (path.ends_with(".h") && open && !reached.contains(path)) found.push_back(path);
  }
  return found;
}

/// The lines of the headers in these folders that match, as "path: line".
Lines lines_of_headers(const std::string& pattern, std::initializer_list<const char*> folders) {
  const std::regex wanted(pattern);
  Lines found;
  for (const char* folder : folders)
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(GRADUS_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);)
        if (std::regex_search(line, wanted)) found.push_back(entry.path().filename().string() + ": " + line);
    }
  return found;
}

TEST(LayersTest, NoFileIncludesUpward) {
  const auto sources = source_tree();
  EXPECT_TRUE(sources.contains("autograd/base/error.h"));
  EXPECT_THAT(upward_includes(sources), testing::IsEmpty());
}

TEST(LayersTest, UmbrellaReachesEveryPublicHeader) {
  EXPECT_THAT(headers_not_in_umbrella(source_tree()), testing::IsEmpty());
}

// Without it a shared library would keep what the header declares to itself. Not below, where most is
// compiled once for each level of the processor.
TEST(LayersTest, EveryHeaderAboveTheKernelsSaysWhatIsExported) {
  for (const auto& [path, headers] : source_tree()) {
    if (!path.ends_with(".h") || path == "gradus.h" || path.starts_with("autograd/kernels/")) continue;
    std::ifstream file(fs::path(GRADUS_SOURCE_DIR) / path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const size_t push = text.find("\n#pragma GCC visibility push(default)\n"), end = text.find("\n#endif");
    EXPECT_LT(push, text.find("namespace ")) << path;
    EXPECT_TRUE(end > push || text.rfind("\n#if", push) < end) << path << ": only under a condition";
    EXPECT_TRUE(text.ends_with("\n#pragma GCC visibility pop\n")) << path;
  }
}

// An inline variable would be another one in each program and library of hidden visibility.
TEST(LayersTest, NoHeaderHoldsState) {
  EXPECT_THAT(lines_of_headers(R"(^(?!extern ).*thread_local|^ *(inline|static) (?!const)[^()=]*( =|;|\{\}))",
                               {"autograd", "nn", "optim"}),
              testing::IsEmpty());
}

// needs.h: what is missing is said in the same words everywhere.
TEST(LayersTest, TestsSayWhatTheyNeedInOneWay) {
  for (const auto& entry : fs::directory_iterator(fs::path(GRADUS_SOURCE_DIR) / "tests")) {
    if (entry.is_directory() || entry.path().filename() == "needs.h") continue;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(text.find("GTEST_"
                        "SKIP"),
              std::string::npos)
        << entry.path();
  }
}

TEST(LayersTest, WrongIncludesAreFound) {
  std::istringstream text(
      "#pragma once\n  # include <gradus/nn/linear.h>  // why\n#include \"autograd/ops/view.h\"\n");
  EXPECT_THAT(includes_in(text), testing::ElementsAre("nn/linear.h", "autograd/ops/view.h"));

  const Sources wrong = {
      {"autograd/base/shape.h", {"cstdint", "autograd/core/tensor.h"}},
      {"autograd/core/tensor.h", {"autograd/base/shape.h", "nn/linear.h", "optim/sgd.h"}},
      {"gradus.h", {"nn/linear.h"}},
      {"nn/linear.h", {"autograd/core/tensor.h", "optim/sgd.h"}},
      {"optim/adam.h", {}},
      {"optim/sgd.h", {"gradus.h", "nn/linear.h"}},
  };
  EXPECT_THAT(upward_includes(wrong),
              testing::ElementsAre("autograd/base/shape.h -> autograd/core/tensor.h",
                                   "autograd/core/tensor.h -> nn/linear.h",
                                   "autograd/core/tensor.h -> optim/sgd.h", "nn/linear.h -> optim/sgd.h",
                                   "optim/sgd.h -> gradus.h", "optim/sgd.h -> nn/linear.h"));
  EXPECT_THAT(headers_not_in_umbrella(wrong), testing::ElementsAre("optim/adam.h"));
}

}  // namespace
