#include "conformance_case.h"

#include <common/npy.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>

#include <fmt/format.h>
#include <cmath>
#include <fstream>
#include <limits>
#include <ostream>

namespace gradus::conformance {
namespace {

std::string index_text(int64_t flat, const Shape& shape) {
  Shape index = shape;
  for (int i = shape.rank(); i-- > 0;) {
    index[i] = flat % shape[i];
    flat /= shape[i];
  }
  return index.str();
}

bool close(double got, double want, double rtol, double atol) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return got == want;
  return std::abs(got - want) <= atol + rtol * std::abs(want);
}

template <class T, class Equal>
std::string first_difference(const Tensor& got, const Tensor& want, Equal equal) {
  const auto a = got.to_vector<T>(), b = want.to_vector<T>();
  for (size_t i = 0; i < a.size(); i++)
    if (!equal(a[i], b[i]))
      return fmt::format("{}: got {}, want {}", index_text(static_cast<int64_t>(i), want.shape()), a[i],
                         b[i]);
  return {};
}

using Kind = void (*)(Case&);
Kind find_kind(const std::string& name) {
  static const std::map<std::string, Kind> kinds = {
      {"op", run_op_case},     {"script", run_script}, {"optim", run_optimizer},
      {"train", run_training}, {"init", run_init},     {"gain", run_gain},
  };
  const auto found = kinds.find(name);
  return found == kinds.end() ? nullptr : found->second;
}

void run_case(Case& c) {
  const std::string kind = c.spec.at("kind");
  const Kind run = find_kind(kind);
  if (!run) {
    const char* what = kind == "sched" ? "scheduler" : kind == "clip" ? "mode" : "kind";
    throw Skip{fmt::format("no kind '{}': {}", kind, c.spec.value(what, ""))};
  }
  try {
    run(c);
  } catch (const CorpusError&) {
    throw;
  } catch (const Json::exception&) {
    throw;
  } catch (const std::exception& e) {
    c.fail("threw", e.what());
  }
}

Json read_manifest(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw CorpusError(fmt::format("{}: cannot be read", path.string()));
  try {
    return Json::parse(file);
  } catch (const Json::exception& e) {
    throw CorpusError(fmt::format("{}: malformed JSON: {}", path.string(), e.what()));
  }
}

}  // namespace

std::string difference(const Tensor& got, const Tensor& want, double rtol, double atol) {
  if (!got.defined()) return "missing";
  if (!(got.shape() == want.shape())) return fmt::format("got shape {}, want {}", got.shape(), want.shape());
  if (got.dtype() != want.dtype()) return fmt::format("got {}, want {}", got.dtype(), want.dtype());
  if (!is_floating(want.dtype()))
    return first_difference<int64_t>(got, want, [](int64_t a, int64_t b) { return a == b; });
  return first_difference<double>(got, want,
                                  [=](double a, double b) { return conformance::close(a, b, rtol, atol); });
}

Case::Case(const Json& spec_, std::filesystem::path folder) : spec(spec_), folder_(std::move(folder)) {
  if (!spec.contains("tol")) return;
  rtol_ = spec["tol"].at("rtol");
  atol_ = spec["tol"].at("atol");
}

Tensor Case::read(const std::string& file) const {
  try {
    const examples::Array array = examples::read_npy((folder_ / file).string());
    return dispatch(array.dtype, [&](auto zero) {
      using T = decltype(zero);
      using Held = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;
      const auto values = array.values<T>();
      return tensor(std::vector<Held>(values.begin(), values.end()), array.shape, array.dtype);
    });
  } catch (const Error& e) {
    throw CorpusError(e.what());
  }
}

void Case::expect(const std::string& what, const Tensor& got, const Tensor& want) {
  if (const std::string text = difference(got, want, rtol_, atol_); !text.empty()) fail(what, text);
}

void Case::expect_gradient(const std::string& what, const Tensor& got, const Json& file) {
  if (!file.is_null())
    expect(what, got, file.get<std::string>());
  else if (got.defined())
    expect(what, got, zeros_like(got));
}

