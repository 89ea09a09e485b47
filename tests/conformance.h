#pragma once
#include <gradus/autograd/core/tensor.h>

#include <filesystem>
#include <iosfwd>
#include <stdexcept>
#include <string>

/// The runner of conformance corpora: folders with a manifest.json and the arrays of its cases as .npy files.
namespace gradus::conformance {

/// A corpus that cannot be read: no verdict about Gradus.
struct CorpusError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Counts {
  int passed = 0, failed = 0, skipped = 0;
};

/// Which cases run, and what is printed.
struct Options {
  int tier = 3;  // the highest
  bool list_skipped = false;
};

/// Runs the cases of `folder`. Prints each failure with the first element that differs, and what was skipped
/// and why. Throws CorpusError for a manifest or an array that is missing or malformed.
Counts run_folder(const std::filesystem::path& folder, const Options& options, std::ostream& out);

/// The first element in which `got` differs from `want` ("[1, 2]: got 3, want 4"), or another shape or dtype;
/// empty if they agree: floats to atol + rtol |want|, NaN equal to NaN, an infinity only to itself, all else
/// exactly.
std::string difference(const Tensor& got, const Tensor& want, double rtol, double atol);

}  // namespace gradus::conformance
