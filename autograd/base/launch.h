#pragma once
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/storage.h>

#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>

namespace gradus {

/// A kernel call that can be made again.
struct Launch {
  virtual void run() = 0;
  virtual ~Launch() = default;
};

/// Takes down what a step does, to do it again: see engine/replay.h, which implements it.
class Recorder {
 public:
  virtual Ref<Storage> allocate(int64_t bytes) = 0;
  virtual void keep(std::span<Storage* const> operands, std::unique_ptr<Launch> launch) = 0;

 protected:
  ~Recorder() = default;
};

namespace detail {
inline constinit thread_local Recorder* recorder = nullptr;

template <class F>
[[gnu::cold, gnu::noinline]] void keep(std::span<Storage* const> operands, const F& f) {
  struct Kept final : Launch {
    explicit Kept(const F& f) : f(f) {}
    void run() override { f(); }
    F f;
  };
  recorder->keep(operands, std::make_unique<Kept>(f));
}
}  // namespace detail

/// Whether this thread is recording a step.
inline bool is_recording() noexcept { return detail::recorder != nullptr; }

/// Every kernel starts here: runs f, and while a step is recorded keeps a copy of it to run again. So f holds
/// pointers and sizes by value, allocates nothing, reads nothing that the recorded step does not compute
/// anew, and throws from checks of data only. `operands` are the storages that it reads and writes.
template <class F>
void launch(std::span<Storage* const> operands, const F& f) {
  f();
  if (is_recording()) [[unlikely]]
    detail::keep(operands, f);
}
template <class F>
void launch(std::initializer_list<Storage*> operands, const F& f) {
  launch(std::span<Storage* const>(operands.begin(), operands.size()), f);
}

/// Throws where values are read, or written, by other code than kernels: a replay would not do it again.
inline void check_not_recording(const char* what) {
  if (is_recording()) [[unlikely]]
    fail("{}: not while a step is recorded: a replay would not see it", what);
}

}  // namespace gradus
