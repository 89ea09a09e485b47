#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)

#ifndef __has_feature  // clang's; g++ defines the macros below instead
#define __has_feature(x) 0
#endif

/// Memory for nodes, tensor handles and small storages: per-thread free lists by size class.
/// A block may be released on another thread than it came from; full lists overflow to a shared one.
/// The sanitizers see plain malloc instead.
namespace gradus::pool {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr bool kBypassed = true;
#else
inline constexpr bool kBypassed = false;
#endif
/// Sizes go in steps of 16 bytes up to kFine, then four to a doubling.
inline constexpr size_t kStep = 16, kFine = 1024, kLargest = 32768, kClasses = kFine / kStep + 20;
constexpr size_t class_of(size_t bytes) {
  if (bytes <= kFine) return (bytes - 1) / kStep;
  const int shift = std::bit_width(bytes - 1) - 3;
  return kFine / kStep + 4 * static_cast<size_t>(shift - 8) + ((bytes - 1) >> shift) - 4;
}
constexpr size_t bytes_of(size_t cls) {
  if (cls < kFine / kStep) return (cls + 1) * kStep;
  const size_t k = cls - kFine / kStep;
  return (k % 4 + 5) << (k / 4 + 8);
}

struct Block {
  Block* next;
  Block* next_batch;  // used on the shared lists only
};

/// A thread's free lists: zero-initialised and trivially destructible, since static tensors die after
/// thread-locals.
struct Cache {
  Block* head[kClasses];
  uint32_t count[kClasses];
  int64_t taken;  // blocks that came to this thread and did not leave it
  bool closed;    // the thread is ending: release to the shared lists
};
extern constinit thread_local Cache cache;

void* allocate_slow(size_t cls);
void release_slow(Block* block, size_t cls) noexcept;
/// What a thread keeps of a class, in bytes.
inline constexpr size_t kKept = 256 << 10;

/// `bytes` (1 … kLargest) of memory, aligned to 16, above kFine to 64. Throws std::bad_alloc.
inline void* allocate(size_t bytes) {
  const size_t cls = class_of(bytes);
  Cache& c = cache;
  if (Block* b = c.head[cls]) {
    c.head[cls] = b->next;
    c.count[cls]--;
    return b;
  }
  return allocate_slow(cls);
}

/// Gives back what allocate(bytes) returned.
inline void release(void* p, size_t bytes) noexcept {
  const size_t cls = class_of(bytes);
  Cache& c = cache;
  Block* b = static_cast<Block*>(p);
  if (!kBypassed && c.count[cls] * bytes < kKept && !c.closed) {
    b->next = c.head[cls];
    c.head[cls] = b;
    c.count[cls]++;
    return;
  }
  release_slow(b, cls);
}

/// Blocks that this thread has taken and not given back: for tests that look for leaks.
inline int64_t live_blocks() noexcept {
  int64_t n = cache.taken;
  for (uint32_t free : cache.count) n -= free;
  return n;
}

/// Memory of any size for elements, aligned to 64 and kept by size for the next taker, since fresh pages are
/// slow. Throws std::bad_alloc.
void* allocate_large(size_t bytes);
/// Gives back what allocate_large(bytes) returned.
void release_large(void* p, size_t bytes) noexcept;

}  // namespace gradus::pool

#pragma GCC visibility pop
