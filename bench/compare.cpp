// Runs Gradus, libtorch and the floor in turns, checks that they compute the same, and prints who takes how
// long.
#include <common/file.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gradus/autograd/kernels/isa.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <sstream>

#include "footprint.h"
#include "inputs.h"
#include "program.h"

namespace {

namespace fs = std::filesystem;

#ifndef TORCH_COMPILE_START
#define TORCH_COMPILE_START ""
#endif

/// A command line that every program takes.
struct Run {
  std::string workload;
  int threads;
  std::string dtype;
  std::string reps_and_iterations;
  double tolerance = 0;  // how far the losses of two right programs may differ, relatively; 0: no loss
  std::string peers = workload;  // what the others run for it; measured with the run of that name

  bool trains() const { return tolerance > 0; }
  std::string arguments() const { return arguments_for(workload); }
  std::string peers_arguments() const { return arguments_for(peers); }

 private:
  std::string arguments_for(const std::string& what) const {
    return fmt::format("{} {} {} {}", what, threads, dtype, reps_and_iterations);
  }
};
// After 10,000 iterations the planar run has amplified roundings; 60 iterations of cats have not. Adam takes
// the MLP's loss to 0.002 in 10 iterations.
const std::vector<Run> kRuns = {{"overhead", 1, "f32", "3"},
                                {"overhead", 1, "f64", "3"},
                                {"chain1m", 1, "f32", "1"},
                                {"planar", 1, "f32", "3", 3e-3},
                                {"planar", 1, "f64", "3", 3e-3},
                                {"replayed", 1, "f32", "3", 3e-3, "planar"},
                                {"replayed", 1, "f64", "3", 3e-3, "planar"},
                                {"cats", 1, "f32", "1 60", 1e-5},
                                {"cats", 1, "f64", "1 60", 1e-6},
                                {"cats", 2, "f32", "1 60", 1e-5},
                                {"cats", 2, "f64", "1 60", 1e-6},
                                {"mlp", 1, "f32", "10 10", 1e-3},
                                {"mlp", 2, "f32", "10 10", 1e-3},
                                {"start", 1, "-", ""}};

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

const bool kHasAvx512 = gradus::kernels::supported(gradus::kernels::Level::v4);

/// The number after the first `label` of a program's output.
std::optional<double> number_after(const std::string& output, const std::string& label) {
  const size_t at = output.find(label);
  if (at == std::string::npos) return {};
  const char* text = output.c_str() + at + label.size();
  char* end;
  const double value = std::strtod(text, &end);
  return end == text ? std::nullopt : std::optional(value);
}

/// A row of the table: the sum of the numbers after these labels of a workload's output, and the label of the
/// loss that was reached, if it has one.
struct Row {
  std::string name, workload, unit;
  std::vector<std::string> labels;
  std::string loss = {};

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
const std::vector<Row> kRows = {
    {"add nograd", "overhead", "ns", {"add nograd "}},
    {"add fwd+bwd per op", "overhead", "ns", {"fwd+bwd "}},
    {"64-vec tanh fwd+bwd per op", "overhead", "ns", {"tanh chain fwd+bwd "}},
    {"chain of 1,000,000", "chain1m", "s", {"fwd ", "bwd ", "destroy "}},
    {"memory per op of it", "chain1m", "bytes", {"=> "}},
    {"planar, 10,000 iterations", "planar", "s", {"median "}, "loss9999 "},
    {"the same, replayed", "replayed", "s", {"median "}, "loss9999 "},
    {"cats, 2,500 iterations", "cats", "s", {"median "}, "last loss "},
    {"MLP step, SGD", "mlp", "ms", {"SGD median "}, "SGD last loss "},
    {"MLP step, momentum", "mlp", "ms", {"momentum median "}, "momentum last loss "},
    {"MLP step, Adam", "mlp", "ms", {"Adam median "}, "Adam last loss "},
    {"compile everything public", "start", "s", {"compile "}},
    {"start a program", "start", "ms", {"run "}},
    {"size of it with libraries", "start", "MB", {"size "}}};

/// What one competitor printed for one run, round by round.
using Outputs = std::vector<std::string>;

class Comparison {
 public:
  Comparison(fs::path programs, fs::path inputs, bool cats, const std::vector<std::string>& only)
      : programs_(std::move(programs)), inputs_(std::move(inputs)) {
    if (built(kTorch[0]))
      for (const fs::path& library : bench::libraries_of(programs_ / kTorch[0].program))
        if (library.filename().string().rfind("libblas.", 0) == 0) blas_ = library;
    for (const Run& run : kRuns)
      if ((cats || run.workload != "cats") && (only.empty() || std::ranges::count(only, run.workload) > 0))
        runs_.push_back(run);
    if (!cats) notes_.push_back("cats: left out: GRADUS_DATA does not name the folder of the two HDF5 files");
    if (!built(kTorch[0]))
      notes_.push_back("libtorch: left out: libtorch-dev was not found when this was built");
    else if (blas_.empty() || blas_.parent_path().filename() == "blas")
      notes_.push_back(fmt::format(
          "LIBTORCH IS LEFT OUT: its BLAS is the reference one, ten times slower than what its users have "
          "({}). Install libopenblas0-pthread.",
          blas_.empty() ? "no libblas" : blas_.string()));
    else
      torch_ = true;
    if (torch_ && !kHasAvx512)
      notes_.push_back("libtorch OPENBLAS_CORETYPE=SKYLAKEX: left out: this processor has no AVX-512");
    if (!built(kFloor))
      notes_.push_back("floor: left out: the processor that this was built on has no AVX-512");
  }

