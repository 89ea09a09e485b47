#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/parallel.h>

#include <pthread.h>

namespace gradus::detail {

constinit Locks locks;

namespace {

void lock_all() {
  locks.gradients.lock();
  locks.views.lock();
  locks.hooks.lock();
  locks.generators.lock();
  locks.workers.lock();
  locks.small.lock();
  locks.huge.lock();
}
void unlock_all() {
  locks.huge.unlock();
  locks.small.unlock();
  locks.workers.unlock();
  locks.generators.unlock();
  locks.hooks.unlock();
  locks.views.unlock();
  locks.gradients.unlock();
}
void begin_child() {
  forget_workers();
  unlock_all();
}

// When the program is loaded, so that no other thread is in the middle of it.
[[maybe_unused]] const int registered = pthread_atfork(lock_all, unlock_all, begin_child);

}  // namespace
}  // namespace gradus::detail