bool Case::close(double got, double want) const { return conformance::close(got, want, rtol_, atol_); }

Attrs parse_attrs(const Json& attrs) {
  const auto number = [](const Json& value) -> double {
    if (value == "inf") return std::numeric_limits<double>::infinity();
    if (value == "-inf") return -std::numeric_limits<double>::infinity();
    return value.is_boolean() ? value.get<bool>() : value.get<double>();
  };
  Attrs parsed;
  for (const auto& [name, value] : attrs.items()) {
    if (value.is_null()) continue;
    if (value.is_array()) {
      std::vector<double> list;
      for (const Json& element : value) list.push_back(number(element));
      parsed.set(name, list);
    } else if (value.is_string() && value != "inf" && value != "-inf") {
      parsed.set(name, value.get<std::string>());
    } else {
      parsed.set(name, number(value));
    }
  }
  return parsed;
}

namespace {
Step parse_step(const Json& spec) {
  Step step;
  step.spec = &spec;
  step.does = spec.value("do", "op");
  if (spec.contains("op")) {
    const std::string name = spec.at("op");
    step.row = find_op(name);
    if (!step.row) throw Skip{fmt::format("no op '{}'", name)};
    step.in = spec.at("in").get<std::vector<std::string>>();
    if (spec.contains("out")) step.out = spec.at("out").get<std::vector<std::string>>();
    step.attrs = parse_attrs(spec.value("attrs", Json::object()));
  }
  if (spec.contains("steps")) step.steps = parse_steps(spec.at("steps"));
  if (spec.contains("step")) step.steps.push_back(parse_step(spec.at("step")));
  return step;
}
}  // namespace

std::vector<Step> parse_steps(const Json& specs) {
  std::vector<Step> steps;
  for (const Json& spec : specs) steps.push_back(parse_step(spec));
  return steps;
}

Tensor& named(Env& env, const std::string& name) {
  const auto found = env.find(name);
  if (found == env.end()) throw CorpusError(fmt::format("no tensor is named '{}'", name));
  return found->second;
}

void run_op(const Step& step, Env& env) {
  Tensors inputs;
  inputs.reserve(step.in.size());
  for (const std::string& name : step.in) inputs.push_back(named(env, name));
  const Tensors outputs = step.row->call(inputs, step.attrs);
  if (step.does == "inplace") return;
  if (outputs.size() != step.out.size())
    fail("{}: {} results, the case names {}", step.row->name, outputs.size(), step.out.size());
  for (size_t i = 0; i < outputs.size(); i++)
    if (step.out[i] != "_") env[step.out[i]] = outputs[i];
}

Counts run_folder(const std::filesystem::path& folder, const Options& options, std::ostream& out) {
  const auto path = folder / "manifest.json";
  const Json manifest = read_manifest(path);
  Counts counts;
  std::string name = "?";
  try {
    for (const Json& spec : manifest.at("cases")) {
      name = spec.at("name");
      if (spec.at("tier").get<int>() > options.tier) continue;
      Case c(spec, folder / spec.at("dir").get<std::string>());
      try {
        run_case(c);
        c.failures.empty() ? counts.passed++ : counts.failed++;
      } catch (const Skip& skip) {
        counts.skipped++;
        if (options.list_skipped) out << "skipped " << name << ": " << skip.why << "\n";
        continue;
      }
      const char* note = spec.contains("convention") ? " (convention)" : "";
      for (const std::string& failure : c.failures)
        out << "FAILED " << name << note << ": " << failure << "\n";
    }
  } catch (const Json::exception& e) {
    throw CorpusError(fmt::format("{}: case '{}': {}", path.string(), name, e.what()));
  } catch (const CorpusError& e) {
    throw CorpusError(fmt::format("{}: case '{}': {}", path.string(), name, e.what()));
  }
  return counts;
}

}  // namespace gradus::conformance