  void measure(int rounds) {
    for (int round = 0; round < rounds; round++)
      for (const Run& run : runs_) {
        fmt::print(stderr, "round {} of {}: {}\n", round + 1, rounds, run.arguments());
        for (const Competitor& c : competitors())
          if (takes_part(c, run)) measure(run, c);
      }
  }

  /// What libtorch multiplies with.
  const fs::path& blas() const { return blas_; }

  /// Prints the table. Returns whether Gradus finished every run with the losses of the others.
  bool report() {
    fmt::print("{:<28} {:>7} {:>5} {:>12} {:>12} {:<9} {:>7} {:>10} {:>8}\n", "workload", "threads", "dtype",
               "gradus", "libtorch", "(best at)", "ratio", "floor", "/ floor");
    bool all_agree = true;
    for (const Run& run : runs_) {
      for (const Row& row : kRows) {
        if (row.workload != run.workload) continue;
        print(run, row);
        all_agree &= check(run, row);
      }
    }
    for (const std::string& note : notes_) fmt::print("{}\n", note);
    if (!torch_ && !built(kFloor))
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
  static bool is_ours(const Competitor& c) { return c.program == kOurs.program; }
  bool takes_part(const Competitor& c, const Run& run) const {
    if (is_ours(c)) return true;
    if (run.peers != run.workload) return false;
    if (c.program == kFloor.program) return built(c) && (run.workload == "planar" || run.workload == "cats");
    if (c.name == "SKYLAKEX" && !kHasAvx512) return false;
    return torch_ && (run.workload != "start" || c.name == kTorch[0].name);
  }

  void measure(const Run& run, const Competitor& c) {
    try {
      outputs_[{run.arguments(), label(c)}].push_back(
          run.workload == "start"
              ? start(is_ours(c))
              : bench::output_of(fmt::format("env {} PEERS_DATA='{}' '{}' {} 2>&1", c.environment,
                                             inputs_.string(), (programs_ / c.program).string(),
                                             run.arguments())));
    } catch (const std::runtime_error& e) {
      notes_.push_back(fmt::format("{}: {}: {}", label(c), run.arguments(), e.what()));
      failed_ |= is_ours(c);
    }
  }

  /// What a program costs that trains nothing, as a workload would print it.
  std::string start(bool ours) const {
    const std::string program = programs_ / (ours ? "gradus_start" : "torch_start");
    const double compile = bench::seconds_of({"sh", "-c", ours ? GRADUS_COMPILE_START : TORCH_COMPILE_START});
    std::vector<double> runs;
    for (int i = 0; i < 10; i++) runs.push_back(bench::seconds_of({program}));
    return fmt::format("compile {:.4f} s, run {:.4f} ms, size {:.4f} MB\n", compile,
                       bench::median(runs) * 1e3, bench::bytes_of(program) / 1e6);
  }

  Outputs outputs(const Run& run, const Competitor& c) const {
    const auto found = outputs_.find({is_ours(c) ? run.arguments() : run.peers_arguments(), label(c)});
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
      if (m && (!torch || *m < *torch) && agrees(run, row, c)) torch = m, best = c.name;
    }
    const auto cell = [](std::optional<double> x, const std::string& unit) {
      return x ? fmt::format("{:.{}f} {}", *x, unit == "s" ? 4 : unit == "ms" ? 3 : 1, unit) : "-";
    };
    const auto ratio = [](std::optional<double> a, std::optional<double> b) {
      return a && b ? fmt::format("{:.2f}x", *a / *b) : "-";
    };
    fmt::print("{:<28} {:>7} {:>5} {:>12} {:>12} {:<9} {:>7} {:>10} {:>8}\n", row.name, run.threads,
               run.dtype, cell(ours, row.unit), cell(torch, row.unit), best, ratio(torch, ours),
               cell(floor, row.unit), ratio(ours, floor));
  }

