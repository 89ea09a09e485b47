#pragma once
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/base/ref.h>

#include <cstddef>
#include <cstdint>
#include <new>

#pragma GCC visibility push(default)

namespace gradus {

/// The memory of one or more tensors, with a version that every write raises. Small ones lie in one
/// block with this header.
class Storage : public Counted {
 public:
  /// Uninitialised memory. Throws Error, or for a small one std::bad_alloc, where it cannot be had.
  static Ref<Storage> allocate(int64_t bytes) {
    return lies_beside(bytes, 0) ? allocate_beside(bytes, 0) : allocate_apart(bytes);
  }
  /// Whether so many bytes lie in one block with their header and `front` bytes more.
  static bool lies_beside(int64_t bytes, size_t front) noexcept {
    return static_cast<size_t>(bytes) <= pool::kLargest - kHeader - front;
  }
  /// The same for such a small one. Before its header are `front` bytes (a multiple of 16) for its first
  /// owner, which last as long as the storage.
  static Ref<Storage> allocate_beside(int64_t bytes, size_t front) {
    const size_t n = static_cast<size_t>(bytes);
    std::byte* const header = static_cast<std::byte*>(pool::allocate(front + kHeader + n)) + front;
    return Ref<Storage>::first(new (header) Storage(header + kHeader, bytes, false, front));
  }

  /// The same with the elements in a block of their own, aligned to 64.
  static Ref<Storage> allocate_apart(int64_t bytes);

  std::byte* data() const noexcept { return data_; }
  int64_t bytes() const noexcept { return bytes_; }
  uint32_t version() const noexcept { return version_; }
  void bump() noexcept { version_++; }
  /// Whether one tensor alone holds it (a recorder does not count).
  bool alone() const noexcept { return ref_count() == 1 + uint32_t{recorded_}; }
  bool recorded() const noexcept { return recorded_; }
  void set_recorded(bool recorded) noexcept { recorded_ = recorded; }
  /// The bytes before the header; null where there are none.
  void* front() noexcept { return front_ ? reinterpret_cast<std::byte*>(this) - front_ : nullptr; }

 private:
  friend class Ref<Storage>;
  Storage(std::byte* data, int64_t bytes, bool apart, size_t front) noexcept
      : version_(0),
        front_(static_cast<uint16_t>(front)),
        apart_(apart),
        recorded_(false),
        bytes_(bytes),
        data_(data) {}
  [[gnu::noinline]] void dispose() noexcept {
    const size_t n = static_cast<size_t>(bytes_), front = front_;
    if (apart_) {
      pool::release_large(data_, n);
      pool::release(this, sizeof(Storage));
    } else {
      pool::release(reinterpret_cast<std::byte*>(this) - front, front + sizeof(Storage) + n);
    }
  }

  static constexpr size_t kHeader = 32;

  uint32_t version_;
  uint16_t front_;
  bool apart_;     // the elements have a block of their own, else they follow this header
  bool recorded_;  // a recorder holds it, too
  int64_t bytes_;
  std::byte* data_;
};
static_assert(sizeof(Storage) == 32);

}  // namespace gradus

#pragma GCC visibility pop
