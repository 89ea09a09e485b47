#pragma once
#include <cstdint>

/// What this machine can do at most, measured when it is asked for: one thread, the best of several attempts.
namespace bench {

/// Seconds to copy memory until `bytes` of it are read or written: by the size, caches or main memory.
double seconds_to_move(int64_t bytes);

/// Seconds for one multiply-add of float (or double) numbers in registers, with the processor's widest
/// vectors.
double seconds_per_multiply_add(bool f64);

}  // namespace bench
