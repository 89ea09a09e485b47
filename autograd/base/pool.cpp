#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/pool.h>

#include <bit>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

namespace gradus::pool {

constinit thread_local Cache cache{};

namespace {

using detail::locks;

// Batches of free blocks by class, linked by Block::next_batch.
constinit Block* shared[kClasses] = {};

void share(size_t cls, Block* batch) noexcept {
  for (const Block* b = batch; b; b = b->next) cache.taken--;
  const std::lock_guard held(locks.small);
  batch->next_batch = shared[cls];
  shared[cls] = batch;
}

// Hands the lists of an ending thread over.
struct Closer {
  ~Closer() {
    for (size_t cls = 0; cls < kClasses; cls++) {
      if (cache.head[cls]) share(cls, cache.head[cls]);
      cache.head[cls] = nullptr;
      cache.count[cls] = 0;
    }
    cache.closed = true;
  }
};

}  // namespace

void* allocate_slow(size_t cls) {
  if (kBypassed) {
    void* const p = ::operator new(bytes_of(cls));
    cache.taken++;
    return p;
  }
  static thread_local Closer closer;
  (void)closer;
  const size_t bytes = bytes_of(cls);
  Block* list = nullptr;
  {
    const std::lock_guard held(locks.small);
    if ((list = shared[cls])) shared[cls] = list->next_batch;
  }
  if (!list) {
    const size_t n = bytes >= 8192 ? 1 : 8192 / bytes;
    char* chunk =
        static_cast<char*>(bytes > kFine ? std::aligned_alloc(64, n * bytes) : std::malloc(n * bytes));
    if (!chunk) throw std::bad_alloc();
    for (size_t i = n; i-- > 0;) {
      Block* b = reinterpret_cast<Block*>(chunk + i * bytes);
      b->next = list;
      list = b;
    }
  }
  uint32_t n = 0;
  for (Block* b = list->next; b; b = b->next) n++;
  cache.taken += n + 1;
  if (cache.closed) {
    if (list->next) share(cls, list->next);
    return list;
  }
  cache.head[cls] = list->next;
  cache.count[cls] = n;
  return list;
}

void release_slow(Block* block, size_t cls) noexcept {
  if (kBypassed) {
    cache.taken--;
    return ::operator delete(block);
  }
  if (cache.closed) {
    block->next = nullptr;
    return share(cls, block);
  }
  // The list is full: half of it goes to the shared list, so that neither end works block by block.
  Block* last = block;
  block->next = cache.head[cls];
  const uint32_t n = cache.count[cls] / 2;
  for (uint32_t i = 0; i < n; i++) last = last->next;
  cache.head[cls] = last->next;
  last->next = nullptr;
  cache.count[cls] -= n;
  share(cls, block);
}

namespace {

constexpr size_t kAlign = 64, kHuge = size_t(1) << 20;
constexpr size_t kKeptPerThread = size_t(8) << 20, kKeptHuge = size_t(512) << 20;
constexpr int kHighestBit = std::numeric_limits<size_t>::digits - 2;

/// Four sizes per doubling, from 64 bytes on.
struct LargeClass {
  size_t bytes;
  int index;

  explicit LargeClass(size_t n) noexcept {
    if (n < 4 * kAlign) n = 4 * kAlign;
    const int shift = std::bit_width(n - 1) - 3;
    const size_t quarters = (n + (size_t(1) << shift) - 1) >> shift;  // 5 … 8
    bytes = quarters << shift;
    index = 4 * shift + static_cast<int>(quarters) - 5;
  }
};

/// Free blocks by class.
struct LargeLists {
  Block* head[4 * kHighestBit];
  size_t kept;

  void* take(LargeClass c) noexcept {
    Block* const b = head[c.index];
    if (!b) return nullptr;
    head[c.index] = b->next;
    kept -= c.bytes;
    return b;
  }
  bool put(void* p, LargeClass c, size_t limit) noexcept {
    if (kept + c.bytes > limit) return false;
    Block* const b = static_cast<Block*>(p);
    b->next = head[c.index];
    head[c.index] = b;
    kept += c.bytes;
    return true;
  }
  void clear() noexcept {
    for (Block*& b : head)
      while (b) std::free(std::exchange(b, b->next));
    kept = 0;
  }
};
constinit thread_local LargeLists large{};
constinit thread_local bool large_closed = false;
struct LargeCloser {
  ~LargeCloser() {
    large.clear();
    large_closed = true;
  }
};
constinit LargeLists huge{};

}  // namespace

void* allocate_large(size_t bytes) {
  if (bytes > size_t(1) << kHighestBit) throw std::bad_alloc();
  const LargeClass c(bytes);
  if (kBypassed) return ::operator new(c.bytes, std::align_val_t(kAlign));
  if (c.bytes < kHuge) {
    if (void* p = large.take(c)) return p;
    static thread_local LargeCloser closer;
    (void)closer;
  } else {
    const std::lock_guard held(locks.huge);
    if (void* p = huge.take(c)) return p;
  }
  void* p = std::aligned_alloc(kAlign, c.bytes);
  if (!p) {
    const std::lock_guard held(locks.huge);
    huge.clear();
    p = std::aligned_alloc(kAlign, c.bytes);
  }
  if (!p) throw std::bad_alloc();
  return p;
}

void release_large(void* p, size_t bytes) noexcept {
  const LargeClass c(bytes);
  if (kBypassed) return ::operator delete(p, std::align_val_t(kAlign));
  if (c.bytes < kHuge) {
    if (!large_closed && large.put(p, c, kKeptPerThread)) return;
  } else {
    const std::lock_guard held(locks.huge);
    if (huge.put(p, c, kKeptHuge)) return;
  }
  std::free(p);
}

}  // namespace gradus::pool
