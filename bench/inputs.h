#pragma once
#include <map>
#include <string>
#include <vector>

namespace bench {

/// Inputs and start weights by name ("planar_X", "cats_W1"), row-major: samples in rows, weights [out, in].
using Inputs = std::map<std::string, std::vector<double>>;

/// The flower, and the tutorial's start: normal · 0.01 from NumPy's seed 2.
Inputs planar_inputs();
/// The cat pictures of the HDF5 files in `folder`, and the tutorial's start: normal / √in from NumPy's
/// seed 1.
Inputs cats_inputs(const std::string& folder);
/// A batch of 64 samples with 784 normal features, of the classes 0, 1 … 9, 0 …, and weights normal / √in for
/// 784-512-512-10.
Inputs mlp_inputs();

}  // namespace bench
