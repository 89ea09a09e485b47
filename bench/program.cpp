#include "program.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace bench {
namespace {

struct BadUsage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int positive(const char* what, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1)
    throw BadUsage(fmt::format("{} must be a positive number: '{}'", what, text));
  return value;
}

bool is_training(std::string_view workload) {
  return workload == "planar" || workload == "replayed" || workload == "cats" || workload == "mlp";
}

Request parse(int argc, char** argv, const std::vector<std::string_view>& workloads) {
  if (argc < 5 || argc > 6) throw BadUsage(fmt::format("4 or 5 arguments are needed: {} given", argc - 1));
  Request request;
  request.workload = argv[1];
  if (std::find(workloads.begin(), workloads.end(), request.workload) == workloads.end())
    throw BadUsage(fmt::format("unknown workload: '{}'", request.workload));
  request.threads = positive("THREADS", argv[2]);
  const std::string_view dtype = argv[3];
  if (dtype != "f32" && dtype != "f64")
    throw BadUsage(fmt::format("the dtype must be f32 or f64: '{}'", dtype));
  request.f64 = dtype == "f64";
  request.reps = positive("REPS", argv[4]);
  if (argc == 6 && !is_training(request.workload))
    throw BadUsage(fmt::format("'{}' takes no ITERS: '{}'", request.workload, argv[5]));
  if (argc == 6)
    request.iterations = positive("ITERS", argv[5]);
  else
    request.iterations =
        request.workload == "planar" || request.workload == "replayed" ? kPlanarIterations : 500;
  return request;
}

/// The times scaled to `iterations`, and what is the same in both lines.
struct Summary {
  double median, least, loss;
};
Summary summarize(const Request& request, const std::vector<Training>& repetitions, int iterations) {
  std::vector<double> seconds;
  for (const Training& r : repetitions) seconds.push_back(r.seconds / request.iterations * iterations);
  return {median(seconds), *std::min_element(seconds.begin(), seconds.end()), repetitions.back().loss};
}

double nanoseconds(const std::vector<Overhead>& repetitions, double Overhead::*part) {
  std::vector<double> values;
  for (const Overhead& r : repetitions) values.push_back(r.*part);
  return median(values);
}

}  // namespace

int program_main(int argc, char** argv, const std::vector<std::string_view>& workloads,
                 void (*run)(const Request&)) {
  const std::string_view path = argv[0], name = path.substr(path.rfind('/') + 1);
  try {
    run(parse(argc, argv, workloads));
    return 0;
  } catch (const BadUsage& e) {
    fmt::print(stderr, "{}: {}\nusage: {} {} THREADS f32|f64 REPS [ITERS]\n", name, e.what(), name,
               fmt::join(workloads, "|"));
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", name, e.what());
    return 1;
  }
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Resident resident() {
  long kilobytes = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) kilobytes = std::atol(line.c_str() + 6);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {kilobytes * 1024, usage.ru_maxrss * 1024};
}

std::vector<double> read_input(const std::string& name, size_t count) {
  const char* folder = std::getenv("PEERS_DATA");
  const std::string path = fmt::format("{}/{}.bin", folder ? folder : "peers_data", name);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error(fmt::format("read_input: cannot open: {}", path));
  const auto bytes = static_cast<size_t>(file.tellg());
  if (bytes != 8 * count)
    throw std::runtime_error(fmt::format("read_input: {}: {} bytes, not {}", path, bytes, 8 * count));
  std::vector<double> values(count);
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(bytes)))
    throw std::runtime_error(fmt::format("read_input: cannot read: {}", path));
  return values;
}

void print_planar(const Request& request, const std::vector<Training>& repetitions) {
  const Summary s = summarize(request, repetitions, kPlanarIterations);
  fmt::print("planar10k {} threads={}: median {:.4f} s (min {:.4f}) loss{} {:.9f}\n", request.dtype(),
             request.threads, s.median, s.least, request.iterations - 1, s.loss);
}

void print_cats(const Request& request, const std::vector<Training>& repetitions) {
  const Summary s = summarize(request, repetitions, kCatsIterations);
  fmt::print("cats2500 {} threads={}: median {:.4f} s (min {:.4f}; from {} its) last loss {:.9f}\n",
             request.dtype(), request.threads, s.median, s.least, request.iterations, s.loss);
}

void print_mlp(const Request& request, const char* optimizer, const std::vector<Training>& repetitions) {
  const Summary s = summarize(request, repetitions, 1);
  fmt::print("mlp {} threads={}: {} median {:.4f} ms (min {:.4f}; from {} its) {} last loss {:.9f}\n",
             request.dtype(), request.threads, optimizer, s.median * 1e3, s.least * 1e3, request.iterations,
             optimizer, s.loss);
}

void print_overhead(const Request& request, const std::vector<Overhead>& repetitions) {
  const auto ns = [&](double Overhead::*part) { return nanoseconds(repetitions, part); };
  fmt::print(
      "overhead {} ns: add nograd {:.1f} | add_ inplace nograd {:.1f} | add fwd requires_grad {:.1f} | "
      "chain1000 fwd {:.1f}/op, fwd+bwd {:.1f}/op\n",
      request.dtype(), ns(&Overhead::add), ns(&Overhead::add_inplace), ns(&Overhead::add_recorded),
      ns(&Overhead::chain_forward), ns(&Overhead::chain));
  fmt::print("overhead {} ns: 64-vec mul chain fwd+bwd {:.1f}/op | 64-vec tanh chain fwd+bwd {:.1f}/op\n",
             request.dtype(), ns(&Overhead::mul_chain), ns(&Overhead::tanh_chain));
}

void print_chain(const Chain& c) {
  constexpr long kMega = 1 << 20;
  fmt::print(
      "chain 1M scalar adds: fwd {:.4f} s, bwd {:.4f} s, destroy {:.4f} s; RSS start {} MB, after fwd {} MB, "
      "after bwd {} MB, peak {} MB => {:.0f} bytes/op; grad {:.1f}\n",
      c.forward, c.backward, c.destroy, c.start.now / kMega, c.built.now / kMega, c.done.now / kMega,
      c.freed.peak / kMega, static_cast<double>(c.built.now - c.start.now) / 1e6, c.grad);
}

}  // namespace bench
