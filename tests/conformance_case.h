#pragma once
#include "conformance.h"

#include <gradus/autograd/ops/table.h>

#include <map>
#include <nlohmann/json.hpp>

/// What the kinds of cases share.
namespace gradus::conformance {

using Json = nlohmann::json;
using Env = std::map<std::string, Tensor>;

/// Thrown by a case that asks for something Gradus has not.
struct Skip {
  std::string why;
};

/// One case while it runs.
class Case {
 public:
  Case(const Json& spec, std::filesystem::path folder);

  const Json& spec;
  std::vector<std::string> failures;

  /// The array in the case's own folder.
  Tensor read(const std::string& file) const;
  void fail(const std::string& what, const std::string& how) { failures.push_back(what + ": " + how); }
  void expect(const std::string& what, const Tensor& got, const Tensor& want);
  void expect(const std::string& what, const Tensor& got, const std::string& file) {
    expect(what, got, read(file));
  }
  /// `file` null: no gradient and zeros are both right.
  void expect_gradient(const std::string& what, const Tensor& got, const Json& file);
  bool close(double got, double want) const;

 private:
  std::filesystem::path folder_;
  double rtol_ = 1e-9, atol_ = 1e-11;
};

/// One step of a program: an op of the table on named tensors, or what a script does besides.
struct Step {
  std::string does = "op";
  const OpRow* row = nullptr;
  std::vector<std::string> in, out;
  Attrs attrs;
  std::vector<Step> steps;  // of no_grad, repeat and expect_error
  const Json* spec = nullptr;
};
std::vector<Step> parse_steps(const Json& steps);
Attrs parse_attrs(const Json& attrs);
Tensor& named(Env& env, const std::string& name);
void run_op(const Step& step, Env& env);

// ---- the kinds
void run_op_case(Case& c);
void run_script(Case& c);
void run_optimizer(Case& c);
void run_training(Case& c);
void run_init(Case& c);
void run_gain(Case& c);

}  // namespace gradus::conformance
