#pragma once
#include <atomic>
#include <cstdint>
#include <utility>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

#pragma GCC visibility push(default)

namespace gradus {

namespace detail {
/// True as long as the process has one thread: counting then needs no locked instructions, which cost as much
/// as a small op.
inline bool single_threaded() noexcept {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded;
#else
  return false;
#endif
}
}  // namespace detail

/// Base of what Ref counts. `T::dispose()` is called when the last Ref goes.
class Counted {
 public:
  Counted() noexcept : refs_(0) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  uint32_t ref_count() const noexcept { return refs_.load(std::memory_order_acquire); }

 private:
  template <class>
  friend class Ref;
  /// Takes one reference back; true for the last.
  bool drop() const noexcept {
    // The last owner needs no atomic decrement: nobody else can reach the count any more.
    const uint32_t before = refs_.load(std::memory_order_acquire);
    if (before == 1) return true;
    if (!detail::single_threaded()) return refs_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    refs_.store(before - 1, std::memory_order_relaxed);
    return false;
  }
  mutable std::atomic<uint32_t> refs_;
};

/// Intrusive reference-counted pointer: one word, atomic counts.
template <class T>
class Ref {
 public:
  constexpr Ref() noexcept : p_(nullptr) {}
  constexpr Ref(std::nullptr_t) noexcept : p_(nullptr) {}
  explicit Ref(T* p) noexcept : p_(p) { retain(); }
  /// The first reference to a new object: nobody else can see it yet, so the count needs no atomic addition.
  static Ref first(T* p) noexcept {
    Ref r;
    r.p_ = p;
    p->refs_.store(1, std::memory_order_relaxed);
    return r;
  }
  Ref(const Ref& r) noexcept : p_(r.p_) { retain(); }
  Ref(Ref&& r) noexcept : p_(r.p_) { r.p_ = nullptr; }
  Ref& operator=(Ref r) noexcept {
    std::swap(p_, r.p_);
    return *this;
  }
  [[gnu::always_inline]] ~Ref() { release(); }

  T* get() const noexcept { return p_; }
  T* operator->() const noexcept { return p_; }
  T& operator*() const noexcept { return *p_; }
  explicit operator bool() const noexcept { return p_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.p_ == b.p_; }
  /// True when nobody else holds the object.
  bool unique() const noexcept { return p_ && p_->refs_.load(std::memory_order_acquire) == 1; }

 private:
  void retain() const noexcept {
    if (!p_) return;
    if (detail::single_threaded())
      p_->refs_.store(p_->refs_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      p_->refs_.fetch_add(1, std::memory_order_relaxed);
  }
  [[gnu::always_inline]] void release() noexcept {
    if (p_ && p_->drop()) p_->dispose();
  }
  T* p_;
};

}  // namespace gradus

#pragma GCC visibility pop
