#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/parallel.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace gradus {
namespace {

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// One job at a time. Every thread has a share of the blocks that it always begins with, so that what it
/// touched last time is still in its cache, and helps with the others' shares when its own is done.
class Pool {
 public:
  /// Ends the workers for good: every later job stays on its own thread.
  void close() noexcept {
    if (working) return;  // a piece has ended the program: there is nothing to wait for
    while (busy_.exchange(true)) std::this_thread::yield();
    quit_ = true;
    announce();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
  }

  int threads() const noexcept { return threads_.load(std::memory_order_relaxed); }
  void set_threads(int n) noexcept { threads_ = n; }

  void run(int64_t blocks, void (*f)(void*, int64_t), void* context) {
    const int threads = static_cast<int>(std::min<int64_t>(this->threads(), blocks));
    if (threads == 1 || busy_.exchange(true, std::memory_order_acquire)) {
      for (int64_t i = 0; i < blocks; i++) f(context, i);
      return;
    }
    if (!grow(threads)) {
      busy_ = false;
      for (int64_t i = 0; i < blocks; i++) f(context, i);
      return;
    }
    f_ = f;
    context_ = context;
    threads_of_job_ = threads;
    failed_ = false;
    for (int t = 0; t < threads; t++) {
      shares_[t].next.store(detail::part_start(blocks, threads, t), std::memory_order_relaxed);
      shares_[t].end = detail::part_start(blocks, threads, t + 1);
    }
    open_ = true;
    announce();
    work(0);
    // A worker enters before it looks at open_, so after this none is inside or will come.
    open_ = false;
    for (int spins = 0; inside_ != 0; spins++) {
      if (spins < 1000)
        relax();
      else
        std::this_thread::yield();
    }
    std::exception_ptr error = std::move(error_);
    error_ = nullptr;
    busy_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
  }

  /// In a forked child there are no workers any more: forget them.
  void forget_workers() noexcept {
    for (auto& worker : workers_) worker.detach();
    workers_.clear();
    inside_ = 0;
    open_ = false;
    busy_ = false;
  }

 private:
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  /// False where there is no memory for it. Fewer workers than wanted will do.
  bool grow(int threads) noexcept {
    const auto more = static_cast<size_t>(threads) - 1;
    if (shares_size_ >= threads && workers_.size() >= more) return true;
    const std::lock_guard held(detail::locks.workers);
    try {
      if (shares_size_ < threads) {
        shares_ = std::make_unique<Share[]>(static_cast<size_t>(threads));
        shares_size_ = threads;
      }
      workers_.reserve(more);
      while (workers_.size() < more)
        workers_.emplace_back([this, id = static_cast<int>(workers_.size()) + 1, seen = generation_.load()] {
          serve(id, seen);
        });
    } catch (const std::exception&) {
      // No more threads to be had, or no memory for them: those that there are do the work.
    }
    return shares_size_ >= threads;
  }
  void announce() noexcept {
    generation_.fetch_add(1);
    generation_.notify_all();
  }
  void serve(int id, uint32_t seen) noexcept {
    while (!quit_) {
      inside_.fetch_add(1);
      if (open_ && id < threads_of_job_) work(id);
      inside_.fetch_sub(1);
      wait_for_change(seen);
      seen = generation_;
    }
  }
  /// Spins for some 100 us (a training step's next split kernel comes sooner), then sleeps.
  void wait_for_change(uint32_t seen) const noexcept {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    do {
      for (int i = 0; i < 64; i++) {
        if (generation_.load(std::memory_order_acquire) != seen) return;
        relax();
      }
    } while (std::chrono::steady_clock::now() < end);
    generation_.wait(seen);
  }
  void work(int id) noexcept {
    working = true;
    for (int t = 0; t < threads_of_job_; t++) {
      Share& share = shares_[(id + t) % threads_of_job_];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
        if (failed_.load(std::memory_order_relaxed)) continue;
        try {
          f_(context_, i);
        } catch (...) {
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
      }
    }
    working = false;
  }

  static constinit thread_local bool working;  // in a job

  std::atomic<int> threads_{std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
  std::atomic<bool> busy_{false}, open_{false}, quit_{false}, failed_{false};
  std::atomic<int> inside_{0};
  std::atomic<uint32_t> generation_{0};
  void (*f_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int threads_of_job_ = 0, shares_size_ = 0;
  std::unique_ptr<Share[]> shares_;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

constinit thread_local bool Pool::working = false;

/// Never destroyed: static destructors and threads that outlive main() may run kernels.
Pool& pool() {
  alignas(Pool) static std::byte memory[sizeof(Pool)];
  static Pool& the_pool = *new (memory) Pool;
  static const struct Closer {
    ~Closer() { the_pool.close(); }
  } closer;
  return the_pool;
}
// When the program is loaded: a child forked in the middle of this would wait for it for ever.
[[maybe_unused]] const Pool& at_load = pool();

}  // namespace

int num_threads() noexcept { return pool().threads(); }

void set_num_threads(int n) {
  if (n < 1) fail("set_num_threads: at least 1 thread is needed: {}", n);
  pool().set_threads(n);
}

void detail::run_blocks(int64_t blocks, void (*run)(void*, int64_t), void* context) {
  pool().run(blocks, run, context);
}

void detail::forget_workers() noexcept { pool().forget_workers(); }

}  // namespace gradus
