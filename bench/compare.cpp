// Runs Gradus, libtorch and the floor in turns, checks that they compute the same, and prints who takes how
// long.
#include <common/file.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>

#include "inputs.h"
#include "program.h"

namespace {

namespace fs = std::filesystem;

/// A command line that every program takes, and how far the losses of two right programs may differ,
/// relatively.
struct Run {
  std::string workload;
  int threads;
  std::string dtype;
  std::string reps_and_iterations;
  double tolerance =
      0;  // how far the losses of two right programs may differ, relatively; 0: there is no loss

  bool trains() const { return tolerance > 0; }
  std::string arguments() const {
    return fmt::format("{} {} {} {}", workload, threads, dtype, reps_and_iterations);
  }
};
// After 10,000 iterations the planar run has amplified roundings; 60 iterations of cats have not.
const std::vector<Run> kRuns = {
    {"overhead", 1, "f32", "1"},      {"overhead", 1, "f64", "1"},      {"chain1m", 1, "f32", "1"},
    {"planar", 1, "f32", "1", 3e-3},  {"planar", 1, "f64", "1", 3e-3},  {"cats", 1, "f32", "1 60", 1e-5},
    {"cats", 1, "f64", "1 60", 1e-6}, {"cats", 2, "f32", "1 60", 1e-5}, {"cats", 2, "f64", "1 60", 1e-6}};

/// A program with an environment of its own.
struct Competitor {
  std::string name, program, environment;
};
constexpr const char* kPeer = "OMP_PROC_BIND=true OPENBLAS_NUM_THREADS=1";
const Competitor kOurs{"gradus", "gradus_workloads", ""};
const Competitor kFloor{"floor", "floor", ""};
const std::vector<Competitor> kTorch = {
    {"unset", "torch_bench", fmt::format("-u OPENBLAS_CORETYPE {}", kPeer)},
    {"Haswell", "torch_bench", fmt::format("OPENBLAS_CORETYPE=Haswell {}", kPeer)},
    {"SKYLAKEX", "torch_bench", fmt::format("OPENBLAS_CORETYPE=SKYLAKEX {}", kPeer)}};

/// The number after the first `label` of a program's output.
std::optional<double> number_after(const std::string& output, const std::string& label) {
  const size_t at = output.find(label);
  if (at == std::string::npos) return {};
  const char* text = output.c_str() + at + label.size();
  char* end;
  const double value = std::strtod(text, &end);
  return end == text ? std::nullopt : std::optional(value);
}

/// A row of the table: the sum of the numbers after these labels of a workload's output.
struct Row {
  std::string name, workload, unit;
  std::vector<std::string> labels;

  std::optional<double> value(const std::string& output) const {
    double sum = 0;
    for (const std::string& label : labels) {
      const auto number = number_after(output, label);
      if (!number) return {};
      sum += *number;
    }
    return sum;
  }
};
const std::vector<Row> kRows = {{"add nograd", "overhead", "ns", {"add nograd "}},
                                {"add fwd+bwd per op", "overhead", "ns", {"fwd+bwd "}},
                                {"64-vec tanh fwd+bwd per op", "overhead", "ns", {"tanh chain fwd+bwd "}},
                                {"chain of 1,000,000", "chain1m", "s", {"fwd ", "bwd ", "destroy "}},
                                {"memory per op of it", "chain1m", "bytes", {"=> "}},
                                {"planar, 10,000 iterations", "planar", "s", {"median "}},
                                {"cats, 2,500 iterations", "cats", "s", {"median "}}};

/// What one competitor printed for one run, round by round.
using Outputs = std::vector<std::string>;

class Comparison {
 public:
  Comparison(fs::path programs, fs::path inputs, bool cats)
      : programs_(std::move(programs)), inputs_(std::move(inputs)) {
    for (const Run& run : kRuns)
      if (cats || run.workload != "cats") runs_.push_back(run);
    if (!cats) notes_.push_back("cats: left out: GRADUS_DATA does not name the folder of the two HDF5 files");
    if (!built(kTorch[0]))
      notes_.push_back("libtorch: left out: libtorch-dev was not found when this was built");
    if (!built(kFloor))
      notes_.push_back("floor: left out: the processor that this was built on has no AVX-512");
  }

