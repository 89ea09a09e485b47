#pragma once
#include <string>
#include <string_view>
#include <vector>

/// What gradus_workloads and its peers share, so that they measure and print alike: arguments, inputs,
/// statistics, lines.
namespace bench {

/// The arguments WORKLOAD THREADS f32|f64 REPS [ITERATIONS].
struct Request {
  std::string workload;
  int threads = 1;
  bool f64 = false;
  int reps = 1;
  int iterations = 0;

  const char* dtype() const { return f64 ? "f64" : "f32"; }
};

/// The iterations that planar and cats are reported for. Others are measured and scaled. mlp is reported for
/// one.
inline constexpr int kPlanarIterations = 10000, kCatsIterations = 2500;

/// main() of a measured program: parses the arguments and calls `run`. Returns 2 after bad usage and 1 after
/// an exception, with the reason on stderr.
int program_main(int argc, char** argv, const std::vector<std::string_view>& workloads,
                 void (*run)(const Request&));

/// Monotonic time in seconds.
double now();
/// The upper median. Not of nothing.
double median(std::vector<double> values);
/// Resident memory of this process in bytes, now and at its peak.
struct Resident {
  long now, peak;
};
Resident resident();

/// The doubles of DIR/`name`.bin, where DIR is $PEERS_DATA or peers_data. Throws where they are not `count`.
std::vector<double> read_input(const std::string& name, size_t count);

/// One repetition of a training: seconds for all iterations, and the loss of the last.
struct Training {
  double seconds, loss;
};
/// planar10k f32 threads=1: median 0.1234 s (min 0.1230) loss9999 0.217755184
void print_planar(const Request& request, const std::vector<Training>& repetitions);
/// cats2500 f32 threads=1: median 12.3400 s (min 12.3000; from 500 its) last loss 0.680597186
void print_cats(const Request& request, const std::vector<Training>& repetitions);
/// mlp f32 threads=1: SGD median 1.2340 ms (min 1.2300; from 500 its) SGD last loss 2.012345678
void print_mlp(const Request& request, const char* optimizer, const std::vector<Training>& repetitions);

/// Nanoseconds per op of one repetition.
struct Overhead {
  double add, add_inplace, add_recorded;  // scalars
  double chain_forward, chain;            // y = y + b, 1000 times, then backward
  double mul_chain, tanh_chain;           // the same on 64 elements
};
void print_overhead(const Request& request, const std::vector<Overhead>& repetitions);

/// A chain of 1,000,000 scalar additions, in seconds, and resident memory before and after each part.
struct Chain {
  double forward, backward, destroy;
  Resident start, built, done, freed;
  double grad;
};
void print_chain(const Chain& chain);

}  // namespace bench
