// Every op of the table: nanoseconds per call and per element, small and large, forward alone and with
// backward.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <gradus/autograd/ops/table.h>
#include <gradus/gradus.h>

#include <algorithm>
#include <cmath>
#include <string_view>

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

/// Times f(). Reports the time for each of `elements`, too.
template <class F>
void measure(benchmark::State& state, int64_t elements, F f) {
  for (auto _ : state) f();
  using benchmark::Counter;
  const auto each = Counter::kIsIterationInvariantRate | Counter::kInvert;
  state.counters["elements"] = static_cast<double>(elements);
  state.counters["per_element"] = Counter(static_cast<double>(elements), each);
}

void measure_forward(benchmark::State& state, const Case& c) {
  measure(state, c.elements(), [&] { benchmark::DoNotOptimize(c.call()); });
}

void measure_with_backward(benchmark::State& state, Case c) {
  for (Tensor& x : c.inputs)
    if (is_floating(x.dtype())) x = x.clone().requires_grad_();
  const Tensors gradient{ones_like(c.call()[0])};
  measure(state, c.elements(), [&] {
    backward({c.call()[0]}, gradient);
    for (Tensor& x : c.inputs) x.set_grad({});
  });
}

void add(const OpRow& row, Dtype dtype, const char* size, int64_t elements) {
  Case made;
  try {
    made = make_case(row, dtype, elements);
  } catch (const Error&) {
    return;
  }
  const std::string name = fmt::format("{}/{}/{}", row.name, name_of(dtype), size);
  benchmark::RegisterBenchmark(name.c_str(), measure_forward, made)->MinTime(0.05);
  if (row.orders > 0)
    benchmark::RegisterBenchmark((name + "/backward").c_str(), measure_with_backward, made)->MinTime(0.05);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  set_num_threads(1);
  for (const OpRow& row : op_table())
    for (const Dtype dtype : {kFloat32, kFloat64}) {
      add(row, dtype, "small", 1);
      add(row, dtype, "large", 1 << 18);
    }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