  /// Whether every loss of `c` is the one that most have: the median over all competitors. NaN never is.
  bool agrees(const Run& run, const Row& row, const Competitor& c) const {
    if (!run.trains()) return true;
    std::vector<double> all;
    for (const Competitor& other : competitors())
      for (const std::string& output : outputs(run, other))
        if (const auto loss = number_after(output, row.loss); loss && !std::isnan(*loss))
          all.push_back(*loss);
    const double expected = all.empty() ? 0 : bench::median(all);
    for (const std::string& output : outputs(run, c))
      if (!(std::abs(number_after(output, row.loss).value_or(NAN) - expected) <= run.tolerance * expected))
        return false;
    return true;
  }
  bool check(const Run& run, const Row& row) {
    bool all_agree = true;
    for (const Competitor& c : competitors()) {
      if (agrees(run, row, c)) continue;
      notes_.push_back(fmt::format("{}: {}: {}: its loss is not that of the others: {}", label(c),
                                   run.arguments(), row.name, outputs(run, c).back()));
      all_agree = false;
      failed_ |= is_ours(c);
    }
    return all_agree;
  }

  fs::path programs_, inputs_, blas_;
  bool torch_ = false;  // libtorch takes part
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
  std::vector<std::string> only;
  std::set<std::string> known;
  for (const Run& run : kRuns) known.insert(run.workload);
  app.add_option("--rounds", rounds, "How often everything is run")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--results", results, "Folder for the raw samples, as JSON");
  app.add_option("--only", only, "The workloads to run, not all of them")->check(CLI::IsMember(known));
  CLI11_PARSE(app, argc, argv);
  try {
    const TemporaryFolder inputs;
    const char* pictures = std::getenv("GRADUS_DATA");
    write(bench::planar_inputs(), inputs.path);
    write(bench::mlp_inputs(), inputs.path);
    if (pictures) write(bench::cats_inputs(pictures), inputs.path);

    const std::tm date = fmt::gmtime(std::time(nullptr));
    nlohmann::ordered_json record{{"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", date)},
                                  {"machine", machine()}};
    Comparison comparison(fs::canonical("/proc/self/exe").parent_path(), inputs.path, pictures != nullptr,
                          only);
    record["machine"]["libtorch_blas"] = comparison.blas().string();
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
