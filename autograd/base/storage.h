#pragma once
#include <gradus/autograd/base/ref.h>

#include <cstddef>
#include <cstdint>

namespace gradus {

/// The memory of one or more tensors, with a version that every write raises. Small ones lie in one
/// block with this header.
class Storage : public Counted {
 public:
  /// Uninitialised memory; Error where it cannot be had.
  static Ref<Storage> allocate(int64_t bytes);

  std::byte* data() const noexcept { return data_; }
  int64_t bytes() const noexcept { return bytes_; }
  uint32_t version() const noexcept { return version_; }
  void bump() noexcept { version_++; }

 private:
  friend class Ref<Storage>;
  Storage(std::byte* data, int64_t bytes, size_t reserved) noexcept
      : version_(0), bytes_(bytes), reserved_(reserved), data_(data) {}
  void dispose() noexcept;

  uint32_t version_;
  int64_t bytes_;
  size_t reserved_;  // of the separate block; 0 where the elements follow this header
  std::byte* data_;
};

}  // namespace gradus
