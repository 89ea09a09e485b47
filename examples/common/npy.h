#pragma once
#include <common/array.h>

#include <string>

namespace gradus::examples {

/// Reads a NumPy .npy file (format version 1.0): `<f8 <f4 <i8 |u1 |b1` in C order. Anything else throws
/// FileError: another dtype or byte order, Fortran order, a header that is not exactly the three entries,
/// data too short or too long. Nothing is allocated that the file does not hold.
///
/// To `convert` is to read `|i1 <i2 <i4 <u2 <u4` as int64 and `<f2` as float32, too.
Array read_npy(const std::string& path, bool convert = false);

/// Writes `array` as numpy.save would, byte for byte.
void write_npy(const std::string& path, const Array& array);

}  // namespace gradus::examples
