#pragma once
#include <mutex>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// The locks of the process, in the order in which one is taken while another is held. A fork takes them all
/// first: in the child, where the other threads are gone, none of them is held.
struct Locks {
  std::mutex gradients;    // what backward() leaves in tensors, and which of these still live
  std::mutex views;        // edges of views, which follow their bases when they are asked for
  std::mutex hooks;        // and who asked for the gradient of a result
  std::mutex generators;   // how many random numbers were drawn
  std::mutex workers;      // the pool of threads grows
  std::mutex small, huge;  // free memory that all threads share
};
extern constinit Locks locks;

}  // namespace gradus::detail

#pragma GCC visibility pop
