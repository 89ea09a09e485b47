#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>

/// The files that `gradus check` reads. docs/gradus.md describes the format.
namespace gradus::examples {

/// A function of some tensors at a point, and the gradients that somebody claims for it there.
struct CheckFile {
  /// The function of what has a claimed gradient.
  std::function<Tensor(const Tensors&)> function;
  /// Its value at the point: a finite number.
  double value;
  /// What has a claimed gradient: its name, its value at the point, and the claim.
  std::vector<std::string> names;
  Tensors point, claims;
  /// The sizes of the other inputs, by what they count.
  std::vector<std::pair<std::string, int64_t>> sizes;
  /// How far a claim may be off; none is the default of check_gradient.
  std::optional<double> tolerance;
};

/// Reads a check file and computes all of it once. FileError `path:line:column: what is wrong` for everything
/// that cannot be read or computed, an Error of its own for a missing file.
CheckFile read_check_file(const std::string& path);

}  // namespace gradus::examples
