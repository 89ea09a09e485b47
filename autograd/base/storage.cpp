#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/base/storage.h>

#include <new>

namespace gradus {

constinit thread_local Recorder* detail::recorder = nullptr;

Ref<Storage> Storage::allocate_apart(int64_t bytes) {
  void* data = nullptr;
  try {
    data = pool::allocate_large(static_cast<size_t>(bytes));
    void* header = pool::allocate(sizeof(Storage));
    return Ref<Storage>::first(new (header) Storage(static_cast<std::byte*>(data), bytes, true, 0));
  } catch (const std::bad_alloc&) {
    if (data) pool::release_large(data, static_cast<size_t>(bytes));
    fail("allocate: no memory for {} bytes", bytes);
  }
}

}  // namespace gradus
