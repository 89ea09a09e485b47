#pragma once
#include <functional>

namespace gradus {

/// Calls f with the first allocation of this thread failing, then the second, and so on, until none is left
/// to fail. Before each call `prepare` runs; `check` sees what each failure left. Under the sanitizers these
/// are all blocks of tensors and graphs, too, which otherwise mostly come from the pool.
void with_failing_allocations(const std::function<void()>& prepare, const std::function<void()>& f,
                              const std::function<void()>& check);

}  // namespace gradus