  void measure(int rounds) {
    for (int round = 0; round < rounds; round++)
      for (const Run& run : runs_) {
        fmt::print(stderr, "round {} of {}: {}\n", round + 1, rounds, run.arguments());
        measure(run, kOurs);
        for (const Competitor& torch : kTorch) measure(run, torch);
        if (run.trains()) measure(run, kFloor);
      }
  }

  /// Prints the table. Returns whether Gradus finished every run with the losses of the others.
  bool report() {
    fmt::print("{:<28} {:>7} {:>5} {:>12} {:>12} {:<9} {:>7} {:>10} {:>8}\n", "workload", "threads", "dtype",
               "gradus", "libtorch", "(best at)", "ratio", "floor", "/ floor");
    bool all_agree = true;
    for (const Run& run : runs_) {
      for (const Row& row : kRows)
        if (row.workload == run.workload) print(run, row);
      all_agree &= check(run);
    }
    for (const std::string& note : notes_) fmt::print("{}\n", note);
    if (!built(kTorch[0]) && !built(kFloor))
      fmt::print("There is no peer to compare with.\n");
    else if (all_agree)
      fmt::print("The losses agree.\n");
    return !failed_;
  }

  nlohmann::ordered_json samples() const {
    auto all = nlohmann::ordered_json::array();
    for (const Run& run : runs_)
      for (const Row& row : kRows)
        if (row.workload == run.workload) {
          nlohmann::ordered_json entry{{"row", row.name},
                                       {"arguments", run.arguments()},
                                       {"threads", run.threads},
                                       {"dtype", run.dtype},
                                       {"unit", row.unit}};
          for (const Competitor& c : competitors()) entry["samples"][label(c)] = values(run, c, row);
          all.push_back(entry);
        }
    return all;
  }

 private:
  static std::vector<Competitor> competitors() {
    std::vector<Competitor> all{kOurs};
    all.insert(all.end(), kTorch.begin(), kTorch.end());
    all.push_back(kFloor);
    return all;
  }
  static std::string label(const Competitor& c) {
    return c.program == "torch_bench" ? "libtorch OPENBLAS_CORETYPE=" + c.name : c.name;
  }
  bool built(const Competitor& c) const { return fs::exists(programs_ / c.program); }

  void measure(const Run& run, const Competitor& c) {
    if (!built(c)) return;
    const std::string command =
        fmt::format("env {} PEERS_DATA='{}' '{}' {} 2>&1", c.environment, inputs_.string(),
                    (programs_ / c.program).string(), run.arguments());
    FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) throw std::runtime_error("compare: cannot run: " + command);
    std::string output;
    for (int byte; (byte = std::fgetc(pipe)) != EOF;) output += static_cast<char>(byte);
    const int status = pclose(pipe);
    if (status == 0) {
      outputs_[{run.arguments(), label(c)}].push_back(output);
    } else {
      notes_.push_back(
          fmt::format("{}: {}: failed with wait status {}: {}", label(c), run.arguments(), status, output));
      failed_ |= c.program == kOurs.program;
    }
  }

  Outputs outputs(const Run& run, const Competitor& c) const {
    const auto found = outputs_.find({run.arguments(), label(c)});
    return found == outputs_.end() ? Outputs() : found->second;
  }
  std::vector<double> values(const Run& run, const Competitor& c, const Row& row) const {
    std::vector<double> numbers;
    for (const std::string& output : outputs(run, c)) {
      const auto number = row.value(output);
      if (!number)
        throw std::runtime_error(fmt::format("compare: no '{}' in: {}", row.labels.front(), output));
      numbers.push_back(*number);
    }
    return numbers;
  }
  std::optional<double> median(const Run& run, const Competitor& c, const Row& row) const {
    const std::vector<double> numbers = values(run, c, row);
    return numbers.empty() ? std::nullopt : std::optional(bench::median(numbers));
  }

  void print(const Run& run, const Row& row) const {
    const auto ours = median(run, kOurs, row), floor = median(run, kFloor, row);
    std::optional<double> torch;
    std::string best;
    for (const Competitor& c : kTorch) {
      const auto m = median(run, c, row);
      if (m && (!torch || *m < *torch) && agrees(run, c)) torch = m, best = c.name;
    }
    const auto cell = [](std::optional<double> x, const std::string& unit) {
      return x ? fmt::format("{:.{}f} {}", *x, unit == "s" ? 4 : 1, unit) : "-";
    };
    const auto ratio = [](std::optional<double> a, std::optional<double> b) {
      return a && b ? fmt::format("{:.2f}x", *a / *b) : "-";
    };
    fmt::print("{:<28} {:>7} {:>5} {:>12} {:>12} {:<9} {:>7} {:>10} {:>8}\n", row.name, run.threads,
               run.dtype, cell(ours, row.unit), cell(torch, row.unit), best, ratio(torch, ours),
               cell(floor, row.unit), ratio(ours, floor));
  }

