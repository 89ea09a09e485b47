#pragma once
#include <fmt/core.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// Everything Gradus refuses is refused with an Error (or a subclass), before anything is changed.
/// The text reads `op: what is wrong: the values`.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Shapes, sizes or dims that do not fit.
struct ShapeError : Error {
  using Error::Error;
};
/// A dtype that an op does not take.
struct DtypeError : Error {
  using Error::Error;
};
/// An index or a dim out of range.
struct IndexError : Error {
  using Error::Error;
};
/// A gradient that would be wrong or does not exist: freed graphs, changed saved values, leaves in place.
struct GradError : Error {
  using Error::Error;
};
/// A file that is missing, cut or malformed.
struct FileError : Error {
  using Error::Error;
};

/// Throws E with the formatted text.
template <class E = Error, class... Args>
[[noreturn, gnu::cold, gnu::noinline]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw E(fmt::vformat(text, fmt::make_format_args(args...)));
}

/// Throws where f is a null pointer or an empty std::function.
template <class F>
void check_function(const char* op, const F& f) {
  if constexpr (std::is_pointer_v<F> || requires { f.operator bool(); })
    if (!f) fail("{}: the function is null", op);
}

/// n values for a result of `op`; an Error where there is no memory for them.
template <class T>
std::vector<T> make_vector(const char* op, int64_t n) {
  try {
    return std::vector<T>(static_cast<size_t>(n));
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  fail("{}: no memory for {} values of {} bytes", op, n, sizeof(T));
}

}  // namespace gradus

#pragma GCC visibility pop
