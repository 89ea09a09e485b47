#include <gradus/autograd/base/error.h>
#include <gradus/autograd/kernels/isa.h>
#include <gradus/autograd/kernels/pointwise.h>

#include <cstdlib>
#include <string_view>

GRADUS_TABLE_OF_LEVELS(kernels::PointwiseTable, pointwise_table)

namespace gradus::kernels {

const char* name_of(Level level) {
  constexpr const char* names[kLevels] = {"baseline", "v3", "v4"};
  return names[int(level)];
}

bool supported(Level level) {
#ifdef __x86_64__
  const bool v3 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (level == Level::v3) return v3;
  if (level == Level::v4)
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#endif
  return level == Level::baseline;
}

static Level choose_level() {
  constexpr Level levels[] = {Level::v4, Level::v3, Level::baseline};
  const char* forced = std::getenv("GRADUS_ISA");
  for (Level level : levels) {
    if (!forced && supported(level)) return level;
    if (!forced || std::string_view(forced) != name_of(level)) continue;
    if (supported(level)) return level;
    fail("GRADUS_ISA: this processor or build does not support the level: {}", forced);
  }
  fail("GRADUS_ISA: not one of baseline, v3, v4: '{}'", forced);
}

Level level_in_use() {
  static const Level level = choose_level();
  return level;
}

PointwiseTable pointwise_table(Level level) {
  const PointwiseTable* const table = pointwise_table_of(level);
  return table ? *table : nullptr;
}

}  // namespace gradus::kernels