  static std::optional<double> loss(const std::string& output) {
    const auto last = number_after(output, "last loss ");
    return last ? last : number_after(output, "loss9999 ");
  }
  /// Whether every loss of `c` is the one that most have: the median over all competitors. NaN never is.
  bool agrees(const Run& run, const Competitor& c) const {
    if (!run.trains()) return true;
    std::vector<double> all;
    for (const Competitor& other : competitors())
      for (const std::string& output : outputs(run, other))
        if (const auto number = loss(output); number && !std::isnan(*number)) all.push_back(*number);
    const double expected = all.empty() ? 0 : bench::median(all);
    for (const std::string& output : outputs(run, c))
      if (!(std::abs(loss(output).value_or(NAN) - expected) <= run.tolerance * expected)) return false;
    return true;
  }
  bool check(const Run& run) {
    bool all_agree = true;
    for (const Competitor& c : competitors()) {
      if (agrees(run, c)) continue;
      notes_.push_back(fmt::format("{}: {}: its loss is not that of the others: {}", label(c),
                                   run.arguments(), outputs(run, c).back()));
      all_agree = false;
      failed_ |= c.program == kOurs.program;
    }
    return all_agree;
  }

  fs::path programs_, inputs_;
  std::vector<Run> runs_;
  std::vector<std::string> notes_;
  std::map<std::pair<std::string, std::string>, Outputs> outputs_;  // by run and competitor
  bool failed_ = false;
};

nlohmann::ordered_json machine() {
  std::string model, flags;
  std::ifstream cpu("/proc/cpuinfo");
  for (std::string line; std::getline(cpu, line) && (model.empty() || flags.empty());) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0) model = line.substr(colon + 2);
    if (line.rfind("flags", 0) == 0) {
      std::istringstream words(line.substr(colon + 2));
      for (std::string word; words >> word;)
        if (word == "avx2" || word == "fma" || word.rfind("avx512", 0) == 0 || word.rfind("amx", 0) == 0)
          flags += (flags.empty() ? "" : " ") + word;
    }
  }
  utsname system{};
  uname(&system);
  double load = 0;  // other people's work on this machine slows everybody down, but not evenly
  getloadavg(&load, 1);
  return {{"cpu", model},
          {"flags", flags},
          {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
          {"system", fmt::format("{} {}", system.sysname, system.release)},
          {"compiler", __VERSION__},
          {"load_before", load}};
}

/// A folder that is gone when this goes.
struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / fmt::format("gradus_bench_{}", getpid());
  TemporaryFolder() { fs::create_directories(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

void write(const bench::Inputs& inputs, const fs::path& folder) {
  for (const auto& [name, values] : inputs)
    gradus::examples::write_file(folder / (name + ".bin"), std::as_bytes(std::span(values)));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures Gradus against libtorch and the floor, in turns");
  int rounds = 5;
  std::string results;
  app.add_option("--rounds", rounds, "How often everything is run")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--results", results, "Folder for the raw samples, as JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    const TemporaryFolder inputs;
    const char* pictures = std::getenv("GRADUS_DATA");
    write(bench::planar_inputs(), inputs.path);
    if (pictures) write(bench::cats_inputs(pictures), inputs.path);

    const std::tm date = fmt::gmtime(std::time(nullptr));
    nlohmann::ordered_json record{{"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", date)},
                                  {"machine", machine()}};
    Comparison comparison(fs::canonical("/proc/self/exe").parent_path(), inputs.path, pictures != nullptr);
    comparison.measure(rounds);
    const bool right = comparison.report();
    if (!results.empty()) {
      record["rows"] = comparison.samples();
      const std::string path = fmt::format("{}/{:%Y-%m-%d-%H%M}.json", results, date);
      gradus::examples::write_file(path, record.dump(1) + "\n");
      fmt::print("Raw samples: {}\n", path);
    }
    return right ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "compare: {}\n", e.what());
    return 1;
  }
}
