#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/base/storage.h>

#include <new>

namespace gradus {

namespace {
constexpr size_t kHeader = (sizeof(Storage) + 15) / 16 * 16;
constexpr size_t kInline = pool::kLargest - kHeader;
}  // namespace

Ref<Storage> Storage::allocate(int64_t bytes) {
  const size_t n = static_cast<size_t>(bytes);
  if (n <= kInline) {
    char* block = static_cast<char*>(pool::allocate(kHeader + n));
    return Ref<Storage>::first(new (block) Storage(reinterpret_cast<std::byte*>(block + kHeader), bytes, 0));
  }
  size_t reserved = n;
  void* data = nullptr;
  try {
    data = pool::allocate_large(reserved);
    void* header = pool::allocate(sizeof(Storage));
    return Ref<Storage>::first(new (header) Storage(static_cast<std::byte*>(data), bytes, reserved));
  } catch (const std::bad_alloc&) {
    if (data) pool::release_large(data, reserved);
    fail("allocate: no memory for {} bytes", bytes);
  }
}

void Storage::dispose() noexcept {
  const size_t reserved = reserved_, n = static_cast<size_t>(bytes_);
  std::byte* data = data_;
  this->~Storage();
  if (reserved) {
    pool::release_large(data, reserved);
    pool::release(this, sizeof(Storage));
  } else {
    pool::release(this, kHeader + n);
  }
}

}  // namespace gradus
