#pragma once
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/shape.h>
#include <gradus/autograd/base/storage.h>

#include <concepts>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// Elements that a kernel works on. The layout is borrowed: an eager step copies none.
struct Operand {
  Storage* storage;
  void* data;            // where the layout's offset counts from
  const Layout* layout;  // null: there is no such operand
  Dtype dtype;

  explicit operator bool() const noexcept { return layout != nullptr; }
  /// Where offset 0 is.
  template <class T>
  T* at() const noexcept {
    return static_cast<T*>(data);
  }
  /// The first element.
  template <class T>
  T* first() const noexcept {
    return static_cast<T*>(data) + layout->offset;
  }
};
struct Read : Operand {
  static constexpr bool writes = false;
};
struct Write : Operand {
  static constexpr bool writes = true;
};

/// Memory without a storage as an operand, for a kernel that runs within another.
template <class T>
Read reads(const T* data, const Layout& layout) {
  return {{nullptr, const_cast<T*>(data), &layout, dtype_of<T>}};
}
template <class T>
Write writes(T* data, const Layout& layout) {
  return {{nullptr, data, &layout, dtype_of<T>}};
}

/// A kernel is a struct of operands and attributes: `name`, a string or const char*; `operands(f)`, which
/// calls f on each Read and Write that there is; and `run() const`.
template <class K>
concept Kernel = requires(const K& k, K& own) {
  std::string(k.name);
  k.run();
  own.operands([](auto&) {});
};

/// A kernel that was started, with copies of the layouts, and can be started again.
struct Launch {
  struct Used {
    Storage* storage;
    Layout layout;
    Dtype dtype;
    bool written;
  };
  std::vector<Used> operands;

  virtual std::string name() const = 0;
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
  virtual void keep(std::unique_ptr<Launch> launch) = 0;
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

template <Kernel K>
[[gnu::cold, gnu::noinline]] void launch_recorded(const K& kernel) {
  struct Kept final : Launch {
    explicit Kept(const K& k) : kernel(k) {
      size_t n = 0;
      kernel.operands([&](auto&) { n++; });
      operands.reserve(n);
      kernel.operands([&]<class O>(O& o) {
        operands.push_back({o.storage, *o.layout, o.dtype, O::writes});
        o.layout = &operands.back().layout;
      });
    }
    std::string name() const override { return kernel.name; }
    void run() override { kernel.run(); }
    K kernel;
  };
  recorder->keep(std::make_unique<Kept>(kernel));
  const KernelRuns now;
  kernel.run();
}
}  // namespace detail

/// Whether this thread is recording a step.
inline bool is_recording() noexcept { return detail::recorder != nullptr; }

/// Every kernel starts here: it runs, and while a step is recorded a copy is kept, to run it again. So run()
/// allocates nothing, reads nothing that the recorded step does not compute anew or that is meant to stay
/// alive (a learning rate, a generator), and throws from checks of data only.
template <Kernel K>
void launch(const K& kernel) {
  if (is_recording()) [[unlikely]]
    return detail::launch_recorded(kernel);
  kernel.run();
}

/// Throws where other code than a kernel reads or writes values, or what outlasts the step (a seed, a
/// learning rate, a file): a replay would not do it again.
inline void check_not_recording(const char* what) {
  if (is_recording()) [[unlikely]]
    fail("{}: not while a step is recorded: a replay would not do it again", what);
}

}  // namespace gradus

#pragma GCC visibility pop
