#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// The kernels of a recorded step, in the order in which they run.
struct Profile {
  /// What a kernel reads or writes.
  struct Operand {
    Shape shape /** as the kernel sees it */;
    Dtype dtype /** of its elements */;
    bool written /** or read */;
  };
  /// One of them.
  struct Kernel {
    std::string name /** an op's or a kernel's; of a gradient "tanh: dx" */;
    std::vector<Operand> operands /** results first */;
    int64_t bytes /** that it reads and writes; a repeated element counts once */;
    double ns /** a run took, the median; 0 where none was measured */;
  };
  /// All, in order.
  std::vector<Kernel> kernels;
  /// How many runs were measured.
  int runs = 0;

  /// Σ ns.
  double ns() const;
  /// A line for each kernel: name, shapes of results and operands, bytes and, where measured, nanoseconds and
  /// their share.
  std::string str() const;
};

/// A step that was recorded: calling it runs the same kernels on the same memory, in the same order, without
/// building a graph, allocating or looking at shapes. Results are bit-equal to running the step itself.
///
///   Replay step = record([&] {
///     optimizer.zero_grad();
///     loss = mse_loss(model(x), y);
///     loss.backward();
///     optimizer.step();
///   });
///   for (…) { x.copy_(batch); y.copy_(labels); step(); }
///   loss.item();
///
/// Every call reads what the recorded tensors hold then and writes into the tensors that the step wrote: new
/// input is copied into the old tensors, and what the step made (`loss` above, the parameters' gradients) is
/// found in the same handles. Learning rates, step counts and random numbers go on as in eager steps. A call
/// raises the versions of what it writes, so that a graph outside which saved it refuses to run.
///
/// Everything that the kernels touch is kept alive, and memory of the step's own until the last copy of the
/// Replay dies.
class Replay {
 public:
  /// Runs the step once. What a check of data throws (an index out of range, a probability above 1) ends it
  /// there, as it would the step: tensors that the step writes hold what was written until then, a loss
  /// perhaps NaN, parameters not yet moved. With data in order the next call is right. Not from two threads
  /// at once.
  void operator()();
  /// How many kernels a call runs.
  int64_t kernels() const;
  /// What they are.
  Profile list() const;
  /// Runs the step `runs` times, real steps as by calling it, and measures each kernel; reading the clock,
  /// some 20 ns, is left out. An Error unless runs is at least 1.
  Profile profile(int runs = 10);

 private:
  friend Replay record(const std::function<void()>& step, int warmup);
  class Recording;
  explicit Replay(std::shared_ptr<Recording> recording) : recording_(std::move(recording)) {}
  std::shared_ptr<Recording> recording_;
};

/// Runs `step` `warmup` times, so that it finds its gradients and optimizer states as they are in the middle
/// of a training, and once more while recording it. All these are real steps: after record() and n calls of
/// the Replay, warmup + 1 + n steps are done.
///
/// The step runs on this thread, and what it decides in C++ (branches, loops, shapes, `training`) is decided
/// now, for every call. Refused with an Error while it is recorded, since a replay would not do it again:
/// reading values (`item`, `at`, `to_vector`, `data`, printing), writing them (`mutable_data`), tensors made
/// of numbers from the program (make them before), random numbers that no kernel draws, seeding
/// (`manual_seed`), files (`nn::save`, `nn::load`), an optimizer's making, `set_lr`, `state_dict` and
/// `load_state_dict`, and record() or a Replay itself. Between the calls all of these have their effect. What
/// the refused step did before, as after any exception, stays done.
Replay record(const std::function<void()>& step, int warmup = 2);

}  // namespace gradus

template <>
struct fmt::formatter<gradus::Profile> : gradus::detail::TextFormatter {
  template <class C>
  auto format(const gradus::Profile& p, C& c) const {
    return fmt::format_to(c.out(), "{}", p.str());
  }
};

#pragma GCC visibility pop
