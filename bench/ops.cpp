// Every op of the table: nanoseconds per call and per element, small and large, forward alone and with
// backward; and, where it is large, how many times the least that memory and arithmetic allow it takes.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <gradus/autograd/ops/table.h>
#include <gradus/gradus.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "peak.h"

namespace {

using namespace gradus;

/// x with every dim of more than one element repeated `times` times. Sizes that must be equal stay equal,
/// dims that broadcast stay 1, and indices stay in range.
Tensor repeated(Tensor x, int64_t times) {
  for (int64_t d = 0; d < x.dim(); d++)
    if (x.size(d) > 1) x = cat(Tensors(static_cast<size_t>(times), x), d);
  return x;
}

int64_t most_elements(const Tensors& tensors) {
  int64_t most = 0;
  for (const Tensor& x : tensors) most = std::max(most, x.numel());
  return most;
}

struct Case {
  const OpRow* row;
  Tensors inputs;
  Attrs attrs;

  /// In-place rows work on a copy, so that the same elements are read every time; its cost is part of the
  /// result.
  Tensors call() const {
    if (std::string_view(row->name).back() != '_') return row->call(inputs, attrs);
    Tensors fresh = inputs;
    fresh[0] = inputs[0].clone();
    return row->call(fresh, attrs);
  }
  int64_t elements() const { return std::max(most_elements(inputs), most_elements(call())); }

  /// The least that a call can take: what it reads and writes, at the speed of a copy of that size, or the
  /// multiplications of a product, whichever is more. Backward reads as much, and writes it, once again; a
  /// product has one more for each factor.
  double least_seconds(bool with_backward) const {
    const Tensors results = call();
    int64_t bytes = 0;
    for (const Tensors* tensors : {&inputs, &results})
      for (const Tensor& x : *tensors) bytes += x.numel() * item_size(x.dtype());
    const std::string_view name = row->name;
    const bool product = name == "matmul" || name == "linear" || name == "dot";
    const double arithmetic = product ? static_cast<double>(results[0].numel() * inputs[0].size(-1)) *
                                            bench::seconds_per_multiply_add(inputs[0].dtype() == kFloat64)
                                      : 0;
    return std::max(bench::seconds_to_move(bytes) * (with_backward ? 2 : 1),
                    arithmetic * (with_backward ? 3 : 1));
  }
};

/// The row's first sample in `dtype`, its largest input grown to some `elements`. Throws where its attributes
/// are sizes.
Case make_case(const OpRow& row, Dtype dtype, int64_t elements) {
  const OpSample sample = row.samples().front();
  Case made{&row, {}, sample.attrs};
  int64_t most = 1, rank = 1;
  for (const Tensor& x : sample.inputs)
    if (x.numel() > most)
      most = x.numel(),
      rank = std::count_if(x.shape().begin(), x.shape().end(), [](int64_t n) { return n > 1; });
  const auto times =
      std::max<int64_t>(1, std::llround(std::pow(double(elements) / double(most), 1. / double(rank))));
  for (const Tensor& x : sample.inputs)
    made.inputs.push_back(repeated(is_floating(x.dtype()) ? x.detach().to(dtype) : x, times));
  made.call();
  return made;
}

/// Times f(). Reports the time for each of `elements`, and the least seconds that it could take if they are
/// not 0.
template <class F>
void measure(benchmark::State& state, int64_t elements, double least, F f) {
  for (auto _ : state) f();
  using benchmark::Counter;
  const auto each = Counter::kIsIterationInvariantRate | Counter::kInvert;
  state.counters["elements"] = static_cast<double>(elements);
  state.counters["per_element"] = Counter(static_cast<double>(elements), each);
  state.counters["least_ns"] = least * 1e9;
}

void measure_forward(benchmark::State& state, const Case& c, bool large) {
  measure(state, c.elements(), large ? c.least_seconds(false) : 0,
          [&] { benchmark::DoNotOptimize(c.call()); });
}

void measure_with_backward(benchmark::State& state, Case c, bool large) {
  const double least = large ? c.least_seconds(true) : 0;
  for (Tensor& x : c.inputs)
    if (is_floating(x.dtype())) x = x.clone().requires_grad_();
  const Tensors gradient{ones_like(c.call()[0])};
  measure(state, c.elements(), least, [&] {
    backward({c.call()[0]}, gradient);
    for (Tensor& x : c.inputs) x.set_grad({});
  });
}

/// The usual lines, and at the end those that are furthest from what is possible.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs)
      if (const auto least = run.counters.find("least_ns"); least != run.counters.end() && least->second > 0)
        slow_.emplace_back(run.GetAdjustedRealTime() / least->second, run.run_name.function_name);
  }
  void Finalize() override {
    std::sort(slow_.rbegin(), slow_.rend());
    if (!slow_.empty()) GetOutputStream() << "\nFurthest from what memory and arithmetic allow:\n";
    for (size_t i = 0; i < std::min<size_t>(slow_.size(), 20); i++)
      GetOutputStream() << fmt::format("{:7.1f} x  {}\n", slow_[i].first, slow_[i].second);
  }

 private:
  std::vector<std::pair<double, std::string>> slow_;
};

void add(const OpRow& row, Dtype dtype, bool large) {
  Case made;
  try {
    made = make_case(row, dtype, large ? 1 << 18 : 1);
  } catch (const Error&) {
    return;
  }
  const std::string name = fmt::format("{}/{}/{}", row.name, name_of(dtype), large ? "large" : "small");
  benchmark::RegisterBenchmark(name.c_str(), measure_forward, made, large)->MinTime(0.05);
  if (row.orders > 0)
    benchmark::RegisterBenchmark((name + "/backward").c_str(), measure_with_backward, made, large)
        ->MinTime(0.05);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  set_num_threads(1);
  for (const OpRow& row : op_table())
    for (const Dtype dtype : {kFloat32, kFloat64}) {
      add(row, dtype, false);
      add(row, dtype, true);
    }
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
}
