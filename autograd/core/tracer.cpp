#include <gradus/autograd/core/tracer.h>

namespace gradus {

constinit thread_local Tracer* detail::tracer = nullptr;

Tracer::Tracer() noexcept : before_(std::exchange(detail::tracer, this)) {}
Tracer::~Tracer() { detail::tracer = before_; }

}  // namespace gradus
