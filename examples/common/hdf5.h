#pragma once
#include <common/array.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace gradus::examples {

/// Whether libhdf5 was there at build time.
bool reads_hdf5();

/// Reads a dataset of an HDF5 file. Its dtype must be `dtype` (uint8 or int64) and its shape one of `shapes`,
/// where -1 takes any size. FileError naming the file, the dataset, and what was found and expected: no such
/// file, not HDF5, cut, no such dataset, another rank, shape or dtype. Without libhdf5 at build time: an
/// Error that says how to get it. Not for two threads at once, since libhdf5 usually is not. For files that
/// you trust: of 6,163 damaged ones, 2 crashed libhdf5 1.10 itself.
Array read_hdf5(const std::string& path, const std::string& dataset, Dtype dtype,
                std::initializer_list<Shape> shapes);

/// Reads a one-dimensional dataset of fixed-length strings, such as class names. Errors as read_hdf5's.
std::vector<std::string> read_hdf5_strings(const std::string& path, const std::string& dataset);

}  // namespace gradus::examples
