#include <gradus/autograd/base/pool.h>

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

namespace gradus::pool {
namespace {

// Batches of free blocks, linked by Block::next_batch.
struct SharedList {
  std::mutex lock;
  Block* batches = nullptr;
};
constinit SharedList shared[kClasses];

void share(size_t cls, Block* batch) noexcept {
  std::lock_guard held(shared[cls].lock);
  batch->next_batch = shared[cls].batches;
  shared[cls].batches = batch;
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
  if (kBypassed) return ::operator new((cls + 1) * kStep);
  static thread_local Closer closer;
  (void)closer;
  const size_t bytes = (cls + 1) * kStep;
  Block* list = nullptr;
  {
    std::lock_guard held(shared[cls].lock);
    if ((list = shared[cls].batches)) shared[cls].batches = list->next_batch;
  }
  if (!list) {
    const size_t n = bytes >= 8192 ? 1 : 8192 / bytes;
    char* chunk = static_cast<char*>(std::malloc(n * bytes));
    if (!chunk) throw std::bad_alloc();
    for (size_t i = n; i-- > 0;) {
      Block* b = reinterpret_cast<Block*>(chunk + i * bytes);
      b->next = list;
      list = b;
    }
  }
  if (cache.closed) {
    if (list->next) share(cls, list->next);
    return list;
  }
  uint32_t n = 0;
  for (Block* b = list->next; b; b = b->next) n++;
  cache.head[cls] = list->next;
  cache.count[cls] = n;
  return list;
}

void release_slow(Block* block, size_t cls) noexcept {
  if (kBypassed) return ::operator delete(block);
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

// Four sizes per doubling.
size_t size_class(size_t bytes) {
  const int top = std::bit_width(bytes - 1);
  const size_t step = top > 3 ? size_t(1) << (top - 3) : 1;
  return (bytes + step - 1) / step * step;
}

struct LargeCache {
  static constexpr int kSlots = 64;
  struct Entry {
    void* p;
    size_t bytes;
  };
  Entry entries[kSlots];
  int n;
  size_t kept;

  void* take(size_t bytes) noexcept {
    for (int i = n; i-- > 0;)
      if (entries[i].bytes == bytes) {
        void* p = entries[i].p;
        entries[i] = entries[--n];
        kept -= bytes;
        return p;
      }
    return nullptr;
  }
  bool put(void* p, size_t bytes, size_t limit) noexcept {
    if (n == kSlots || kept + bytes > limit) return false;
    entries[n++] = {p, bytes};
    kept += bytes;
    return true;
  }
  void clear() noexcept {
    while (n) std::free(entries[--n].p);
    kept = 0;
  }
};
constinit thread_local LargeCache large{};
constinit thread_local bool large_closed = false;
struct LargeCloser {
  ~LargeCloser() {
    large.clear();
    large_closed = true;
  }
};
constinit LargeCache huge{};
constinit std::mutex huge_lock;

}  // namespace

void* allocate_large(size_t& bytes) {
  if (bytes > (size_t(1) << 62)) throw std::bad_alloc();
  bytes = size_class(bytes < kAlign ? kAlign : bytes);
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes < kHuge) {
    static thread_local LargeCloser closer;
    (void)closer;
    if (void* p = large.take(bytes)) return p;
  } else {
    std::lock_guard held(huge_lock);
    if (void* p = huge.take(bytes)) return p;
  }
  void* p = std::aligned_alloc(kAlign, bytes);
  if (!p) {
    std::lock_guard held(huge_lock);
    huge.clear();
    p = std::aligned_alloc(kAlign, bytes);
  }
  if (!p) throw std::bad_alloc();
  return p;
}

void release_large(void* p, size_t bytes) noexcept {
  if (!kBypassed && bytes < kHuge) {
    if (!large_closed && large.put(p, bytes, kKeptPerThread)) return;
  } else if (!kBypassed) {
    std::lock_guard held(huge_lock);
    if (huge.put(p, bytes, kKeptHuge)) return;
  }
  std::free(p);
}

}  // namespace gradus::pool
