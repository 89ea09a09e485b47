#pragma once

#pragma GCC visibility push(default)

namespace gradus {

namespace detail {
extern constinit thread_local bool grad_enabled, keep_values;
}  // namespace detail

/// Whether ops are being recorded on this thread.
inline bool is_grad_enabled() noexcept { return detail::grad_enabled; }

/// Turns recording on or off on this thread until it goes out of scope.
class GradMode {
 public:
  /// Records from now on, or does not.
  explicit GradMode(bool enabled) noexcept : before_(detail::grad_enabled) { detail::grad_enabled = enabled; }
  ~GradMode() { detail::grad_enabled = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// While one lives, nothing on this thread is recorded: `NoGrad no_grad;`
struct NoGrad : GradMode {
  NoGrad() noexcept : GradMode(false) {}
};
/// Records again inside a NoGrad.
struct EnableGrad : GradMode {
  EnableGrad() noexcept : GradMode(true) {}
};

/// While one lives, ops recorded on this thread keep all their inputs and results, not only those that some
/// gradient reads: explain() can show every value then. A pointwise loss and its mean or sum, otherwise one
/// op, are two.
class KeepValues {
 public:
  KeepValues() noexcept : before_(detail::keep_values) { detail::keep_values = true; }
  ~KeepValues() { detail::keep_values = before_; }
  KeepValues(const KeepValues&) = delete;
  KeepValues& operator=(const KeepValues&) = delete;

 private:
  bool before_;
};

}  // namespace gradus

#pragma GCC visibility pop
