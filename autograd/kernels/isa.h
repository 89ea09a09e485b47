#pragma once

#pragma GCC visibility push(default)

/// The instruction set that this translation unit is compiled for: a namespace name of its own, since the
/// same inline functions compiled with other flags must never meet under one name.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define GRADUS_LEVEL_NAMESPACE v4
#define GRADUS_VECTOR_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#define GRADUS_LEVEL_NAMESPACE v3
#define GRADUS_VECTOR_BYTES 32
#else
#define GRADUS_LEVEL_NAMESPACE baseline
#define GRADUS_VECTOR_BYTES 16
#endif

namespace gradus::kernels {

/// Instruction sets that kernels are built for: any machine, x86-64-v3 (AVX2, FMA), x86-64-v4 (AVX-512).
enum class Level { baseline, v3, v4 };
inline constexpr int kLevels = 3;

/// "baseline", "v3" or "v4".
const char* name_of(Level level);

/// True where the library holds kernels of this level and the processor can run them.
bool supported(Level level);

/// The level whose kernels run: the best one supported, or the one that the environment variable GRADUS_ISA
/// names. Chosen once. Throws Error if GRADUS_ISA names no level, or one that is not supported.
Level level_in_use();

}  // namespace gradus::kernels

/// Outside of namespaces, in one .cpp: TABLE##_of(level) is a constant TABLE of `Type` that a file compiled
/// for each level defines in its GRADUS_LEVEL_NAMESPACE; null for a level that is not built.
#ifdef __x86_64__
#define GRADUS_TABLE_OF_LEVELS(Type, TABLE)                    \
  namespace gradus::baseline {                                 \
  extern const Type TABLE;                                     \
  }                                                            \
  namespace gradus::v3 {                                       \
  extern const Type TABLE;                                     \
  }                                                            \
  namespace gradus::v4 {                                       \
  extern const Type TABLE;                                     \
  }                                                            \
  namespace gradus::kernels {                                  \
  static const Type* TABLE##_of(Level level) {                 \
    if (level == Level::v4) return &v4::TABLE;                 \
    return level == Level::v3 ? &v3::TABLE : &baseline::TABLE; \
  }                                                            \
  }
#else
#define GRADUS_TABLE_OF_LEVELS(Type, TABLE)                       \
  namespace gradus::baseline {                                    \
  extern const Type TABLE;                                        \
  }                                                               \
  namespace gradus::kernels {                                     \
  static const Type* TABLE##_of(Level level) {                    \
    return level == Level::baseline ? &baseline::TABLE : nullptr; \
  }                                                               \
  }
#endif

#pragma GCC visibility pop
