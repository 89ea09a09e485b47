#pragma once
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/storage.h>

#include <initializer_list>
#include <memory>
#include <span>
#include <tuple>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus {

/// A kernel call that can be made again.
struct Launch {
  virtual void run() = 0;
  virtual ~Launch() = default;
};

struct TensorImpl;

/// Takes down what a step does, to do it again: see engine/replay.h, which implements it.
class Recorder {
 public:
  /// Memory for a new tensor.
  virtual Ref<Storage> allocate(int64_t bytes) = 0;
  /// A kernel is about to run.
  virtual void keep(std::span<Storage* const> operands, std::unique_ptr<Launch> launch) = 0;
  /// backward() has left a gradient in a leaf: a new one, or it was added to the old.
  virtual void committed(TensorImpl& leaf, bool fresh) = 0;

 protected:
  ~Recorder() = default;
};

namespace detail {
extern constinit thread_local Recorder* recorder;

/// What runs inside a kernel is not recorded: a replay runs the kernel.
class KernelRuns {
 public:
  KernelRuns() noexcept : recorder_(std::exchange(recorder, nullptr)) {}
  ~KernelRuns() { recorder = recorder_; }
  KernelRuns(const KernelRuns&) = delete;
  KernelRuns& operator=(const KernelRuns&) = delete;

 private:
  Recorder* const recorder_;
};

template <class F, class... Args>
[[gnu::cold, gnu::noinline]] void launch_recorded(std::span<Storage* const> operands, const F& f,
                                                  const Args&... args) {
  struct Kept final : Launch {
    Kept(const F& f, const Args&... args) : f(f), args(args...) {}
    void run() override { std::apply(f, args); }
    std::decay_t<F> f;
    std::tuple<Args...> args;
  };
  recorder->keep(operands, std::make_unique<Kept>(f, args...));
  const KernelRuns now;
  f(args...);
}
}  // namespace detail

/// Whether this thread is recording a step.
inline bool is_recording() noexcept { return detail::recorder != nullptr; }

/// Every kernel starts here: calls f(args…), and while a step is recorded keeps copies of f and the arguments
/// to call it again. So f allocates nothing, reads nothing that the recorded step does not compute anew or
/// that is meant to stay alive (a learning rate, a generator), and throws from checks of data only.
/// `operands` are the storages that it reads and writes.
template <class F, class... Args>
void launch(std::span<Storage* const> operands, const F& f, const Args&... args) {
  if (is_recording()) [[unlikely]]
    return detail::launch_recorded(operands, f, args...);
  f(args...);
}
template <class F, class... Args>
void launch(std::initializer_list<Storage*> operands, const F& f, const Args&... args) {
  launch(std::span<Storage* const>(operands.begin(), operands.size()), f, args...);
}

/// Throws where other code than a kernel reads or writes values, or what outlasts the step (a seed, a
/// learning rate, a file): a replay would not do it again.
inline void check_not_recording(const char* what) {
  if (is_recording()) [[unlikely]]
    fail("{}: not while a step is recorded: a replay would not do it again", what);
}

}  // namespace gradus

#pragma GCC visibility pop
